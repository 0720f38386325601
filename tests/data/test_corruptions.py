"""Corruptions against their definitions, and that an image's depends on nothing but seed and number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from orchestrator.data.corruptions import (
    AnyCorruption,
    Corruption,
    Crosswalk,
    GaussianNoise,
    Holes,
    Occlusion,
    Pepper,
    Square,
)
from orchestrator.data.images import ImageShape

KINDS: list[Corruption] = [
    GaussianNoise(),
    Holes(),
    Holes(fill="black", number=1),
    Square(),
    Square(place="random"),
    Pepper(),
    Crosswalk(),
]
NUMBERS = [5, 0, 17, 3]


def images(n: int = 4, c: int = 3, h: int = 28, w: int = 20) -> torch.Tensor:
    # nothing black, grey or equal, so that whatever is painted shows
    return 0.6 + 0.3 * torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("corruption", KINDS, ids=lambda kind: kind.kind)
def test_masks_say_what_was_done(corruption: Corruption) -> None:
    clean = images()
    corrupted, observed, touched = corruption.apply(clean, NUMBERS, seed=0)
    assert corrupted.shape == clean.shape
    assert observed.shape == touched.shape == (4, 1, 28, 20)
    assert torch.equal((corrupted != clean).any(1, keepdim=True), touched)
    assert observed.flatten(1).any(1).all()
    if not isinstance(corruption, GaussianNoise):
        assert torch.equal(observed, ~touched)


@pytest.mark.parametrize("corruption", KINDS, ids=lambda kind: kind.kind)
def test_an_image_is_corrupted_alike_in_any_batch(corruption: Corruption) -> None:
    clean = images()
    together = corruption.apply(clean, NUMBERS, seed=3)
    backwards = corruption.apply(clean.flip(0), NUMBERS[::-1], seed=3)
    for place, number in enumerate(NUMBERS):
        alone = corruption.apply(clean[place : place + 1], [number], seed=3)
        for one, all_of_them, other_way in zip(alone, together, backwards, strict=True):
            assert torch.equal(one[0], all_of_them[place])
            assert torch.equal(one[0], other_way[3 - place])


@pytest.mark.parametrize(
    "corruption", [GaussianNoise(), Holes(), Pepper(), Square(place="random")], ids=lambda kind: kind.kind
)
def test_seed_and_number_decide(corruption: Corruption) -> None:
    clean = images(1)
    drawn = [corruption.apply(clean, [number], seed).images for seed in (0, 1) for number in (0, 1)]
    assert all(not torch.equal(a, b) for place, a in enumerate(drawn) for b in drawn[:place])


def test_noise_is_normal_and_not_clamped() -> None:
    clean = torch.ones(50, 1, 40, 50)
    noise = GaussianNoise(std=0.1).apply(clean, range(50), seed=0).images - 1
    assert abs(noise.std().item() - 0.1) < 5 * 0.1 / (2 * noise.numel()) ** 0.5
    assert abs(noise.mean().item()) < 5 * 0.1 / noise.numel() ** 0.5
    # the fourth moment of a normal is 3
    assert abs(((noise / 0.1) ** 4).mean().item() - 3) < 5 * (96 / noise.numel()) ** 0.5


def test_holes_and_squares_lie_within_and_reach_every_place() -> None:
    clean = images(1).expand(2000, -1, -1, -1)
    kinds: list[tuple[Occlusion, float]] = [
        (Holes(number=1), 0.5), (Holes(number=1, fill="black"), 0.0), (Square(place="random"), 0.0)
    ]  # fmt: skip
    for kind, value in kinds:
        corrupted, _, touched = kind.apply(clean, range(2000), seed=0)
        assert (touched.flatten(1).sum(1) == 64).all()
        assert (corrupted[touched.expand_as(corrupted)] == value).all()
    rows, columns = touched[:, 0].any(2), touched[:, 0].any(1)
    assert (rows.sum(1) == 8).all()
    assert (columns.sum(1) == 8).all()
    # each of the 21x13 places is as likely as any other
    tops, lefts = rows.int().argmax(1), columns.int().argmax(1)
    for found, places in ((tops, 21), (lefts, 13)):
        counts = torch.bincount(found, minlength=places)
        assert len(counts) == places
        assert ((counts - 2000 / places).square() / (2000 / places)).sum() < places + 5 * (2 * places) ** 0.5


def test_several_holes_leave_something() -> None:
    touched = Holes(number=3).apply(images(), NUMBERS, seed=0).touched
    hidden = touched.flatten(1).sum(1)
    assert ((hidden > 64) & (hidden <= 3 * 64)).all()


def test_the_square_is_in_the_middle() -> None:
    touched = Square(size=8).apply(images(), NUMBERS, seed=0).touched[0, 0]
    assert touched[10:18, 6:14].all()
    assert touched.sum() == 64


def test_pepper_blackens_its_share() -> None:
    corrupted, _, touched = Pepper().apply(images(), NUMBERS, seed=0)
    assert (touched.flatten(1).sum(1) == 168).all()
    assert (corrupted[touched.expand_as(corrupted)] == 0).all()


def test_every_second_row_is_black() -> None:
    corrupted, observed, _ = Crosswalk().apply(images(), NUMBERS, seed=0)
    assert (corrupted[:, :, 1::2] == 0).all()
    assert torch.equal(corrupted[:, :, ::2], images()[:, :, ::2])
    assert observed[:, :, ::2].all()


@pytest.mark.parametrize(
    ("corruption", "shape", "said"),
    [
        (Holes(), (7, 20), "holes: 8x8 pixels do not fit into images of 7x20; lower size to 7 or less"),
        (Square(), (20, 7), "square: 8x8 pixels do not fit into images of 20x7; lower size to 7 or less"),
        (Square(), (8, 8), "square: 8x8 pixels cover the whole of an image of 8x8; lower its size"),
        (Holes(), (8, 24), "holes: 3 of 8x8 pixels could cover the whole of an image of 8x24; lower number or size"),
        (Pepper(share=0.001), (8, 8), "pepper: a share of 0.001 of 64 pixels is none or all of them; "),
        (Crosswalk(), (1, 8), "crosswalk: needs images of more than one row"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(corruption: Corruption, shape: tuple[int, int], said: str) -> None:
    problem = corruption.reject(ImageShape(1, *shape))
    assert problem is not None
    assert problem.startswith(said)
    assert "\n" not in problem


@pytest.mark.parametrize("corruption", KINDS, ids=lambda kind: kind.kind)
def test_images_of_mnist_pass(corruption: Corruption) -> None:
    assert corruption.reject(ImageShape(1, 28, 28)) is None


def test_kinds_are_told_apart() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyCorruption)
    for corruption in KINDS:
        assert adapter.validate_python(corruption.model_dump()) == corruption
    for wrong in ({"kind": "salt"}, {"kind": "holes", "fill": "white"}, {"kind": "pepper", "share": 1.0}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
