"""What an image keeps of a drawing: drawings by hand, and scikit-image's labels and boxes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import measure

from orchestrator.metrics.ink import INK, SMALL, InkKept, ink_kept


def drawing(*rows: str) -> np.ndarray:
    return np.array([[[0.0 if pixel == "." else 1.0 for pixel in row] for row in rows]])


LETTER_I = drawing(
    "..#....",
    ".......",
    ".###...",
    ".###...",
    ".###...",
)  # fmt: skip


def test_an_equal_image_keeps_everything() -> None:
    assert ink_kept(LETTER_I, LETTER_I) == InkKept(1, 1, 1, 1)


def test_a_lost_dot_is_a_lost_small_part() -> None:
    without = LETTER_I.copy()
    without[:, :2] = 0
    assert ink_kept(without, LETTER_I) == InkKept(0.9, 9 / 15, 0, 1)
    # without small parts there is nothing to recall, of large ones neither
    assert ink_kept(LETTER_I, without) == InkKept(10 / 9, 15 / 9, None, None)


def test_a_moved_image_keeps_its_size_but_not_its_pixels() -> None:
    assert ink_kept(np.roll(LETTER_I, 3, axis=2), LETTER_I) == InkKept(1, 1, 0, 0)


def test_without_ink_there_is_no_figure_and_an_empty_image_keeps_nothing() -> None:
    nothing = np.zeros_like(LETTER_I)
    assert ink_kept(LETTER_I, nothing) == InkKept(None, None, None, None)
    assert ink_kept(nothing, LETTER_I) == InkKept(0, 0, 0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_and_boxes_are_those_of_scikit_image(channels: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        image, reference = random.random((2, channels, 14, 11))
        found, wanted = (pixels.mean(0) >= INK + 0.1 for pixels in (image, reference))
        kept = ink_kept(image - 0.1, reference - 0.1)
        labels = measure.label(wanted, connectivity=2)
        regions = measure.regionprops(labels)
        largest = max(region.area for region in regions)
        small = np.isin(labels, [region.label for region in regions if region.area < SMALL * largest])
        (box,), (found_box,) = (measure.regionprops(mask.astype(int)) for mask in (wanted, found))
        assert kept.ink_ratio == pytest.approx(found.sum() / wanted.sum())
        assert kept.box_ratio == pytest.approx(found_box.area_bbox / box.area_bbox)
        assert kept.small_recall == (pytest.approx(found[small].mean()) if small.any() else None)
        assert kept.large_recall == (pytest.approx(found[wanted & ~small].mean()) if small.any() else None)
