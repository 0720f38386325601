"""Differentiable augmentation against the authors' definitions in numpy, and its place in a step."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.augmentation import (
    Augmentation,
    brightness,
    contrast,
    cut_out,
    saturation,
    translate,
)
from tests.distributed.trials import make_gan, trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.training.gan import Gan

ALL = {"cutout": True, "color": True, "translation": True}
N, SIDES = 6, (8, 12)


def photos(channels: int = 3, count: int = N) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, *SIDES, generator=random, dtype=torch.float64) * 2 - 1


def expected_brightness(image: np.ndarray, u: float) -> np.ndarray:
    return image + (u - 0.5)


def expected_saturation(image: np.ndarray, u: float) -> np.ndarray:
    mean = image.mean(axis=0, keepdims=True)
    return (image - mean) * (u * 2) + mean


def expected_contrast(image: np.ndarray, u: float) -> np.ndarray:
    mean = image.mean()
    return (image - mean) * (u + 0.5) + mean


def expected_translation(image: np.ndarray, down: int, across: int) -> np.ndarray:
    """The authors' way: a frame of one zero around the image, and places clamped into it."""
    _, h, w = image.shape
    framed = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    rows = np.clip(np.arange(h) + down + 1, 0, h + 1)
    columns = np.clip(np.arange(w) + across + 1, 0, w + 1)
    return framed[:, rows][:, :, columns]


