"""Pages of studies other than that of saturation: what each has, and that it has nothing empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestrator.report.axes import grid_axes, names_of
from orchestrator.report.comparisons import draw_against, draw_truncation
from orchestrator.report.drawings import draw_curves
from orchestrator.report.health import fate, frozen_rows
from orchestrator.report.quality import final, judged, looked, numeric_axes, truncated
from orchestrator.report.results import load
from orchestrator.report.tables import Spread, varying_settings
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable

GRID = {"training.unrolled_steps": [0, 2, 4], "training.seed": [0, 1]}
AUTOENCODER = {"d_real_probability": None, "d_fake_probability": None}
BEGAN = {**AUTOENCODER, "d_real": 0.2, "d_fake": 0.1, "k": 0.05, "m_global": 0.3, "loss_ratio": 0.5}


def look(fid: float, modes: int, diversity: float = 0.8) -> dict[str, Any]:
    return {"fid": fid, "modes": modes, "class_kl": 0.1, "diversity": diversity}


@pytest.fixture
def unrolled(study: Any) -> Any:
    """A4 as it might come out: without looking ahead both seeds collapse, and one of them saturates before."""
    study.steps = 200
    study.job(GRID)
    for steps in GRID["training.unrolled_steps"]:
        for seed in GRID["training.seed"]:
            bad = steps == 0
            study.trial(
                {"training.unrolled_steps": steps, "training.seed": seed, "objective.kind": "saturating"},
                status="collapsed" if bad else "finished",
                samples=(),
                looks={
                    100: look(40 - seed, 9),
                    200: look(90.0 + seed if bad else 20.0 - steps + seed, 2 if bad else 10),
                },
                classifier="0123456789abcdef",
                best_fid=40.0 - seed,
                best_step=100,
                saturated_at=50 if bad and seed else None,
                collapsed_at=100 + 50 * seed if bad else None,
            )
    return study


def parts(study: Any) -> tuple[Any, list[str], dict[str, str]]:
    results = load(study.store)
    varying = varying_settings(results.trials, grid_axes(results.job))
    return results, varying, names_of([*results.settings, "training.seed"], varying)


class TestHealth:
    def test_rows_name_steps_and_seeds(self, unrolled: Any) -> None:
        results, varying, _ = parts(unrolled)
        rows = frozen_rows(results.trials, varying, results.job)
        assert [row.settings["training.unrolled_steps"] for row in rows] == [0, 2, 4]
        assert rows[0].steps == {"saturated": (50,), "collapsed": (100, 150), "diverged": ()}
        assert not any(rows[1].steps.values())
        assert [row.seeds for row in rows] == [2, 2, 2]

    def test_nothing_to_tell_is_no_table(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        results, varying, _ = parts(study)
        assert frozen_rows(results.trials, varying, results.job) == []

    def test_fate_is_told_in_order_of_steps(self) -> None:
        none = float("nan")
        assert fate({"saturated_at": none, "collapsed_at": none, "diverged_at": none}) == ""
        told = fate({"saturated_at": 400.0, "collapsed_at": 90.0, "diverged_at": none})
        assert told == "collapsed at 90, saturated at 400"


class TestQuality:
    def test_last_measures_equal_pandas(self, unrolled: Any) -> None:
        found = looked(*parts(unrolled))
        assert found is not None
        trials = pd.read_parquet(f"{unrolled.store.uri}/trials")
        want = trials.groupby("training.unrolled_steps")["fid"].agg(["mean", "min", "max", "count"])
        assert [row.settings for row in found.rows] == [("0",), ("2",), ("4",)]
        assert [row.measures[0] for row in found.rows] == [Spread(*row) for row in want.itertuples(index=False)]
        assert found.measures == ("FID", "modes covered", "class KL, nats", "diversity", "best FID", "of step")
        assert found.features == ("classifier:0123456789abcdef",)
        assert [row.froze for row in found.rows] == [2, 0, 0]

    def test_evaluations_are_of_the_plain_normal_and_count_their_samples(self, unrolled: Any) -> None:
        for place, row in enumerate(unrolled.rows):
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, fid=10.0 + place + (threshold or 0), modes=10)
        found = judged(*parts(unrolled))
        assert found is not None
        assert (found.measures, found.features) == (("FID", "modes covered"), ("classifier:0123456789abcdef",))
        assert [row.samples for row in found.rows] == ["10\u202f000"] * 3
        assert found.rows[1].measures[0] == Spread(12.5, 12.0, 13.0, 2)
        assert set(final(load(unrolled.store))["fid"]) == {10.0, 11.0, 12.0, 13.0, 14.0, 15.0}

    def test_evaluations_that_differ_are_rows_of_their_own(self, unrolled: Any) -> None:
        for row in unrolled.rows[:2]:
            unrolled.judge(row["trial_id"], None, fid=10.0)
            unrolled.judge(row["trial_id"], None, "e2", fid=5.0, **{"evaluation.checkpoint": "best"})
        found = judged(*parts(unrolled))
        assert found is not None
        assert found.settings == ("unrolled_steps", "checkpoint")
        assert [(row.settings, row.seeds, row.measures[0].mean) for row in found.rows] == [
            (("0", "best"), 2, 5.0),
            (("0", "last"), 2, 10.0),
        ]

    def test_truncated_samples_have_a_table_by_threshold(self, unrolled: Any) -> None:
        for place, row in enumerate(unrolled.rows):
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, modes=7, coverage=place + (threshold or 2.0))
        found = truncated(*parts(unrolled))
        assert found is not None
        assert found.settings == ("unrolled_steps", "truncation")
        assert found.measures == ("coverage", "modes covered")
        assert {row.settings[1] for row in found.rows} == {"0.5", "1", "not set"}
        means = {row.settings: row.measures[0].mean for row in found.rows}
        assert (means["2", "0.5"], means["2", "not set"]) == (3.0, 4.5)
        assert {row.seeds for row in found.rows} == {2}

    def test_without_measures_there_is_no_table(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        assert looked(*parts(study)) is None
        assert judged(*parts(study)) is None
        assert draw_against(*parts(study)) == []
        assert draw_truncation(*parts(study)) is None
        assert truncated(*parts(study)) is None

    def test_figures_against_numeric_axes_only(self, unrolled: Any) -> None:
        results, varying, names = parts(unrolled)
        assert numeric_axes(results, varying) == ["training.unrolled_steps"]
        (drawing,) = draw_against(results, varying, names)
        assert drawing.name == "quality-against-unrolled_steps"
        assert drawing.alt.startswith("FID, modes covered and diversity against unrolled_steps (0, 2 and 4).")
        assert "Measured while training" in drawing.caption

    def test_truncation_is_drawn_of_what_was_measured(self, unrolled: Any) -> None:
        for row in unrolled.rows:
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, diversity=threshold or 1.0)
        drawing = draw_truncation(*parts(unrolled))
        assert drawing is not None
        assert drawing.alt.startswith(
            "diversity against the truncation threshold (0.5, 1 and none); a colour for each of"
        )


@pytest.mark.slow
class TestCurves:
    def test_began_has_its_control_and_no_probabilities(self, study: Any) -> None:
        study.steps = 100
        study.job({"objective.gamma": [0.3, 0.7]})
        for gamma in (0.3, 0.7):
            study.trial({"objective.kind": "began", "objective.gamma": gamma}, samples=(), signals=BEGAN)
        drawings = draw_curves(*parts(study)).drawings
        assert [drawing.name for drawing in drawings] == ["losses", "gradients", "errors", "began"]
        assert "k, ratio of the losses and M_global against the training step" in drawings[-1].alt

    def test_a_panel_without_values_is_left_out(self, study: Any) -> None:
        study.steps = 100
        study.job({"objective.kind": ["ebgan", "wgan_gp"]})
        study.trial({"objective.kind": "ebgan"}, samples=(), signals=AUTOENCODER)
        study.trial({"objective.kind": "wgan_gp"}, samples=(), signals={"d_penalty": 0.5})
        drawings = {drawing.name: drawing for drawing in draw_curves(*parts(study)).drawings}
        assert list(drawings) == ["losses", "gradients", "discriminator", "errors", "penalty"]
        assert "(ebgan and wgan_gp)" in drawings["losses"].alt
        assert "(ebgan)" in drawings["errors"].alt
        assert "(wgan_gp)" in drawings["penalty"].alt

    def test_quality_while_training_and_marks(self, unrolled: Any) -> None:
        drawings = draw_curves(*parts(unrolled)).drawings
        assert [drawing.name for drawing in drawings] == [
            "losses",
            "gradients",
            "discriminator",
            "quality-while-training",
        ]
        assert "marks where runs were saturated and collapsed" in drawings[0].alt
        assert "FID, modes covered, class KL, nats and diversity" in drawings[-1].alt


@pytest.mark.slow
def test_page_of_an_unrolled_study(unrolled: Any, report: Callable[[], Any]) -> None:
    for row in unrolled.rows:
        for threshold in (None, 0.5, 1.0):
            unrolled.judge(row["trial_id"], threshold, fid=12.0, precision=0.8, recall=0.5, modes=9, diversity=0.9)
    page = report()
    assert "6 (4 finished, 2 collapsed)" in page.text("run")
    assert {"health", "quality"} <= set(page.ids)
    assert "gradient" not in page.ids  # one objective: no comparison was asked for
    assert "Not answered yet" not in " ".join(page.text_of.values())
    assert "100 – 150 2 of 2" in page.text("health")
    assert page.text("quality").count("classifier:0123456789abcdef") == 2
    assert "Quality against unrolled_steps" in page.text("quality")
    assert "Quality against diversity: truncation" in page.text("quality")
    assert "saturated at 50, collapsed at 150" in page.text("trials")
    kept = unrolled.store.keys("report/figures")
    assert "report/figures/truncation.png" in kept
    assert "report/figures/quality-against-unrolled_steps.png" in kept
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.slow
def test_page_of_linked_sections(study: Any, report: Callable[[], Any]) -> None:
    study.steps = 100
    evil = "<b>case</b>"
    case = [
        {"objective": {"kind": "saturating"}, "training.epochs": 20},
        {"objective": {"kind": "non_saturating"}, "training.epochs": 10, "training.g_optimizer.lr": 1e-3},
        {"objective": {"kind": "non_saturating"}, "training.epochs": 10},
    ]
    study.job({evil: case})
    for entry in case:
        flat = {key: value for key, value in entry.items() if key != "objective"}
        study.trial({"objective.kind": entry["objective"]["kind"], **flat}, samples=(1,))
    page = report()
    assert f"{evil}: saturating, non_saturating lr=0.001, non_saturating" in page.text("run")
    assert "gradient" not in page.ids
    assert page.all("b") == []
    assert f"What the levels of {evil} set" in page.text("run")
    assert (
        "a panel for each <b>case</b> (saturating, non_saturating lr=0.001 and non_saturating)"
        in page.all("img")[0]["alt"]
    )


@pytest.mark.slow
def test_results_of_before_these_columns(study: Any, report: Callable[[], Any]) -> None:
    trial = study.trial({}, samples=())
    new = ("g_image_gradient", "modes", "health", "saturated_at", "started_at", "workers", "fid", "precision")
    for folder in ("trials", "metrics"):
        key = f"{folder}/{trial}.parquet"
        table = pq.read_table(f"{study.store.uri}/{key}")
        table = table.drop_columns([name for name in new if name in table.column_names])
        write_rows(study.store, key, table.schema, table.to_pylist())
    page = report()
    assert "1 (1 finished)" in page.text("run")
    assert not {"health", "quality"} & set(page.ids)
