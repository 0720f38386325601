"""What a failure means for its trial."""

from __future__ import annotations

import pytest
import torch

from orchestrator.errors import (
    CheckpointError,
    DataError,
    NonFiniteLossError,
    NotFoundError,
    StorageError,
    StorageUnavailable,
)
from orchestrator.plan.retry import FailureKind, classify


def cpu_out_of_memory() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLossError(7), "non_finite"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (cpu_out_of_memory(), "out_of_memory"),
        (torch.AcceleratorError("device lost"), "infrastructure"),
        (torch.distributed.DistBackendError("NCCL: a peer is gone"), "infrastructure"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "infrastructure"),
        (StorageUnavailable("no answer"), "infrastructure"),
        (ConnectionResetError(), "infrastructure"),
        (TimeoutError(), "infrastructure"),
        (StorageError("disk full"), "program"),
        (NotFoundError("gone"), "program"),
        (CheckpointError("damaged"), "program"),
        (DataError("too small"), "program"),
        (RuntimeError("shapes do not fit"), "program"),
        (FloatingPointError(), "program"),
        (AssertionError(), "program"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kinds(error: BaseException, kind: str) -> None:
    assert classify(error) == FailureKind(kind)


def test_only_failures_of_the_infrastructure_may_pass() -> None:
    assert [kind for kind in FailureKind if kind.may_pass] == [FailureKind.INFRASTRUCTURE]
