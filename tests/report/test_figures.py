from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.report.canvas import PALETTE
from orchestrator.report.figures import DASHES, POINTS, Cell, Quantity, band, curves
from orchestrator.report.layout import COLOURS, STYLES, Axis, Layout
from orchestrator.report.sheets import picture_matrix

LOSS = Quantity("loss", "loss")


def curve(values: list[float], every: int = 10) -> pd.DataFrame:
    steps = [every * (place + 1) for place in range(len(values))]
    return pd.DataFrame({"step": steps, "loss": values})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def holds(png: bytes, colour: str) -> bool:
    """Whether some pixel has nearly this colour: a line, not a tint of its band."""
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((abs(pixels(png) - rgb).max(axis=-1) < 12).any())


def drawn(seeds: list[pd.DataFrame], quantity: Quantity = LOSS, **how: Any) -> bytes:
    layout = Layout(Axis(None, (None,)), Axis("t.d", (1, 2)), Axis(None, (None,)), ({},), ())
    return curves({(None, 2, None): Cell(seeds)}, layout, {"t.d": "d"}, [quantity], **how)


def test_there_is_a_colour_and_a_style_for_each_value_that_may_be_drawn() -> None:
    assert len(PALETTE) >= COLOURS
    assert len(set(PALETTE)) == len(PALETTE)
    assert len(DASHES) >= STYLES


def test_band_is_mean_least_and_greatest_over_seeds() -> None:
    found = band([curve([1.0, 2.0, 3.0]), curve([3.0, 6.0])], "loss")
    assert found["step"].tolist() == [10, 20, 30]
    assert found["mean"].tolist() == [2, 4, 3]
    assert found["low"].tolist() == [1, 2, 3]
    assert found["high"].tolist() == [3, 6, 3]


def test_band_leaves_out_what_is_not_finite() -> None:
    found = band([curve([1.0, np.nan, np.inf, 4.0])], "loss")
    assert found["step"].tolist() == [10, 40]


def test_long_curves_are_averaged_in_equal_stretches() -> None:
    values = np.arange(6 * POINTS, dtype=float)
    found = band([curve(values.tolist(), every=1)], "loss")
    assert len(found) == POINTS
    assert found["mean"].to_numpy() == pytest.approx(values.reshape(POINTS, 6).mean(axis=1))
    assert found["step"].to_numpy() == pytest.approx(6.0 * np.arange(1, POINTS + 1))


def test_a_cell_has_the_colour_of_its_value_and_the_others_lines_are_absent() -> None:
    layout = Layout(Axis(None, (None,)), Axis(None, (None,)), Axis(None, (None,)), ({},), ())
    only = curves({(None, None, None): Cell([curve([1.0, 2.0])])}, layout, {}, [LOSS])
    assert holds(only, PALETTE[0])
    assert not holds(only, PALETTE[1])
    both = drawn([curve([1.0, 2.0])])
    assert holds(both, PALETTE[1])


@pytest.mark.parametrize(
    "quantity", [LOSS, Quantity("loss", "loss", log=True), Quantity("loss", "loss", limits=(0, 1))]
)
@pytest.mark.parametrize("values", [[], [0.0], [np.nan, np.nan], [0.0, 0.0], [-1.0, 1e-30], [1e30, 1.0]])
def test_odd_curves_are_drawn_without_a_warning(quantity: Quantity, values: list[float]) -> None:
    seeds = [curve(values).astype(float)]
    assert drawn(seeds, quantity)[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_column_of_nulls_is_no_data() -> None:
    nulls = pd.DataFrame({"step": [1, 2], "loss": [None, None]})
    assert np.array_equal(pixels(drawn([nulls])), pixels(drawn([curve([])])))


def test_the_same_data_give_the_same_bytes() -> None:
    seeds = [curve([1.0, 2.0, 1.5]), curve([2.0, 1.0, 1.0])]
    assert drawn(seeds) == drawn(seeds)
    assert drawn(seeds) != drawn(seeds[:1])


def test_stacked_panels_are_narrow_and_high() -> None:
    layout = Layout(Axis("o.kind", ("a", "b", "c")), Axis(None, (None,)), Axis(None, (None,)), ({},), ())
    cells = {(name, None, None): Cell([curve([1.0, 2.0])]) for name in "abc"}
    wide, narrow = (
        pixels(curves(cells, layout, {"o.kind": "objective"}, [LOSS, LOSS], stacked=stacked))
        for stacked in (False, True)
    )
    assert wide.shape[1] > wide.shape[0]
    assert narrow.shape[0] > narrow.shape[1]
    assert narrow.shape[1] < 700


def test_a_panel_without_a_quantity_is_not_drawn() -> None:
    layout = Layout(Axis("o.kind", ("a", "b", "c")), Axis(None, (None,)), Axis(None, (None,)), ({},), ())
    both = curve([1.0, 2.0]).assign(error=[3.0, 4.0])
    cells = {(name, None, None): Cell([both if name == "b" else both.assign(error=np.nan)]) for name in "abc"}
    error = Quantity("error", "error")
    one, two, three = (
        pixels(curves(cells, layout, {"o.kind": "objective"}, quantities, stacked=True)).shape[0]
        for quantities in ([error], [LOSS], [LOSS, error])
    )
    assert one < two < three
    assert three - two == pytest.approx((two - one) / 2, abs=2)


@pytest.mark.slow
def test_the_largest_layout_is_drawn_without_a_warning() -> None:
    letters = tuple("abcdefghi")
    layout = Layout(Axis("o.kind", letters), Axis("t.d", tuple(range(7))), Axis("t.lr", (1, 2, 3, 4)), ({},), ())
    cells = {(p, c, s): Cell([curve([1.0, 2.0])]) for p in letters for c in range(7) for s in (1, 2, 3, 4)}
    names = {"o.kind": "objective", "t.d": "d_steps", "t.lr": "lr"}
    for stacked in (False, True):
        assert curves(cells, layout, names, [LOSS, LOSS], stacked=stacked)


def test_pictures_stand_in_their_rows_and_columns() -> None:
    red, grey = np.zeros((20, 20, 3), np.uint8), np.full((20, 20), 128, np.uint8)
    red[..., 0] = 255
    image = pixels(picture_matrix([[red, None], [None, grey]], ["one", "two"], ["a", "b"]))
    rows, columns = np.nonzero((image == [255, 0, 0]).all(axis=-1))
    grey_rows, grey_columns = np.nonzero(abs(image - 128).max(axis=-1) < 3)
    middle = (rows.max(), columns.max())
    below = (grey_rows > middle[0]) & (grey_columns > middle[1])
    assert len(rows) > 400
    assert below.sum() > 400
