"""Charts as the page's script gets them: nothing that can be seen is lost, and nothing gets out of its JSON."""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import given, settings

from orchestrator.report import html
from orchestrator.report.blocks import CEILING, Chart, Key, Panel, PanelRow, Section, Series
from orchestrator.report.lines import ALONG, Runs, band
from orchestrator.report.live import MOST_POINTS, PRECISION, is_thinned, live_data, thinned

if TYPE_CHECKING:
    import pytest

HOSTILE = "</script><script>alert('x')</script><!-- \u2028 &amp;"


def chart(*series: Series, legend: tuple[Key, ...] = (), **more: Any) -> Chart:
    return Chart("c", "title", "alt", "caption", (PanelRow((Panel(series, **more),)),), legend)


def numbers(data: dict[str, Any], place: int) -> np.ndarray:
    size, text = data["arrays"][place]
    return np.frombuffer(base64.b64decode(text), dtype=f"<f{size}").astype(float)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats() | st.floats(-1, 1), min_size=1, max_size=60), st.integers(0, 2**60))
def test_numbers_arrive_to_the_stated_precision(values: list[float], first: int) -> None:
    steps = [float(first + place) for place in range(len(values))]
    data = live_data(chart(Series(steps, values, low=values, high=values)))
    (line,) = data["rows"][0]["panels"][0]["series"]
    wanted = np.clip(np.array(values), -CEILING, CEILING)
    for name in ("y", "low", "high"):
        np.testing.assert_allclose(numbers(data, line[name]), wanted, rtol=PRECISION, atol=0)
    np.testing.assert_allclose(numbers(data, line["x"]), steps, rtol=PRECISION, atol=0)
    assert line["y"] == line["low"] == line["high"]  # the same numbers are sent once


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(MOST_POINTS + 1, 30_000), st.integers(0, 2**32 - 1))
def test_what_is_thinned_keeps_ends_and_extremes(lines: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.integers(1, 50, count)).astype(float)
    values = rng.standard_cauchy((lines, count))
    values[:, rng.random(count) < 0.1] = np.nan
    places = thinned(x, *values)
    assert len(places) <= MOST_POINTS
    assert (np.diff(places) > 0).all()
    assert {0, count - 1} <= set(places.tolist())
    for line in values:
        assert np.nanmin(line[places]) == np.nanmin(line)
        assert np.nanmax(line[places]) == np.nanmax(line)
    edges = np.linspace(x[0], x[-1], 101)  # and so it is within each of a hundred columns of pixels, but for a column
    for left, right in itertools.pairwise(edges):
        if (here := (x >= left) & (x <= right)).any():
            near = (x[places] >= left - (right - left)) & (x[places] <= right + (right - left))
            assert not np.nanmax(values[0][here], initial=-np.inf) > np.nanmax(values[0][places][near], initial=-np.inf)


def test_a_chart_says_that_it_is_thinned() -> None:
    long = [float(step) for step in range(MOST_POINTS + 1)]
    for series, told in ((Series(long, long), True), (Series(long[1:], long[1:]), False)):
        section = Section("s", "Section", "S", (chart(series),))
        drawn = html.render_section(section, job_name="job", images={})
        assert (html.THINNED in drawn) is told
        assert is_thinned(chart(series)) is told


def test_names_stay_within_their_json() -> None:
    block = chart(
        Series([1.0], [2.0], label=HOSTILE, name=HOSTILE, over={HOSTILE: [3.0]}),
        title=HOSTILE, across=HOSTILE, up=HOSTILE, ticks=((1.0, HOSTILE),), message=HOSTILE,
        legend=(Key(HOSTILE, "#000000"),),
    )  # fmt: skip
    drawn = html.render_section(Section("s", "Section", "S", (block,)), job_name="job", images={})
    assert drawn.count("<script") == drawn.count("</script>") == 1
    assert "<!--" not in drawn
    text = drawn.split('<script type="application/json">')[1].split("</script>")[0]
    data = json.loads(text)
    assert data["rows"][0]["panels"][0]["series"][0]["label"] == HOSTILE
    assert data["entries"][0]["words"] == HOSTILE


