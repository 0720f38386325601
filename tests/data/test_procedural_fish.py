from __future__ import annotations

import hashlib
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier

from orchestrator.data import ImageShape
from orchestrator.data.fish.settings import ProceduralFish

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"height": 14, "width": 32}


@pytest.mark.parametrize("size", [(140, 320), (35, 80), (28, 64), (28, 28), (64, 64), (32, 8)])
def test_promised_and_drawn_shapes_agree(size: tuple[int, int]) -> None:
    fish = ProceduralFish(height=size[0], width=size[1], images=7)
    train, test = fish.load(), fish.load("test")
    assert fish.shape == train.shape == test.shape == ImageShape(3, *size)
    assert (fish.size, len(train), len(test)) == (7, 7, 2)
    assert train.pixels.dtype == np.uint8
    assert train.labels is not None
    assert train.labels.dtype == np.int64


def test_the_pictures_are_the_same_everywhere() -> None:
    """Whoever changes them raises ``drawing.VERSION`` and ``SPEC_VERSION``: results of other pictures are others."""
    pixels = ProceduralFish(height=35, width=80, images=20).load().pixels
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "0ddbd142ea4b8b99"


@given(few=st.integers(1, 6), more=st.integers(0, 6), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None, max_examples=15)
def test_a_larger_set_begins_with_the_smaller(few: int, more: int, seed: int) -> None:
    small = ProceduralFish(images=few, seed=seed, **SMALL)
    large = ProceduralFish(images=few + more, seed=seed, **SMALL)
    cut = ProceduralFish(images=few + more, seed=seed, max_images=few, **SMALL)
    for split in ("train", "test"):
        for less, whole in zip(astuple(small.load(split)), astuple(large.load(split)), strict=True):
            np.testing.assert_array_equal(less, whole[: len(less)])
    assert cut.size == few
    for kept, whole in zip(astuple(cut.load()), astuple(small.load()), strict=True):
        np.testing.assert_array_equal(kept, whole)
    assert len(cut.load("test")) == len(large.load("test")) == -(-(few + more) // 5)


@given(height=st.integers(8, 90), width=st.integers(8, 200), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_any_size_can_be_drawn(height: int, width: int, seed: int) -> None:
    pixels = ProceduralFish(height=height, width=width, images=2, seed=seed).load().pixels
    assert pixels.shape == (2, 3, height, width)
    assert all(image.std() > 5 for image in pixels)


def test_no_image_comes_twice_in_any_split_or_seed() -> None:
    sets = [
        ProceduralFish(images=100, seed=seed, **SMALL).load(split)
        for seed in (0, 1, 2**40)
        for split in ("train", "test")
    ]
    images = [image.tobytes() for pixels in sets for image in pixels.pixels]
    assert len(set(images)) == len(images) == 360


@pytest.mark.slow
def test_species_are_about_equally_many() -> None:
    labels = ProceduralFish(height=8, width=8, images=1000).load().labels
    assert labels is not None
    counts = np.bincount(labels)
    # 200 expected with a standard deviation of 13: four of them
    assert len(counts) == 5
    assert np.abs(counts - 200).max() < 52


@pytest.mark.slow
def test_species_can_be_told_apart_and_nothing_is_the_same_everywhere() -> None:
    fish = ProceduralFish(images=600, **SMALL)
    train, test = fish.load(), fish.load("test")
    assert train.pixels.std(axis=0).min() > 10
    model = RidgeClassifier(alpha=300).fit(train.pixels.reshape(600, -1) / 255, train.labels)
    # chance is a fifth, and a linear model of raw pixels sees little of a shape that moves and turns around
    assert model.score(test.pixels.reshape(len(test), -1) / 255, test.labels) > 0.3


def test_a_size_does_not_change_the_scene() -> None:
    """The same fish in the same water, if of fewer pixels."""
    large = ProceduralFish(images=6).load()
    small = ProceduralFish(height=35, width=80, images=6).load()
    shrunk = large.pixels.reshape(6, 3, 35, 4, 80, 4).mean(axis=(3, 5))
    np.testing.assert_array_equal(small.labels, large.labels)
    assert np.abs(shrunk - small.pixels).mean() < 8


def test_global_random_numbers_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    ProceduralFish(images=1, **SMALL).load()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_the_cache_holds_what_was_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fish = ProceduralFish(images=6, cache=str(tmp_path), **SMALL)
    plain = {split: ProceduralFish(images=6, **SMALL).load(split) for split in ("train", "test")}
    for split in plain:
        fish.load(split)
    monkeypatch.setattr(ProceduralFish, "_draw", None)
    for split, images in plain.items():
        for kept, drawn in zip(astuple(fish.load(split)), astuple(images), strict=True):
            np.testing.assert_array_equal(kept, drawn)
    with pytest.raises(TypeError):
        ProceduralFish(images=6, seed=1, cache=str(tmp_path), **SMALL).load()
