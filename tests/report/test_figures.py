"""Charts: bands over seeds, what a panel is drawn of, and that odd numbers are drawn without a warning."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.report.blocks import DASHES, PALETTE, Chart, Panel, PanelRow, spans_decades
from orchestrator.report.charts import chart_png, figure_of
from orchestrator.report.layout import COLOURS, STYLES, Axis, Layout
from orchestrator.report.lines import POINTS, Runs, band
from orchestrator.report.plots import Point, panel
from orchestrator.report.sections.curves import Figure
from orchestrator.report.sheets import picture_matrix
from orchestrator.report.topics import Quantity, Topic
from orchestrator.study import Study

LOSS = Quantity("g_loss")
NOTHING = Axis(None, (None,))


def curve(values: list[float], every: int = 10) -> pd.DataFrame:
    steps = [every * (place + 1) for place in range(len(values))]
    return pd.DataFrame({"step": steps, "g_loss": values, "g_grad_norm": values})


def rows_of(*curves: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([one.assign(trial_id=str(place)) for place, one in enumerate(curves)])


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def holds(png: bytes, colour: str) -> bool:
    """Whether some pixel has nearly this colour: a line, not a tint of its band."""
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((abs(pixels(png) - rgb).max(axis=-1) < 12).any())


def chart_of(
    seeds: dict[Any, list[pd.DataFrame]],
    *quantities: Quantity,
    panel: Axis = NOTHING,
    colour: Axis = NOTHING,
    style: Axis = NOTHING,
) -> Chart:
    """A chart of the curves of each (panel, colour, style)."""
    layout = Layout(panel, colour, style, ({},), ())
    study = Study(None, pd.DataFrame({"objective.kind": ["a", "b"], "training.d": [1, 2]}))  # type: ignore[arg-type]
    figure = Figure(study, layout, {key: Runs(rows_of(*own)) for key, own in seeds.items()})
    chart = figure.chart(Topic("losses", "Losses", "", quantities or (LOSS,)))
    assert chart is not None
    return chart


def drawn(seeds: list[pd.DataFrame], *quantities: Quantity) -> bytes:
    """The PNG of one cell, which has the second colour."""
    return chart_png(chart_of({(None, 2, None): seeds}, *quantities, colour=Axis("training.d", (1, 2))))


def test_there_is_a_colour_and_a_style_for_each_value_that_may_be_drawn() -> None:
    assert len(PALETTE) >= COLOURS
    assert len(set(PALETTE)) == len(PALETTE)
    assert len(DASHES) >= STYLES


def test_band_is_mean_least_and_greatest_over_seeds() -> None:
    found = band(rows_of(curve([1.0, 2.0, 3.0]), curve([3.0, 6.0])), "g_loss")
    assert found["step"].tolist() == [10, 20, 30]
    assert found["mean"].tolist() == [2, 4, 3]
    assert found["low"].tolist() == [1, 2, 3]
    assert found["high"].tolist() == [3, 6, 3]


def test_band_leaves_out_what_is_not_finite() -> None:
    found = band(rows_of(curve([1.0, np.nan, np.inf, 4.0])), "g_loss")
    assert found["step"].tolist() == [10, 40]


def test_long_curves_are_averaged_in_equal_stretches() -> None:
    values = np.arange(6 * POINTS, dtype=float)
    found = band(rows_of(curve(values.tolist(), every=1)), "g_loss")
    assert len(found) == POINTS
    assert found["mean"].to_numpy() == pytest.approx(values.reshape(POINTS, 6).mean(axis=1))
    assert found["step"].to_numpy() == pytest.approx(6.0 * np.arange(1, POINTS + 1))


def test_a_cell_has_the_colour_of_its_value_and_the_others_lines_are_absent() -> None:
    only = chart_png(chart_of({(None, None, None): [curve([1.0, 2.0])]}))
    assert holds(only, PALETTE[0])
    assert not holds(only, PALETTE[1])
    assert holds(drawn([curve([1.0, 2.0])]), PALETTE[1])


@pytest.mark.parametrize("quantity", [LOSS, Quantity("g_grad_norm"), Quantity("g_loss", limits=(0, 1))])
@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [-1.0, 1e-30], [1e30, 1.0], [1e308, -1e308], [5e-324]])
def test_odd_curves_are_drawn_without_a_warning(quantity: Quantity, values: list[float]) -> None:
    assert drawn([curve(values).astype(float)], quantity)[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [None, None]])
def test_a_quantity_without_numbers_is_not_drawn(values: list[Any]) -> None:
    figure = Figure(Study(None, pd.DataFrame()), Layout(NOTHING, NOTHING, NOTHING, ({},), ()), {  # type: ignore[arg-type]
        (None, None, None): Runs(rows_of(curve(values)))})  # fmt: skip
    assert figure.chart(Topic("losses", "Losses", "", (LOSS,))) is None


def test_each_seed_says_of_which_trial_it_is() -> None:
    line = [Point(1.0, 2.0, trial="aa"), Point(1.0, 4.0, "collapsed", "bb"), Point(2.0, 3.0, trial="cc")]
    for log in (False, True):
        drawn = panel("up", "across", [line], [(1.0, "1")], points=True, log=log).series
        assert [(one.look, list(one.each)) for one in drawn] == [
            ("line", []), ("points", ["trial aa", "trial cc"]), ("points", ["trial bb"])
        ]  # fmt: skip


def test_the_same_data_give_the_same_bytes() -> None:
    seeds = [curve([1.0, 2.0, 1.5]), curve([2.0, 1.0, 1.0])]
    assert drawn(seeds) == drawn(seeds)
    assert drawn(seeds) != drawn(seeds[:1])


def test_a_panel_without_a_quantity_is_not_drawn() -> None:
    both = curve([1.0, 2.0]).assign(d_penalty=[3.0, 4.0])
    cells = {(name, None, None): [both if name == "b" else both.assign(d_penalty=np.nan)] for name in "abc"}
    chart = chart_of(cells, LOSS, Quantity("d_penalty"), panel=Axis("objective.kind", ("a", "b", "c")))
    assert [[panel.title for panel in row.panels] for row in chart.rows] == [["a", "b", "c"], ["b"]]
    assert [panel.across for panel in chart.rows[-1].panels] == ["step"]


def test_bands_are_left_out_where_they_would_hide_the_lines() -> None:
    seeds = [curve([1.0, 2.0]), curve([2.0, 3.0])]
    values = tuple(range(5))
    few = chart_of({(None, value, None): seeds for value in values}, colour=Axis("training.d", values))
    assert all(series.low == [1.0, 2.0] for series in few.series())
    styles = Axis("training.d", (0, 1))
    many = chart_of(
        {(None, value, style): seeds for value in values for style in (0, 1)},
        colour=Axis("training.d", values),
        style=styles,
    )
    assert all(series.low is None for series in many.series())
    assert "without bands" in many.caption


@pytest.mark.parametrize(
    ("values", "log"), [([1.0, 99.0], False), ([1.0, 100.0], True), ([0.0, 100.0], False), ([-1.0, 1e9], False)]
)
def test_values_that_span_decades_have_a_logarithmic_axis(values: list[float], log: bool) -> None:
    assert spans_decades(values) is log
    chart = chart_of({(None, None, None): [curve(values)]}, Quantity("g_loss", limits=(-0.1, 1.1)))
    (shown,) = chart.rows[0].panels
    assert (shown.log_y, shown.limits is None) == (log, log)
    assert panel("up", "across", [[Point(float(x), y) for x, y in enumerate(values)]], [(0.0, "0")]).log_y is log


def test_panels_of_one_quantity_have_the_same_limits_unless_their_scales_differ() -> None:
    cells = {(name, None, None): [curve([value, 2 * value])] for name, value in (("a", 1.0), ("b", 10.0))}
    for shared in (True, False):
        chart = chart_of(cells, Quantity("g_loss", shared=shared), panel=Axis("objective.kind", ("a", "b")))
        left, right = (axes.get_ylim() for axes in figure_of(chart).axes)
        assert (left == right) is shared


def test_captions_name_what_is_there() -> None:
    quantities = (LOSS, Quantity("d_penalty", "The error is one."), Quantity("k", "None is none."))
    seeds = [curve([1.0, 2.0]).assign(d_penalty=1.0, k=np.nan)]
    caption = chart_of({(None, None, None): seeds}, *quantities).caption
    assert caption == "The error is one. One trial a line."


@pytest.mark.slow
def test_the_largest_layout_is_drawn_without_a_warning() -> None:
    letters = tuple("abcdefghi")
    cells = {(p, c, s): [curve([1.0, 2.0])] for p in letters for c in range(7) for s in (1, 2, 3, 4)}
    axes = {
        "panel": Axis("objective.kind", letters),
        "colour": Axis("training.d", tuple(range(7))),
        "style": Axis("training.lr", (1, 2, 3, 4)),
    }
    assert chart_png(chart_of(cells, LOSS, Quantity("g_grad_norm"), **axes))


def test_a_panel_with_a_message_alone_is_drawn() -> None:
    assert chart_png(Chart("a", "a", "a", "", (PanelRow((Panel(title="a", message="nothing", flat=True),)),)))


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


def test_labels_of_a_sheet_are_whole() -> None:
    """No label reaches the edge of its file, however long it is and however small the pictures are."""
    small = np.full((12, 12), 128, np.uint8)
    rows = ["objective = saturating_with_a_long_name\nd_steps = 3", "WWWWWWWWWW = MMMMMMMMMM"]
    heads = ["objective = non_saturating and more words", "WWWWWWWWWWWWWWWWWWWWWWWW"]
    image = pixels(picture_matrix([[small, small], [small, small]], rows, heads))
    edges = (image[:3], image[-3:], image[:, :3], image[:, -3:])
    assert all((edge == 255).all() for edge in edges)
