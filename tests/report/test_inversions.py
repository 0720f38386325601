"""Pages of studies of inversion: tables equal to pandas, figures of what was stored, pictures that lead to trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from orchestrator import text
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.encoder_inversion.settings import METHODS, EncoderInversion, EncoderTraining
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.report import kept
from orchestrator.report.kept import kept_table, typicality_chart
from orchestrator.report.searches import quantiles
from orchestrator.report.sections import inversion as section
from orchestrator.report.sections.encoder import build as build_encoder
from orchestrator.report.sections.encoder import encoded_images, encoder_table, searches_chart, training_chart
from orchestrator.report.sections.inversion import (
    KIND,
    bands_chart,
    build,
    chosen_of,
    class_table,
    inversion_table,
    inverted_images,
    restarts_chart,
)
from orchestrator.study import load_study
from tests.evaluations.generators import convolutional, images_of, subject_of
from tests.report.tables import EMPTY, column, heads, shows, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.evaluations.evaluation import ShardResult

GRID = {"model.width": [16, 64], "training.seed": [0, 1]}
INVERSION = Inversion(images=5, restarts=3, steps=4, log_every=2, bands=4)
ENCODER = EncoderInversion(images=5, steps=4, encoder=EncoderTraining(steps=4, batch_size=8, width=2, log_every=2))


@pytest.fixture(scope="module")
def found() -> dict[int, tuple[ShardResult, ShardResult]]:
    """Both evaluations of four generators."""
    subjects = [subject_of(convolutional(seed), images_of(12), images_of(16, 1)) for seed in range(4)]
    return {
        seed: (compute_shard(INVERSION, one, 0), compute_shard(ENCODER, one, 0)) for seed, one in enumerate(subjects)
    }


@pytest.fixture
def latent(study: Any, found: dict[int, tuple[ShardResult, ShardResult]]) -> Any:
    study.steps = 100
    study.job(GRID)
    for place, trial in enumerate(study.grid(GRID, samples=())):
        study.evaluated(trial, INVERSION, found[place][0])
        study.evaluated(trial, ENCODER, found[place][1])
    return study


def stored(study: Any, table: str) -> pd.DataFrame:
    """Rows of a table as pandas reads the folder, with the width of their trials."""
    trials = pd.read_parquet(f"{study.store.uri}/trials")[["trial_id", "model.width"]]
    return pd.read_parquet(f"{study.store.uri}/evaluations/{table}").merge(trials, on="trial_id")


class TestTable:
    def test_the_best_and_the_first_restart_equal_pandas(self, latent: Any) -> None:
        table = inversion_table(load_study(latent.store))
        assert [words(row, 4) for row in table.rows] == [("16", "2", "5", "3"), ("64", "2", "5", "3")]
        everything = stored(latent, "inversion")
        for place, (_, own) in enumerate(everything.groupby("model.width")):
            best, first = own[own["chosen"]], own[own["restart"] == 0]
            for name, measure, frame in (
                ("MSE, best", "mse", best),
                ("MSE, first", "mse", first),
                ("PSNR, best, dB", "psnr", best),
                ("PSNR, first, dB", "psnr", first),
                ("SSIM, best", "ssim", best),
            ):
                cell = column(table, name)[place]
                assert shows(cell, frame.groupby("trial_id")[measure].mean())
                assert cell.small[-1] == f"median {text.number(float(frame[measure].median()))}"
            pairs = best.merge(first, on=["trial_id", "image_id"])
            low, median, high = (pairs["mse_y"] / pairs["mse_x"]).quantile([0.25, 0.5, 0.75])
            ratio = column(table, "times lower")[place]
            assert ratio.value == pytest.approx(median)
            assert ratio.small == (f"{text.number(low)} – {text.number(high)}",)
            assert high > 1

    def test_a_first_restart_that_was_dropped_is_no_single_start(self, latent: Any) -> None:
        halving = INVERSION.model_copy(update={"halving": True})
        results = compute_shard(halving, subject_of(convolutional(), images_of(12)), 0)
        latent.evaluated(latent.rows[0]["trial_id"], halving, results)
        table = inversion_table(load_study(latent.store))
        assert heads(table)[:2] == ["width", "halving"]
        rows = {words(row, 2): row for row in table.rows}
        halved, whole = rows["16", "true"], rows["16", "false"]
        assert halved.cells[2].words == "1"
        best, first, ratio = heads(table).index("MSE, best"), heads(table).index("MSE, first"), 7
        assert [halved.cells[place] for place in (first, ratio)] == [EMPTY, EMPTY]
        assert halved.cells[best] != EMPTY
        assert whole.cells[ratio] != EMPTY

    def test_errors_by_class_equal_pandas_and_too_many_are_counted(
        self, latent: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = load_study(latent.store)
        table, left_out = class_table(study)
        assert table is not None
        assert left_out == 0
        own = stored(latent, "inversion")
        own = own[own["chosen"]]
        labels = sorted(set(own["label"]))
        assert heads(table)[1:] == [f"class {label}" for label in labels]
        for row, (_, cell) in zip(table.rows, own.groupby("model.width"), strict=True):
            for label, error in zip(labels, row.cells[1:], strict=True):
                means = cell[cell["label"] == label].groupby("trial_id")["mse"].mean()
                assert shows(error, means) if len(means) else error == EMPTY
        monkeypatch.setattr(section, "CLASSES", 2)
        shorter, left_out = class_table(study)
        assert shorter is not None
        assert (len(heads(shorter)), left_out) == (3, len(labels) - 2)

    def test_what_is_kept_equals_pandas_and_errors_are_by_typicality(self, latent: Any) -> None:
        cells = load_study(latent.store).evaluation(KIND)
        table = kept_table(cells, chosen_of, "kept-note")
        assert table is not None
        assert "class kept" not in heads(table)  # there was no classifier
        for place, (_, own) in enumerate(stored(latent, "inversion").groupby("model.width")):
            best = own[own["chosen"]]
            for name, measure in (("ink over own", "ink_ratio"), ("box over own", "box_ratio")):
                assert shows(column(table, name)[place], best.groupby("trial_id")[measure].mean())
            for name, typical in (("MSE, typical images", True), ("MSE, other images", False)):
                some = best[best["typical"] == typical]
                cell = column(table, name)[place]
                assert shows(cell, some.groupby("trial_id")["mse"].mean()) if len(some) else cell == EMPTY
            ranks = [spearmanr(run["class_distance"], run["mse"])[0] for _, run in best.groupby("trial_id")]
            assert column(table, "rank correlation")[place].value == pytest.approx(np.mean(ranks))

    def test_the_figure_of_typicality_has_every_image_in_a_group(self, latent: Any, monkeypatch: Any) -> None:
        cells = load_study(latent.store).evaluation(KIND)
        chart = typicality_chart(cells, chosen_of)
        assert chart is not None
        assert chart.alt.endswith("of the image; a colour for each of width = 16; width = 64.")
        (panel,) = chart.rows[0].panels
        best = stored(latent, "inversion").query("chosen and `model.width` == 16")
        assert list(panel.series[0].x) == pytest.approx(
            sorted(set(best["class_distance"]))
        )  # five images, eight groups
        monkeypatch.setattr(kept, "BINS", 2)
        (panel,) = typicality_chart(cells, chosen_of).rows[0].panels
        first = best[best["trial_id"] == best["trial_id"].iloc[0]].sort_values("class_distance")
        assert list(panel.series[0].x) == pytest.approx(
            [first["class_distance"].iloc[:3].mean(), first["class_distance"].iloc[3:].mean()]
        )

    def test_methods_of_the_encoder_equal_pandas(self, latent: Any) -> None:
        table = encoder_table(load_study(latent.store))
        assert [words(row, 4) for row in table.rows] == [
            (width, method, "2", "5") for width in ("16", "64") for method in METHODS
        ]
        everything = stored(latent, "encoder_inversion")
        for row, mse in zip(table.rows, column(table, "MSE"), strict=True):
            width, method = words(row, 2)
            own = everything[(everything["model.width"] == int(width)) & (everything["method"] == method)]
            assert shows(mse, own.groupby("trial_id")["mse"].mean())

    def test_images_without_classes_have_no_table_of_them(self, study: Any) -> None:
        trial = study.trial({}, samples=())
        study.evaluated(
            trial, INVERSION, compute_shard(INVERSION, subject_of(convolutional(), images_of(9, labelled=False)), 0)
        )
        loaded = load_study(study.store)
        assert class_table(loaded) == (None, 0)
        assert len(inversion_table(loaded).rows) == 1

    def test_what_was_not_computed_is_not_there(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        loaded = load_study(study.store)
        assert build(loaded) is build_encoder(loaded) is None
        for chart in (restarts_chart, bands_chart, searches_chart, training_chart):
            assert chart(loaded) is None
        assert inverted_images(loaded).pictures == []


class TestFigures:
    def test_quantiles_equal_torch(self) -> None:
        losses = torch.rand(2, 31, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        curves = pd.DataFrame({"step": [0] * 31 + [10] * 31, "loss": losses.flatten().tolist()})
        band = quantiles(curves)
        assert list(band.index) == [0, 10]
        for share in (0.1, 0.5, 0.9):
            assert band[share].tolist() == pytest.approx(losses.quantile(share, dim=1).tolist())

    @pytest.mark.slow
    def test_each_says_what_it_shows(self, latent: Any) -> None:
        study = load_study(latent.store)
        restarts, bands = restarts_chart(study), bands_chart(study)
        searches, training = searches_chart(study), training_chart(study)
        assert restarts is not None
        assert bands is not None
        assert searches is not None
        assert training is not None
        assert (
            "of the best of all restarts and first restart alone; beside it every restart of 3 images" in restarts.alt
        )
        assert restarts.alt.endswith("panels for width = 16; width = 64.")
        assert (
            "in bands up to 0.125, 0.25, 0.375 and 0.5 cycles per pixel; a colour for each of width = 16;" in bands.alt
        )
        assert "from random starts and from the encoder's answers" in searches.alt
        assert training.alt.startswith("error in images and error in latent vectors against the updates of the encoder")

    def test_it_is_of_the_run_alone(self, latent: Any) -> None:
        """Further evaluations of the same trial have their rows in the same folder."""
        more = INVERSION.model_copy(update={"seed": 3})
        trial = latent.rows[0]["trial_id"]
        latent.evaluated(trial, more, compute_shard(more, subject_of(convolutional(), images_of(12)), 0))
        results = load_study(latent.store)
        assert results.evaluation(KIND).heads == ("width", "seed")
        assert len(results.further(KIND, "curves", trial)) == 2 * 5 * 3 * 3
        assert len(results.further(KIND, "bands", latent.rows[1]["trial_id"])) == 5 * 4


class TestPictures:
    def test_a_picture_a_trial_with_its_settings(self, latent: Any) -> None:
        study = load_study(latent.store)
        album = inverted_images(study)
        assert (album.left_out, album.problems) == (0, [])
        assert [picture.trial_id for picture in album.pictures] == [row["trial_id"] for row in latent.rows]
        assert album.pictures[0].alt == (
            "Inversion, width = 16: 5 held-out images, a row each; columns from the left: the image, the best restart, "
            "then 3 restarts."
        )
        assert encoded_images(study).pictures[2].alt == (
            "Encoder, width = 64: 5 held-out images, a row each; columns from the left: the image, encoder, refined, "
            "random."
        )

    def test_those_of_the_first_trials_only(self, latent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(section, "MOST_PICTURES", 3)
        album = inverted_images(load_study(latent.store))
        assert (len(album.pictures), album.left_out) == (3, 1)


@pytest.mark.slow
def test_page_of_an_inversion_study(latent: Any, report: Callable[[], Any]) -> None:
    page = report()
    assert {"inversion", "encoder"} <= set(page.ids)
    linked = [found["href"] for found in page.all("a")]
    assert {"#inversion", "#encoder"} <= set(linked)
    assert all(link.removeprefix("#") in page.ids for link in linked)
    assert len(page.ids) == len(set(page.ids))
    assert all(found["alt"] for found in page.all("img"))
    assert "Error by class" in page.text("inversion")
    assert "times lower" in page.text("inversion")
    assert "refined" in page.text("encoder")
    kept = latent.store.keys("report/figures")
    for name in ("inversion-losses", "inversion-bands", "inversion-typicality", "encoder-searches", "encoder-training"):
        assert f"report/figures/{name}.png" in kept


@pytest.mark.slow
def test_page_of_200_trials_is_small(study: Any, found: dict[int, tuple[ShardResult, ShardResult]]) -> None:
    from orchestrator.report import write_report

    study.steps = 100
    grid = {"model.width": list(range(1, 101)), "training.seed": [0, 1]}
    study.job(grid)
    for place, trial in enumerate(study.grid(grid, samples=())):
        study.evaluated(trial, INVERSION, found[place % 4][0])
        study.evaluated(trial, ENCODER, found[place % 4][1])
    page = study.store.read(write_report(study.store))
    assert len(page) < 15_000_000
    assert b"188 further pictures of inverted images" in page
