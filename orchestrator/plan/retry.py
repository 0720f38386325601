"""What a failure means for the trial: pure decisions, which the runtime obeys."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.errors import NonFiniteLossError, StorageUnavailable


class FailureKind(StrEnum):
    """Why a trial failed, as far as it decides whether trying again can help."""

    INFRASTRUCTURE = "infrastructure"
    NON_FINITE = "non_finite"
    OUT_OF_MEMORY = "out_of_memory"
    PROGRAM = "program"

    @property
    def may_pass(self) -> bool:
        """Whether another run can help; Tune then makes up to ``resources.max_retries``. Others fail the same way."""
        return self is FailureKind.INFRASTRUCTURE


def classify(error: BaseException) -> FailureKind:
    """The kind of an exception that training raised; the loss of a whole worker never gets here."""
    if isinstance(error, NonFiniteLossError):
        return FailureKind.NON_FINITE
    # torch's own class is told by its name, so that plans need not import torch; the CPU allocator has no class.
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, StorageUnavailable | ConnectionError | TimeoutError):
        return FailureKind.INFRASTRUCTURE
    # A fault of the device, or of its link to others, leaves its process unable to go on: the trial needs a new worker.
    if type(error).__name__ in ("AcceleratorError", "DistBackendError") or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    ):
        return FailureKind.INFRASTRUCTURE
    return FailureKind.PROGRAM
