"""Pages of studies other than that of saturation: what each has, and that it has nothing empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator.data._tiles import tiled
from orchestrator.report.blocks import Table
from orchestrator.report.sections.curves import curve_charts
from orchestrator.report.sections.health import build as build_health
from orchestrator.report.sections.quality import (
    build,
    charts_against,
    evaluated_table,
    last_measures,
    nearest_images,
    numeric_axes,
    trained_table,
    truncated_table,
    truncation_chart,
)
from orchestrator.store.tables import write_rows
from orchestrator.study import load_study
from tests.report.tables import column, heads, shows, words

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


class TestHealth:
    def test_rows_name_steps_and_seeds(self, unrolled: Any) -> None:
        section = build_health(load_study(unrolled.store))
        assert section is not None
        note, table = section.blocks
        assert isinstance(table, Table)
        assert heads(table)[1:5] == ["seeds", "saturated, at step", "collapsed, at step", "diverged, at step"]
        assert [[(cell.words, cell.small) for cell in row.cells[:5]] for row in table.rows] == [
            [("0", ()), ("2", ()), ("50", ("1 of 2",)), ("100 – 150", ("2 of 2",)), ("never", ())],
            *([(value, ()), ("2", ()), *[("never", ())] * 3] for value in ("2", "4")),
        ]
        assert "Collapsed: " in note.words  # type: ignore[union-attr]
        assert "Diverged: " not in note.words  # type: ignore[union-attr]

    def test_nothing_to_tell_is_no_section(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        assert build_health(load_study(study.store)) is None


class TestQuality:
    def test_last_measures_equal_pandas(self, unrolled: Any) -> None:
        table = trained_table(load_study(unrolled.store))
        assert table is not None
        trials = pd.read_parquet(f"{unrolled.store.uri}/trials")
        cells = trials.groupby("training.unrolled_steps")["fid"]
        assert [words(row, 1) for row in table.rows] == [("0",), ("2",), ("4",)]
        assert all(shows(cell, own) for cell, (_, own) in zip(column(table, "FID"), cells, strict=True))
        assert heads(table)[2:] == ["FID", "modes covered", "class KL, nats", "diversity", "best FID", "of step"]
        assert [cell.small for cell in column(table, "seeds")] == [("1 saturated, 2 collapsed",), (), ()]

    def test_evaluations_are_of_the_plain_normal_and_count_their_samples(self, unrolled: Any) -> None:
        for place, row in enumerate(unrolled.rows):
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, fid=10.0 + place + (threshold or 0), modes=10)
        study = load_study(unrolled.store)
        table = evaluated_table(study)
        assert table is not None
        assert heads(table) == ["unrolled_steps", "seeds", "samples", "FID", "modes covered"]
        assert [cell.words for cell in column(table, "samples")] == ["10\u202f000"] * 3
        assert shows(column(table, "FID")[1], pd.Series([12.0, 13.0]))
        assert set(last_measures(study)["fid"]) == {10.0, 11.0, 12.0, 13.0, 14.0, 15.0}

    def test_notes_speak_of_what_was_measured(self, unrolled: Any) -> None:
        for row in unrolled.rows:
            unrolled.judge(row["trial_id"], None, fid=10.0, recall=0.5)
        section = build(load_study(unrolled.store))
        assert section is not None
        note = next(block.words for block in section.blocks if getattr(block, "id", "") == "judged-note")  # type: ignore[union-attr]
        assert "FID: lower is better, and FID falls with the number of samples." in note
        assert "Recall tells how much of the data they reach." in note
        assert "KID" not in note
        assert "recision" not in note
        assert note.endswith("Features are those of classifier:0123456789abcdef; nothing compares with measures of "
                             "another network.")  # fmt: skip

    def test_one_trial_has_its_intervals_and_pictures(self, study: Any) -> None:
        trial = study.trial({}, samples=())
        measures = {"fid": 10.0, "fid_low": 9.0, "fid_high": 11.0, "inception_score_mean": 8.0}
        others = {"inception_score_sd": 0.25, "copying": 0.75, "copying_score": -12.0, "averaged": True}
        study.judge(trial, None, **measures, **others)
        section = build(load_study(study.store))
        assert section is not None
        main, further, *_ = (block for block in section.blocks if isinstance(block, Table))
        assert column(main, "FID")[0].small == ("95 %: 9 – 11",)
        assert heads(further)[2:] == ["samples", "IS, ten splits", "copying", "copying's score"]
        assert column(further, "IS, ten splits")[0].small == ("± 0.2500",)
        note = next(block.words for block in section.blocks if getattr(block, "id", "") == "further-note")  # type: ignore[union-attr]
        assert "0.5 for a fair sample" in note
        assert "infinite" not in note
        (missing,) = nearest_images(load_study(study.store)).problems
        assert missing.endswith("-nearest.png: not there, or no longer")
        key = missing.partition(":")[0]
        study.store.write(key, tiled(torch.rand(2, 3, 1, 8, 8)))
        (picture,) = nearest_images(load_study(study.store)).pictures
        assert picture.trial_id == trial

    def test_evaluations_that_differ_are_rows_of_their_own(self, unrolled: Any) -> None:
        for row in unrolled.rows[:2]:
            unrolled.judge(row["trial_id"], None, fid=10.0)
            unrolled.judge(row["trial_id"], None, "e2", fid=5.0, **{"evaluation.checkpoint": "best"})
        table = evaluated_table(load_study(unrolled.store))
        assert table is not None
        assert heads(table)[:2] == ["unrolled_steps", "checkpoint"]
        assert [(*words(row, 3), fid.value) for row, fid in zip(table.rows, column(table, "FID"), strict=True)] == [
            ("0", "best", "2", 5.0),
            ("0", "last", "2", 10.0),
        ]

    def test_truncated_samples_have_a_table_by_threshold(self, unrolled: Any) -> None:
        for place, row in enumerate(unrolled.rows):
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, modes=7, coverage=place + (threshold or 2.0))
        table = truncated_table(load_study(unrolled.store))
        assert table is not None
        assert heads(table) == ["unrolled_steps", "truncation", "seeds", "samples", "coverage", "modes covered"]
        means = {words(row, 2): row.cells[4].value for row in table.rows}
        assert {threshold for _, threshold in means} == {"0.5", "1", "not set"}
        assert (means["2", "0.5"], means["2", "not set"]) == (3.0, 4.5)
        assert {cell.words for cell in column(table, "seeds")} == {"2"}

    def test_without_measures_there_is_no_section(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        loaded = load_study(study.store)
        assert build(loaded) is None
        assert charts_against(loaded) == []
        assert truncation_chart(loaded) is None

    def test_figures_against_numeric_axes_only(self, unrolled: Any) -> None:
        study = load_study(unrolled.store)
        assert numeric_axes(study) == ["training.unrolled_steps"]
        (chart,) = charts_against(study)
        assert chart.name == "quality-against-unrolled_steps"
        assert chart.alt.startswith("FID, modes covered and diversity against unrolled_steps (0, 2 and 4).")
        assert "Measured while training" in chart.caption
        assert [key.words for key in chart.legend] == ["run saturated", "run collapsed"]
        points = [series for series in chart.rows[0].panels[0].series if series.look == "points"]
        assert [(series.marker, list(series.x)) for series in points] == [("o", [2, 2, 4, 4]), ("v", [0]), ("X", [0])]

    def test_truncation_is_drawn_of_what_was_measured(self, unrolled: Any) -> None:
        for row in unrolled.rows:
            for threshold in (None, 0.5, 1.0):
                unrolled.judge(row["trial_id"], threshold, diversity=threshold or 1.0)
        chart = truncation_chart(load_study(unrolled.store))
        assert chart is not None
        assert chart.alt.startswith(
            "diversity against the truncation threshold (0.5, 1 and none); a colour for each of"
        )


@pytest.mark.slow
class TestCurves:
    def test_began_has_its_control_and_no_probabilities(self, study: Any) -> None:
        study.steps = 100
        study.job({"objective.gamma": [0.3, 0.7]})
        for gamma in (0.3, 0.7):
            study.trial({"objective.kind": "began", "objective.gamma": gamma}, samples=(), signals=BEGAN)
        drawings, _ = curve_charts(load_study(study.store))
        assert [drawing.name for drawing in drawings] == ["losses", "gradients", "errors", "began"]
        assert "k, loss ratio and M_global against the training step" in drawings[-1].alt

    def test_a_panel_without_values_is_left_out(self, study: Any) -> None:
        study.steps = 100
        study.job({"objective.kind": ["ebgan", "wgan_gp"]})
        study.trial({"objective.kind": "ebgan"}, samples=(), signals=AUTOENCODER)
        study.trial({"objective.kind": "wgan_gp"}, samples=(), signals={"d_penalty": 0.5})
        drawings = {drawing.name: drawing for drawing in curve_charts(load_study(study.store))[0]}
        assert list(drawings) == ["losses", "gradients", "discriminator", "errors", "penalty"]
        assert "(ebgan and wgan_gp)" in drawings["losses"].alt
        assert "(ebgan)" in drawings["errors"].alt
        assert "(wgan_gp)" in drawings["penalty"].alt

    def test_quality_while_training_and_marks(self, unrolled: Any) -> None:
        drawings, _ = curve_charts(load_study(unrolled.store))
        assert [drawing.name for drawing in drawings] == [
            "losses",
            "gradients",
            "discriminator",
            "quality-while-training",
        ]
        assert "marks where runs were saturated and collapsed" in drawings[0].alt
        assert "the step at which a run was saturated or collapsed." in drawings[0].caption
        marks = {(mark.x, mark.marker) for row in drawings[0].rows for panel in row.panels for mark in panel.marks}
        assert marks == {(50, "v"), (100, "X"), (150, "X")}
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
    assert "saturated at step" in page.text("trials")
    assert "collapsed, saturated" in page.text("trials")
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
