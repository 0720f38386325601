from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.data.fish.drawing import Dice, Sheet, blend, radius, smooth, wave


def dice(seed: int = 0) -> Dice:
    return Dice(np.random.default_rng(seed))


@pytest.mark.parametrize("size", [(64, 64), (140, 320), (20, 45)])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_disc_covers_its_area_with_soft_edges(size: tuple[int, int], scale: float) -> None:
    sheet = Sheet.blank(*size)
    for r in (0.1, 0.23, 0.4):
        away = radius(sheet.x - 0.5, sheet.y - 0.47)
        covered = sheet.cover((away - r) / scale, scale)
        assert covered.sum() * sheet.pixel**2 == pytest.approx(math.pi * r * r, rel=0.01)
        assert ((covered > 0) & (covered < 1)).sum() == pytest.approx(2 * math.pi * r / sheet.pixel, rel=0.5)


def test_a_part_shares_pixels_and_places_with_the_whole() -> None:
    sheet = Sheet.blank(20, 40)
    part = sheet.part(0.5, 1.0, 0.25, 0.5)
    part.lay((1, 0.5, 0), 1.0)
    inside = (sheet.x >= 0.5) & (sheet.x <= 1) & (sheet.y >= 0.25) & (sheet.y <= 0.5)
    assert (sheet.ink[0][inside] == 1).all()
    rows, columns = np.nonzero(sheet.ink[0])
    assert (part.y[0, 0], part.y[-1, 0]) == (sheet.y[rows.min(), 0], sheet.y[rows.max(), 0])
    assert (part.x[0, 0], part.x[0, -1]) == (sheet.x[0, columns.min()], sheet.x[0, columns.max()])
    for outside in (sheet.part(-2, -1, 0, 1), sheet.part(0, 1, 3, 4)):
        outside.lay((1, 1, 1), 1.0)
    assert (sheet.ink[2] == 0).all()


def test_what_is_laid_at_half_is_half_seen() -> None:
    sheet = Sheet.blank(4, 4)
    sheet.lay((1, 0.5, 0), np.full((4, 4), 0.5, np.float32))
    assert sheet.ink[:, 0, 0].tolist() == [0.5, 0.25, 0]
    sheet.light(np.full((4, 4), 9, np.float32))
    assert sheet.pixels()[:, 0, 0].tolist() == [255, 255, 0]


def test_a_wave_is_nearly_a_sine() -> None:
    turns = np.linspace(-2, 2, 4001, dtype=np.float32)
    assert np.abs(wave(turns) - np.sin(2 * np.pi * turns)).max() < 0.06
    assert wave(turns).dtype == np.float32


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.6), (0.6, 0.2)])
def test_smooth_goes_from_0_to_1(low: float, high: float) -> None:
    step = smooth(low, high, np.array([low, (low + high) / 2, high, 2 * low - high, 2 * high - low], np.float32))
    np.testing.assert_allclose(step, [0, 0.5, 1, 0, 1], atol=1e-5)


def test_blend_takes_colours_and_pictures() -> None:
    share = np.array([[0, 1, 0.5]], np.float32)
    mixed = blend((1, 0, 0), (0, 0.5, 0), share)
    assert mixed.tolist() == [[[1, 0, 0.5]], [[0, 0.5, 0.25]], [[0, 0, 0]]]
    np.testing.assert_array_equal(blend(mixed, mixed, share), mixed)


def test_draws_stay_in_their_range_and_reach_all_of_it() -> None:
    throws = dice()
    counts = [throws.count(-1, 3) for _ in range(500)]
    assert set(counts) == {-1, 0, 1, 2, 3}
    assert {throws.pick("abc") for _ in range(100)} == set("abc")
    numbers = [throws.between(-2, 5) for _ in range(1000)]
    assert -2 <= min(numbers) < -1.9
    assert 4.9 < max(numbers) < 5
    assert 0.2 < np.mean([throws.chance(0.3) for _ in range(1000)]) < 0.4
    colours = np.array([throws.near((0.0, 0.5, 1.0), 0.1) for _ in range(200)])
    assert (colours.min(axis=0) >= [0, 0.4, 0.9]).all()
    assert (colours.max(axis=0) <= [0.1, 0.6, 1]).all()
