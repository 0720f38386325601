"""The fewest images that a pass in training takes, for every kind of networks: as many pass, and one fewer does not."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageShape
from orchestrator.distributed.batch_norm import synchronize
from orchestrator.distributed.group import Group
from orchestrator.models import NETWORKS, AnyModel
from orchestrator.models._layers import set_generator
from orchestrator.models.pair import Pair
from tests.models.pairs import MODELS, NARROW

CLASSES = {get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(get_args(AnyModel)[0])}
NORMS = ("batch_norm", "discriminator_norm")
TRAINED = (
    frozenset({"generator", "discriminator"}),
    frozenset({"generator"}),
    frozenset({"generator", "encoder"}),
    frozenset({"generator", "flow"}),
)


class Twins(Group):
    """Two devices of which the other one has the same images as this one."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def stack(self, tensor: Tensor) -> Tensor:
        return torch.stack([tensor.detach()] * 2)


def options(kind: str) -> list[dict[str, Any]]:
    fields = CLASSES[kind].model_fields
    choices = {name: get_args(fields[name].annotation) for name in NORMS if name in fields}
    narrow = {name: value for name, value in NARROW.items() if name in fields}
    found = [
        {"kind": kind, **narrow, **dict(zip(choices, values, strict=True))}
        for values in itertools.product(*choices.values())
    ]
    alone = {"generator_widths": [1], "discriminator_widths": [3, 1], "width": 1}
    return [*found, *({**one, **{name: value for name, value in alone.items() if name in fields}} for one in found)]


def smallest(model: Any) -> ImageShape:
    """The smallest image, or nearly so: sides that differ, and are not even, as far as it takes such."""
    sides = sorted(itertools.product(range(1, 40), repeat=2), key=lambda pair: (pair[0] * pair[1], pair))
    return next(shape for side in sides if model.reject(shape := ImageShape(1, *side)) is None)


def pass_through(model: Any, shape: ImageShape, trained: frozenset[str], workers: int, images: int) -> None:
    """One pass of each network in training, of so many images on each device."""
    pictures = 2 * torch.rand(images, *shape) - 1
    for name in sorted(trained - {"flow"} if "flow" not in trained else {"flow"}):
        network: nn.Module = model.build_generator(shape) if name == "flow" else getattr(model, f"build_{name}")(shape)
        set_generator(network, torch.Generator().manual_seed(0))
        if workers > 1 and model.batch_statistics == "synchronized":
            network = synchronize(network, Twins())
        if name == "flow":
            network.encode(pictures)  # type: ignore[operator]
        else:
            network(torch.randn(images, model.latents(shape)) if name == "generator" else pictures)


def is_pair(kind: str) -> bool:
    return issubclass(CLASSES[kind], Pair)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_as_many_images_as_it_says_pass_and_one_fewer_does_not(kind: str) -> None:
    twos = 0
    for raw, workers in itertools.product(options(kind), (1, 2)):
        model = MODELS.validate_python(raw)
        shape = smallest(model)
        for trained in TRAINED:
            if not trained <= NETWORKS[kind]:
                continue
            least = model.least_part(trained, workers)
            pass_through(model, shape, trained, workers, least)
            twos += least > 1
            if least > 1:
                with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
                    pass_through(model, shape, trained, workers, least - 1)
    assert (twos > 0) == (kind in ("fully_connected", "mixed_layers"))
