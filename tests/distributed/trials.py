"""Trials small enough for many processes on two processors: 40 images, batches of 12, networks two maps wide."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn.functional import softplus

from orchestrator.objectives import AnyObjective
from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from orchestrator.distributed.group import Group

IMAGES, BATCH = 40, 12
_PLAIN: Mapping[str, Any] = MappingProxyType({})
OBJECTIVES = TypeAdapter(AnyObjective)
_CLASSES = get_args(get_args(AnyObjective)[0]) if get_args(AnyObjective) else (AnyObjective,)
KINDS = sorted(kind for cls in _CLASSES for kind in get_args(cls.model_fields["kind"].annotation))


class Relativistic:
    """Not registered: each score is judged against the mean of the others, and G by its batch's spread as well.

    Jolicoeur-Martineau, arXiv 1807.00734, with means that the gradient goes through; so the loss of a batch is far
    from the mean of the losses of its parts.
    """

    kind = "relativistic (test only)"

    def discriminator(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        return softplus(d_fake.mean() - d_real).mean() + softplus(d_fake - d_real.mean()).mean()

    def generator(self, d_fake: Tensor) -> Tensor:
        return softplus(d_fake.mean() - d_fake).mean() + (d_fake.mean() - 1) ** 2 - (d_fake.var() + 1e-3).log()


@contextmanager
def doubles(*, wanted: bool = True) -> Iterator[None]:
    """Double precision: two orders of the same sums then agree to many digits."""
    torch.set_default_dtype(torch.float64 if wanted else torch.float32)
    yield
    torch.set_default_dtype(torch.float32)


def trial(kind: str = "non_saturating", model: Mapping[str, Any] = _PLAIN, **training: Any) -> TrialSettings:
    return TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"latent_dim": 3, **(model if "kind" in model else {"kind": "dcgan", "width": 2, **model})},
            "objective": {"kind": kind},
            "training": {"batch_size": BATCH, **training},
        }
    )


def images() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=random, dtype=torch.uint8)


def in_default_precision(gan: Gan) -> Gan:
    """Real images come in single precision, whatever that of the networks."""
    draw: Callable[[], Tensor] = gan.batches.next
    gan.batches.next = lambda: draw().to(torch.get_default_dtype())  # type: ignore[method-assign]
    return gan


def make_gan(group: Group, settings: TrialSettings, of: Callable[..., Gan] = Gan, objective: Any = None) -> Gan:
    gan = of(
        settings.model,
        objective or settings.objective,
        settings.training,
        images(),
        settings.data.shape,
        group,
    )
    return in_default_precision(gan)
