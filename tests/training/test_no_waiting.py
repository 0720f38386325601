"""A step never makes the host wait for the device: seen on a CPU by the operations that would, on a GPU by CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from orchestrator.training.progress import Progress
from tests.training.families import make, trial

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique2", "_unique2"}
"""Reads of the device's results."""
UPLOADS = {"lift_fresh", "lift_fresh_copy"}
"""Tensors made from Python's numbers: on a GPU a copy that is waited for."""
METHODS = {"item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__", "cuda"}


def tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


class NoDispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in OPERATIONS | UPLOADS, name
        # a mask has to be counted before the host knows the result's size
        assert not (name.startswith("index") and any(t.dtype == torch.bool for t in tensors(args[1]))), name
        return func(*args, **(kwargs or {}))


class NoCalls(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in METHODS, name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x.cpu(),
        lambda x: bool(x.isnan().any()),
        lambda x: float(x.mean()),
        lambda x: x[x > 0],
        lambda x: torch.where(x > 0),
        lambda x: torch.tensor([1.0]) + x,
        lambda x: x.new_tensor(1.0),
    ],
)
def test_the_watch_sees_what_waits(wait: Callable[[Tensor], object]) -> None:
    with pytest.raises(AssertionError), NoDispatch(), NoCalls():
        wait(torch.ones(3))


@pytest.mark.parametrize("kind", ["saturating", "non_saturating", "least_squares"])
def test_nothing_is_read_back_between_two_logged_steps(make_gan, kind: str) -> None:
    progress = Progress(make_gan(kind, d_steps=2, g_steps=2, epochs=2, log_every=6), 5)
    with NoDispatch(), NoCalls():
        progress.advance(5)
    assert progress.step == 5
    assert progress.rows == []
    with pytest.raises(AssertionError, match="tolist"), NoDispatch(), NoCalls():
        progress.advance(5)
    assert progress.step == 6


@pytest.mark.parametrize("kind", ["autoencoder", "wae_moments", "wae_mmd", "wae_adversarial", "glo", "likelihood"])
def test_other_families_wait_as_little(images: Tensor, kind: str) -> None:
    progress = Progress(make(trial(kind, epochs=2, log_every=6, g_ema=0.5), images), 5)
    with NoDispatch(), NoCalls():
        progress.advance(5)
    assert (progress.step, progress.rows) == (5, [])