def expected_cutout(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """The authors' way: the places of the rectangle, clamped into the image."""
    _, h, w = image.shape
    mask = np.ones((h, w))
    rows, columns = (
        np.clip(np.arange(size // 2) + middle - size // 4, 0, size - 1) for size, middle in ((h, row), (w, column))
    )
    mask[np.ix_(rows, columns)] = 0
    return image * mask


SHARES = (torch.tensor([0.0, 0.2, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64),)
SHIFTS = (torch.tensor([0, 1, -1, 0, -2, 7]), torch.tensor([0, 0, 2, -2, 1, -3]))
MIDDLES = (torch.tensor([0, 8, 4, 1, 7, 3]), torch.tensor([0, 12, 6, 11, 2, 12]))
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., np.ndarray], tuple[Tensor, ...]]] = {
    "brightness": (brightness, expected_brightness, SHARES),
    "saturation": (saturation, expected_saturation, SHARES),
    "contrast": (contrast, expected_contrast, SHARES),
    "translation": (translate, expected_translation, SHIFTS),
    "cutout": (cut_out, expected_cutout, MIDDLES),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_is_the_authors_of_the_same_numbers_image_by_image(name: str, channels: int) -> None:
    compute, expected, numbers = CASES[name]
    images = photos(channels)
    together = compute(images, *numbers)
    for i, image in enumerate(images):
        one = expected(image.numpy(), *(value[i].item() for value in numbers))
        np.testing.assert_allclose(together[i].numpy(), one, rtol=1e-12, atol=1e-12)
        alone = compute(image[None], *(value[i : i + 1] for value in numbers))
        np.testing.assert_allclose(together[i].numpy(), alone[0].numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives_are_finite_differences(name: str) -> None:
    compute, _, numbers = CASES[name]
    images = torch.nn.functional.avg_pool2d(photos(2, 2), 2).requires_grad_()

    def squared(points: Tensor) -> Tensor:
        return compute(points, *(value[:2] for value in numbers)).square()

    assert torch.autograd.gradcheck(squared, images)
    assert torch.autograd.gradgradcheck(squared, images)


def test_images_of_one_channel_have_no_saturation() -> None:
    images = photos(1)
    torch.testing.assert_close(saturation(images, *SHARES), images)


def test_what_is_filled_in_is_mid_grey() -> None:
    """0 in [-1, 1]: an image that is all white comes to hold white and zeros alone."""
    white = torch.ones(40, 3, *SIDES)
    for policy in ("translation", "cutout"):
        found = Augmentation((policy,), torch.Generator().manual_seed(0))(white)
        assert set(found.unique().tolist()) == {0.0, 1.0}


def test_shifts_and_rectangles_have_the_authors_sizes_and_reach_all_of_their_places() -> None:
    """Sides of 28: shifts of up to 4 pixels, rectangles of 14 whose middles are the 29 edges of pixels."""
    count, side = 4000, 28
    random = torch.Generator().manual_seed(0)
    image = torch.arange(1.0, side + 1).expand(count, 1, side, side)  # a pixel's value is its column
    middle = Augmentation(("translation",), random)(image)[:, 0, side // 2, side // 2]
    assert sorted((middle - image[0, 0, 0, side // 2]).unique().tolist()) == list(range(-4, 5))
    hidden = (Augmentation(("cutout",), random)(image) == 0)[:, 0].any(1)
    assert hidden.sum(1).max() == 14
    first = hidden.int().argmax(1)
    assert hidden.sum(1).min() == 7
    assert sorted(first.unique().tolist()) == list(range(22))
    assert hidden.double().mean() == pytest.approx((14 * 15 + 2 * sum(range(7, 14))) / 29 / 28, abs=0.01)


def test_without_policies_images_are_passed_on_and_nothing_is_drawn() -> None:
    random, images = torch.Generator().manual_seed(0), photos()
    before = random.get_state()
    assert Augmentation((), random)(images) is images
    assert torch.equal(random.get_state(), before)


def test_policies_are_kept_in_the_authors_order_and_others_refused() -> None:
    assert trial(augmentation=ALL).training.augmentation.policies == ("color", "translation", "cutout")
    assert trial(augmentation={"cutout": True}).training.augmentation.policies == ("cutout",)
    with pytest.raises(ValidationError, match=r"augmentation\.flip"):
        trial(augmentation={"flip": True})


def make(name: str = "non_saturating", group: Group = ALONE, model: Any = None, **training: Any) -> Gan:
    return make_gan(group, trial(name, model=model or {}, augmentation=ALL, **training))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("non_saturating", {"d_steps": 2, "g_steps": 2}),
        ("R3GAN", {"accumulate": 2}),
        ("feature matching", {}),
        ("began", {}),
        ("non_saturating", {"unrolled_steps": 2}),
    ],
    ids=str,
)
def test_a_trial_goes_on_bitwise_and_is_not_the_plain_one(name: str, more: dict[str, Any], differences: Any) -> None:
    whole, resumed, plain = make(name, **more), make(name, **more), make_gan(ALONE, trial(name, **more))
    first = whole.step()
    assert first.isfinite().all()
    assert not torch.equal(first, plain.step())
    resumed.load_state_dict(deepcopy(whole.state_dict()))
    for _ in range(2):
        assert torch.equal(whole.step(), resumed.step())
    assert differences(whole.state_dict(), resumed.state_dict()) == []


def test_real_and_generated_images_of_both_networks_updates_are_augmented() -> None:
    gan, seen = make("rsgan", d_steps=2), []
    augment = gan.augment

    def watched(images: Tensor) -> Tensor:
        seen.append((images, augment(images)))
        return seen[-1][1]

    gan.augment = watched  # type: ignore[assignment]
    gan.step()
    assert len(seen) == 2 * 2 + 2
    assert not any(torch.equal(before, after) for before, after in seen)


def test_a_pass_that_is_made_again_is_augmented_likewise() -> None:
    gan, seen = make(model={"batch_norm": "none"}, accumulate=2), []
    augment = gan.augment

    def watched(images: Tensor) -> Tensor:
        seen.append(augment(images))
        return seen[-1]

    gan.augment = watched  # type: ignore[assignment]
    gan.step()
    # Of D's update a real and a generated part each, twice; of G's a generated part each.
    assert len(seen) == 12
    for first, second in ((seen[:4], seen[4:8]), (seen[8:10], seen[10:12])):
        for images, again in zip(first, second, strict=True):
            torch.testing.assert_close(images, again, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(seen[0], seen[2])


def test_processes_draw_their_own_numbers_for_the_same_step() -> None:
    images, found = torch.rand(4, 1, 28, 28), []
    for rank in (0, 1, 0):
        gan = make(group=Group(rank, 2))
        gan.discriminator_noise.set_for(3)
        found.append(gan.augment(images))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
