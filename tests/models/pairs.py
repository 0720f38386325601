"""Each registered pair of networks at its smallest, for each shape that it takes."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from orchestrator.data.images import ImageShape
from orchestrator.models import AnyModel
from orchestrator.models._layers import set_generator
from orchestrator.models.model import initialize
from orchestrator.models.pair import Pair

MODELS: TypeAdapter[Any] = TypeAdapter(AnyModel)
CLASSES = [cls for cls in get_args(get_args(AnyModel)[0]) if issubclass(cls, Pair)]
KINDS = {kind: cls for cls in CLASSES for kind in get_args(cls.model_fields["kind"].annotation)}
NARROW = {"width": 2, "code_dim": 7, "generator_widths": [6, 8], "discriminator_widths": [8, 6]}
SHAPES = [
    *(ImageShape(c, side, side) for c, side in itertools.product((1, 3), (28, 32))),
    ImageShape(3, 64, 64),
    ImageShape(1, 15, 20),
]


def small(kind: str) -> Pair:
    """The kind at its smallest, as far as it has widths."""
    narrow = {name: value for name, value in NARROW.items() if name in KINDS[kind].model_fields}
    return MODELS.validate_python({"kind": kind, "latent_dim": 5, **narrow})


CASES = [
    pytest.param(kind, shape, id=f"{kind}-{shape}", marks=() if shape in SHAPES[:2] else pytest.mark.slow)
    for kind in sorted(KINDS)
    for shape in SHAPES
    if small(kind).reject(shape) is None
]

every_kind = pytest.mark.parametrize("kind", sorted(KINDS))
every_case = pytest.mark.parametrize(("kind", "shape"), CASES)


def networks(kind: str, shape: ImageShape, seed: int = 0, **settings: Any) -> tuple[nn.Module, nn.Module]:
    model = small(kind).model_copy(update=settings)
    random = torch.Generator().manual_seed(seed)
    pair = model.build_generator(shape), model.build_discriminator(shape)
    for network in pair:
        initialize(network, random, model.initialization)
        set_generator(network, random)
    return pair


def loss(generator: nn.Module, discriminator: nn.Module, count: int = 8) -> torch.Tensor:
    return discriminator(generator(torch.randn(count, 5))).scores.square().sum()
