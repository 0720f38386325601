"""The C library's own store of memory: what a training step frees, the next one takes again.

By default glibc hands large blocks back to the system when they are freed. Every step then gets its activations as new
pages, which the system clears and maps one by one: a tenth of a step of convolutions on a CPU.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3), as in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """From now on this process keeps the memory it frees, up to its peak, until ``return_freed_memory``.

    It does nothing on systems without glibc, and for blocks of another allocator.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """Hand all free memory back to the system now; likewise."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
