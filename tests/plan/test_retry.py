"""What a failure means for its trial."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from PIL import UnidentifiedImageError
from ray.exceptions import NodeDiedError, ObjectStoreFullError, OutOfDiskError, OwnerDiedError
from ray.exceptions import OutOfMemoryError as RayOutOfMemoryError

from orchestrator.errors import (
    CheckpointError,
    DataError,
    LeaseLostError,
    NonFiniteLossError,
    NotFoundError,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    SurroundingsError,
)
from orchestrator.plan.retry import classify
from orchestrator.state.ledger import FailureKind

SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EIO, errno.ESTALE)


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
        (StorageUnavailable("no answer"), "surroundings"),
        (StorageRefused("no rights"), "surroundings"),
        (LeaseLostError("another run took over"), "surroundings"),
        (SurroundingsError("the disk is full"), "surroundings"),
        *((OSError(code, os.strerror(code)), "surroundings") for code in SYSTEM),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "out_of_memory"),
        (RuntimeError(f"unable to map memory: {os.strerror(errno.ENOSPC)} (28)"), "surroundings"),
        (OutOfDiskError("no room for objects"), "surroundings"),
        (ObjectStoreFullError("no room for objects"), "infrastructure"),
        (OwnerDiedError("00ff", None, ""), "infrastructure"),
        (NodeDiedError("gone"), "infrastructure"),
        (RayOutOfMemoryError("a task was killed"), "infrastructure"),
        (UnidentifiedImageError("no image"), "program"),
        (ConnectionResetError(), "infrastructure"),
        (TimeoutError(), "infrastructure"),
        (StorageError("damaged"), "program"),
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


OF_THE_GPU = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    torch.distributed.DistBackendError("NCCL error in: NCCLUtils.cpp:94\nLast error:\nCuda failure 2 'out of memory'"),
)
ELSEWHERE = (MemoryError(), OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), cpu_out_of_memory())


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.01])
@pytest.mark.parametrize("error", OF_THE_GPU, ids=lambda error: str(error)[:40])
def test_a_gpus_memory_is_final_only_where_the_trial_had_the_gpu_to_itself(error: BaseException, share: float) -> None:
    kind = classify(error, share)
    assert kind.may_pass is (share < 1)
    assert kind.of_trial is (share == 1)
    assert kind is (FailureKind.OUT_OF_MEMORY if share == 1 else FailureKind.INFRASTRUCTURE)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("error", ELSEWHERE, ids=lambda error: type(error).__name__)
def test_the_hosts_memory_is_no_matter_of_shares_of_a_gpu(error: BaseException, share: float) -> None:
    assert classify(error, share) is FailureKind.OUT_OF_MEMORY


def test_only_failures_of_the_infrastructure_may_pass_and_those_of_the_surroundings_are_no_trial_s() -> None:
    assert [kind for kind in FailureKind if kind.may_pass] == [FailureKind.INFRASTRUCTURE]
    assert [kind for kind in FailureKind if not kind.of_trial] == [FailureKind.INFRASTRUCTURE, FailureKind.SURROUNDINGS]