def test_charts_of_flat_panels_and_empty_ones_are_images() -> None:
    flat = chart(Series([1.0], [0.0], look="points"), flat=True)
    for block, live in ((flat, False), (chart(), False), (chart(Series([1.0], [0.0])), True)):
        drawn = html.render_section(Section("s", "Section", "S", (block,)), job_name="job", images={})
        assert ("application/json" in drawn) is live
        assert block.measured is live


def test_without_javascript_charts_are_images() -> None:
    section = Section("s", "Section", "S", (chart(Series([1.0], [0.0])),))
    drawn = html.render_section(section, job_name="job", images={"c": html.Image("data:image/png;base64,", 10, 10)})
    assert re.search(r'<img src="data:image/png;base64," width="10" height="10" alt="alt">', drawn)
    assert re.search(r'<div class="live"[^>]* hidden></div>', drawn)
    assert "<noscript>" not in drawn
    beyond = html.render_section(section, job_name="job", images={})
    assert re.search(r"<noscript><p [^>]*>Left out [^<]*<code>report/figures/c.png</code>", beyond)


def test_data_beyond_the_budget_are_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "LIVE_BUDGET", 1)
    blocks = (chart(Series([1.0], [0.0])), Chart("d", "t", "a", "c", chart(Series([1.0], [0.0])).rows))
    drawn = html.render_section(Section("s", "Section", "S", blocks), job_name="job", images={})
    assert drawn.count("application/json") == 1
    assert "it is the file <code>report/figures/d.png" in drawn


def test_entries_tell_the_lines_that_they_are_about() -> None:
    legend = (
        Key("lr = 1", "#111111"), Key("lr = 2", "#222222"), Key("width = 1", "#4D4D4D"),
        Key("width = 2", "#4D4D4D", dashes="dashed"), Key("saturated here", "#4D4D4D", "v"),
    )  # fmt: skip
    lines = [
        Series([1.0], [1.0], colour=tint, dashes=dash)
        for tint in ("#111111", "#222222")
        for dash in ("solid", "dashed")
    ]
    data = live_data(chart(*lines, legend=legend))
    assert [entry["by"] for entry in data["entries"]] == ["colour", "colour", "dashes", "dashes", ""]
    assert [line["entries"] for line in data["rows"][0]["panels"][0]["series"]] == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert data["rows"][0]["panels"][0]["series"][3]["label"] == "lr = 2, width = 2"


def test_lines_are_drawn_over_epochs_and_time_too() -> None:
    steps = {"step": [10, 20, 30], "epoch": [1.0, 2.0, 3.0], "g_loss": [1.0, 2.0, 4.0]}
    one, other = (
        pd.DataFrame({"trial_id": name, **steps, "elapsed_s": times})
        for name, times in (("a", [5.0, 10.0, 15.0]), ("b", [7.0, 14.0, 21.0]))
    )
    runs = Runs(pd.concat([one, other]))
    assert (runs.trials, runs.longest, runs.furthest) == (2, 3, 30.0)
    line = band(runs.rows, "g_loss")
    assert runs.over(line["step"]) == {ALONG["epoch"]: [1.0, 2.0, 3.0], ALONG["elapsed_s"]: [6.0, 12.0, 18.0]}
    unknown = Runs(one.assign(elapsed_s=np.nan))
    assert unknown.over(line["step"]) == {ALONG["epoch"]: [1.0, 2.0, 3.0]}
    assert Runs(one[["trial_id", "step", "g_loss"]]).over(line["step"]) == {}


def test_one_curve_needs_no_mean() -> None:
    one = pd.DataFrame({"trial_id": "a", "step": [30, 10, 20], "g_loss": [3.0, 1.0, np.inf]})
    expected = pd.DataFrame({"step": [10, 30], "mean": [1.0, 3.0], "low": [1.0, 3.0], "high": [1.0, 3.0]})
    pd.testing.assert_frame_equal(band(one, "g_loss"), expected)
