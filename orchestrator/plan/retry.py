"""What a failure means for the trial: pure decisions, which the runtime obeys."""

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

_SYSTEM_SAYS = tuple(
    os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
)
"""What native code repeats of the system's errors, in exceptions of its own."""


def classify(error: BaseException) -> FailureKind:
    """The kind of an exception that training raised; the loss of a whole worker never gets here."""
    if isinstance(error, NonFiniteLossError):
        return FailureKind.NON_FINITE
    if _is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
    # Storage has been waited for by now.
    if isinstance(error, StorageUnavailable | StorageRefused | LeaseLostError | SurroundingsError):
        return FailureKind.SURROUNDINGS
    if isinstance(error, ConnectionError | TimeoutError):
        return FailureKind.INFRASTRUCTURE
    # A trial's own code opens no files: what the system refuses, such as room for temporary ones, is not its doing.
    if isinstance(error, OSError) and error.errno is not None:
        return FailureKind.SURROUNDINGS
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _SYSTEM_SAYS):
        return FailureKind.SURROUNDINGS
    names = _names(error)
    if "OutOfDiskError" in names:
        return FailureKind.SURROUNDINGS
    # Ray's own: objects whose owner or node has gone. What it passes on of a task's failure is another matter.
    if "RayError" in names and "RayTaskError" not in names:
        return FailureKind.INFRASTRUCTURE
    # A fault of the device, or of its link to others, leaves its process unable to go on: the trial needs a new worker.
    if type(error).__name__ in ("AcceleratorError", "DistBackendError") or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    ):
        return FailureKind.INFRASTRUCTURE
    return FailureKind.PROGRAM


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's own class is told by its name, so that plans need not import torch; the CPU allocator has no class.
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if type(error).__name__ == "OutOfMemoryError" and "RayError" not in _names(error):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _names(error: BaseException) -> set[str]:
    """Names of the error's class and of those it is derived from: those of Ray and torch are not imported here."""
    return {kind.__name__ for kind in type(error).__mro__}
