"""Trials small enough for many processes on two processors: 40 images, batches of 12, networks two maps wide."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from orchestrator.training.gan import Gan
from orchestrator.training.learner import Learner
from orchestrator.training.settings import TrialSettings
from tests.objectives.outputs import KINDS, OBJECTIVES, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from orchestrator.distributed.group import Group

AnyLearner = TypeVar("AnyLearner", bound=Learner)
IMAGES, BATCH = 40, 12
_PLAIN: Mapping[str, Any] = MappingProxyType({})
EVERY: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        **{kind: {"kind": kind, **REQUIRED.get(kind, {})} for kind in KINDS},
        "smoothed labels": {
            "kind": "non_saturating",
            "labels": {"real": [0.9, 1.0], "fake": [0.0, 0.1], "generator": [0.9, 1.0]},
        },
        "feature matching": {"kind": "saturating", "feature_matching": 10.0},
        "R1": {"kind": "least_squares", "r1": 1.0},
        "R2": {"kind": "hinge", "r2": 1.0},
        "R3GAN": {"kind": "rsgan", "r1": 1.0, "r2": 1.0},
        "pulling away": {"kind": "ebgan", "margin": 1.0, "pulling_away": 0.1},
    }
)
"""Every registered objective, and what may be added to them."""
NOT_A_MEAN = frozenset({"rasgan", "ralsgan", "feature matching", "pulling away", "smoothed labels"})
"""Those whose loss of a batch is not the mean of the losses of its parts; labels are drawn for a whole batch."""


@contextmanager
def doubles(*, wanted: bool = True) -> Iterator[None]:
    """Double precision: two orders of the same sums then agree to many digits."""
    torch.set_default_dtype(torch.float64 if wanted else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def trial(name: str = "non_saturating", model: Mapping[str, Any] = _PLAIN, **training: Any) -> TrialSettings:
    """Settings under an objective of ``EVERY``, with networks that it can train."""
    objective = OBJECTIVES.validate_python(EVERY[name])
    plain = {"kind": "dcgan", "width": 2}
    if objective.judges == "reconstruction":
        plain = {"kind": "autoencoding", "width": 2, "code_dim": 4}
    if objective.penalties:
        plain |= {"discriminator_norm": "none"}
    return TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"latent_dim": 3, **(model if "kind" in model else {**plain, **model})},
            "objective": objective.model_dump(),
            "training": {"batch_size": BATCH, **training},
        }
    )


def images() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=random, dtype=torch.uint8)


def in_default_precision(learner: AnyLearner) -> AnyLearner:
    """Real images come in single precision, whatever that of the networks."""
    chosen = learner.batches.chosen

    def widened(batch: int = 0) -> tuple[Tensor, Tensor]:
        images, numbers = chosen(batch)
        return images.to(torch.get_default_dtype()), numbers

    learner.batches.chosen = widened  # type: ignore[method-assign]
    return learner


def make_gan(group: Group, settings: TrialSettings, of: Callable[..., Gan] = Gan) -> Gan:
    gan = of(
        settings.model,
        settings.objective,
        settings.training,
        images(),
        settings.data.shape,
        group,
    )
    return in_default_precision(gan)


def bend(gan: Gan) -> Gan:
    """Larger weights bring scores far from zero, where the objectives bend; an autoencoder's errors are far enough."""
    if gan.objective.judges == "scores":
        with torch.no_grad():
            for parameter in gan.g_parameters + gan.d_parameters:
                parameter.mul_(10)
    return gan


class OfEachProcess(Learner):
    """What is wrong: the mean over processes of the gradients of each one's own loss."""

    def _backward(
        self,
        judge: Callable[[int], tuple[Tensor, ...]],
        loss_of: Any,
        parameters: list[nn.Parameter],
        also: Sequence[Tensor] = (),
    ) -> Any:
        said = judge(0)
        loss = loss_of(*said)
        (loss / self.group.size).backward()
        self.group.sum_gradients(parameters, also)
        rows = tuple(rows.detach() for rows in said)
        return loss.detach(), rows, rows
