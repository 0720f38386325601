from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from orchestrator.data import ImageShape
from orchestrator.data.digits import Digits


@pytest.mark.parametrize("side", [28, 32])
def test_promised_and_loaded_shapes_agree(side: int) -> None:
    settings = Digits(image_size=side)
    train, test = settings.load(), settings.load("test")
    assert settings.shape == (1, side, side)
    assert train.shape == test.shape == ImageShape(1, side, side)
    assert (len(train), len(test)) == (settings.size, 297) == (1500, 297)
    assert train.pixels.dtype == np.uint8
    assert train.labels is not None
    assert train.labels.dtype == np.int64


def test_splits_cut_the_source_in_two() -> None:
    train, test = Digits().load(), Digits().load("test")
    assert train.labels is not None
    assert test.labels is not None
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), load_digits().target)
    assert np.bincount(test.labels).min() >= 25


def test_every_image_shrinks_back_to_its_own_source() -> None:
    pixels = np.concatenate([Digits().load().pixels, Digits().load("test").pixels])[:, 0]
    shrunk = np.stack(
        [np.asarray(Image.fromarray(image[4:24, 4:24]).resize((8, 8), Image.Resampling.BOX)) for image in pixels]
    ).reshape(-1, 64)
    source = load_digits().data
    likeness = np.corrcoef(shrunk, source)[: len(shrunk), len(shrunk) :]
    # among 1,797 digits a few have a near twin
    assert (likeness.argmax(axis=1) == np.arange(1797)).mean() > 0.99
    assert likeness.diagonal().min() > 0.95


def test_range_is_used_and_the_frame_is_black() -> None:
    pixels = Digits(image_size=32).load().pixels
    assert pixels.max() == 255
    frame = pixels.copy()
    frame[:, :, 4:-4, 4:-4] = 0
    assert frame.max() <= 1


def test_larger_images_are_the_smaller_with_a_border() -> None:
    np.testing.assert_array_equal(Digits(image_size=32).load().pixels[..., 2:-2, 2:-2], Digits().load().pixels)


def test_loading_again_gives_the_same() -> None:
    np.testing.assert_array_equal(Digits().load().pixels, Digits().load().pixels)


def test_max_images_keeps_the_first_to_train_on_and_all_held_out() -> None:
    few = Digits(max_images=7)
    assert few.size == len(few.load()) == 7
    for kept, whole in zip(astuple(few.load()), astuple(Digits().load()), strict=True):
        np.testing.assert_array_equal(kept, whole[:7])
    assert len(few.load("test")) == 297
    assert Digits(max_images=5000).size == len(Digits(max_images=5000).load()) == 1500
