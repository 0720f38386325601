"""Adversarial objectives as functions of scores: what else an update brings is made up here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import torch
from pydantic import TypeAdapter

from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.objectives import AnyObjective
from orchestrator.objectives.adversarial import Adversarial, UpdateContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

OBJECTIVES: TypeAdapter[Any] = TypeAdapter(AnyObjective)
_CLASSES = [cls for cls in get_args(get_args(AnyObjective)[0]) if issubclass(cls, Adversarial)]
KINDS = sorted(kind for cls in _CLASSES for kind in get_args(cls.model_fields["kind"].annotation))
REQUIRED = {"ebgan": {"margin": 1.0}}
"""Settings without a default."""


def objective(kind: str, **settings: object) -> Adversarial:
    """The objective of a kind, with what it must be told."""
    return OBJECTIVES.validate_python({"kind": kind, **REQUIRED.get(kind, {}), **settings})


def judged(scores: Tensor, features: Tensor | None = None) -> DiscriminatorOutput:
    """Scores with features that nothing is known of."""
    return DiscriminatorOutput(scores, scores.new_zeros(len(scores), 0) if features is None else features)


def update_of(chosen: Adversarial, seed: int = 0, state: Mapping[str, Tensor] | None = None) -> UpdateContext:
    """An update in the middle of training: a controller is neither at its start nor at its end."""
    middle = {name: torch.full_like(value, 0.5) for name, value in chosen.initial_state().items()}
    return UpdateContext(middle if state is None else state, torch.Generator().manual_seed(seed))


def d_loss(chosen: Adversarial, real: Tensor, fake: Tensor, seed: int = 0) -> Tensor:
    """The discriminator's loss of scores."""
    return chosen.discriminator(judged(real), judged(fake), update_of(chosen, seed))


def g_loss(chosen: Adversarial, fake: Tensor, real: Tensor | None = None, seed: int = 0) -> Tensor:
    """The generator's loss of scores."""
    return chosen.generator(judged(fake), None if real is None else judged(real), update_of(chosen, seed))
