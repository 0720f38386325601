"""Classifies failures of trials: pure decisions, which the runtime carries out."""

from __future__ import annotations

import errno
import os

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


def classify(error: BaseException) -> FailureKind:
    """The kind of an exception that training raised; the loss of a whole worker is handled elsewhere."""
    if isinstance(error, NonFiniteLossError):
        return FailureKind.NON_FINITE
    if _is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
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


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's own class is recognised by its name, so that plans need not import torch; the CPU allocator has no class.
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if type(error).__name__ == "OutOfMemoryError" and "RayError" not in _names(error):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _names(error: BaseException) -> set[str]:
    """Names of the error's class and of its base classes; Ray's and torch's classes are not imported here."""
    return {kind.__name__ for kind in type(error).__mro__}
