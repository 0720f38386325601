"""Classifies failures of trials: pure decisions, which the runtime carries out."""

from __future__ import annotations

import errno
import os
import re

from orchestrator.errors import (
    LeaseLostError,
    NonFiniteLossError,
    StorageRefused,
    StorageUnavailable,
    SurroundingsError,
)
from orchestrator.state.ledger import FailureKind

_SYSTEM_ERRORS = tuple(
    os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
)
"""Texts of the system's errors that native code repeats in its own exceptions."""


_OUT_OF_GPU_MEMORY = re.compile(
    r"CUDA error: out of memory|Cuda failure .*out of memory|_STATUS_ALLOC_FAILED", re.DOTALL
)
"""What CUDA, NCCL, cuBLAS and cuDNN say where they ask for memory themselves, beside torch's allocator."""


def classify(error: BaseException, gpu_share: float = 1.0) -> FailureKind:
    """The kind of an exception that training raised; the loss of a whole worker is handled elsewhere.

    ``gpu_share`` is what the process has of a GPU. Where others have the rest, one of them may have taken the memory
    that was missing: another try, later or beside others, can go well.
    """
    if isinstance(error, NonFiniteLossError):
        return FailureKind.NON_FINITE
    if (of_gpu := _is_out_of_gpu_memory(error)) or _is_out_of_memory(error):
        return FailureKind.INFRASTRUCTURE if of_gpu and gpu_share < 1 else FailureKind.OUT_OF_MEMORY
    # The store has already waited for storage.
    if isinstance(error, StorageUnavailable | StorageRefused | LeaseLostError | SurroundingsError):
        return FailureKind.SURROUNDINGS
    if isinstance(error, ConnectionError | TimeoutError):
        return FailureKind.INFRASTRUCTURE
    # A trial's own code opens no files: an error of the system, such as a full disk, is not the trial's fault.
    if isinstance(error, OSError) and error.errno is not None:
        return FailureKind.SURROUNDINGS
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _SYSTEM_ERRORS):
        return FailureKind.SURROUNDINGS
    names = _names(error)
    if "OutOfDiskError" in names:
        return FailureKind.SURROUNDINGS
    # Ray's own errors, as of objects whose owner or node is gone; a RayTaskError wraps the error of a task instead.
    if "RayError" in names and "RayTaskError" not in names:
        return FailureKind.INFRASTRUCTURE
    # After a fault of the device, or of its link to others, the process cannot go on: the trial needs a new worker.
    if type(error).__name__ in ("AcceleratorError", "DistBackendError") or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    ):
        return FailureKind.INFRASTRUCTURE
    return FailureKind.PROGRAM


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    # torch's own class is recognised by its name, so that plans need not import torch.
    if type(error).__name__ == "OutOfMemoryError" and "RayError" not in _names(error):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_GPU_MEMORY.search(str(error)) is not None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # The CPU's allocator has no class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _names(error: BaseException) -> set[str]:
    """Names of the error's class and of its base classes; Ray's and torch's classes are not imported here."""
    return {kind.__name__ for kind in type(error).__mro__}
