"""Pages of studies of inversion: tables equal to pandas, figures of what was stored, pictures that lead to trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch

from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.encoder_inversion.settings import METHODS, EncoderInversion, EncoderTraining
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.report import inversion as section
from orchestrator.report.axes import grid_axes, names_of
from orchestrator.report.inversion import (
    ENCODER_KIND,
    KIND,
    by_class,
    encoded,
    encoder_galleries,
    galleries,
    inverted,
)
from orchestrator.report.results import load
from orchestrator.report.runs import Runs, runs_of
from orchestrator.report.searches import draw_bands, draw_restarts, draw_searches, draw_training, quantiles
from orchestrator.report.tables import Spread, varying_settings
from tests.evaluations.generators import convolutional, images_of, subject_of
from tests.figures import unlaid

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


def parts(study: Any, kind: str = KIND) -> tuple[Any, Runs]:
    results = load(study.store)
    varying = varying_settings(results.trials, grid_axes(results.job))
    return results, runs_of(results, kind, varying, names_of([*results.settings, "training.seed"], varying))


def stored(study: Any, table: str) -> pd.DataFrame:
    """Rows of a table as pandas reads the folder, with the width of their trials."""
    trials = pd.read_parquet(f"{study.store.uri}/trials")[["trial_id", "model.width"]]
    return pd.read_parquet(f"{study.store.uri}/evaluations/{table}").merge(trials, on="trial_id")


def spread(values: pd.Series[Any]) -> Spread:
    return Spread(
        pytest.approx(values.mean()), pytest.approx(values.min()), pytest.approx(values.max()), len(values)
    )  # fmt: skip


class TestTable:
    def test_the_best_and_the_first_restart_equal_pandas(self, latent: Any) -> None:
        _, runs = parts(latent)
        rows = inverted(runs)
        assert runs.heads == ("width",)
        assert [(row.settings, row.trials, row.images, row.restarts) for row in rows] == [
            (("16",), 2, "5", "3"),
            (("64",), 2, "5", "3"),
        ]
        everything = stored(latent, "inversion")
        for row, (_, own) in zip(rows, everything.groupby("model.width"), strict=True):
            best, first = own[own["chosen"]], own[own["restart"] == 0]
            for measure in ("mse", "psnr", "ssim"):
                for told, frame in ((row.best, best), (row.single, first)):
                    assert told[measure].spread == spread(frame.groupby("trial_id")[measure].mean())
                    assert told[measure].median == pytest.approx(frame[measure].median())
            pairs = best.merge(first, on=["trial_id", "image_id"])
            ratios = pairs["mse_y"] / pairs["mse_x"]
            assert row.ratio is not None
            assert (row.ratio.low, row.ratio.median, row.ratio.high) == pytest.approx(
                tuple(ratios.quantile([0.25, 0.5, 0.75]))
            )
            assert row.ratio.high > 1

    def test_a_first_restart_that_was_dropped_is_no_single_start(self, latent: Any) -> None:
        halving = INVERSION.model_copy(update={"halving": True})
        results = compute_shard(halving, subject_of(convolutional(), images_of(12)), 0)
        latent.evaluated(latent.rows[0]["trial_id"], halving, results)
        _, runs = parts(latent)
        assert runs.heads == ("width", "halving")
        rows = {row.settings: row for row in inverted(runs)}
        assert rows["16", "true"].trials == 1
        assert (rows["16", "true"].single["mse"].spread, rows["16", "true"].ratio) == (None, None)
        assert rows["16", "true"].best["mse"].spread is not None
        assert rows["16", "false"].ratio is not None

    def test_errors_by_class_equal_pandas_and_too_many_are_counted(
        self, latent: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, runs = parts(latent)
        table = by_class(runs)
        assert table is not None
        own = stored(latent, "inversion")
        own = own[own["chosen"]]
        assert table.classes == tuple(str(label) for label in sorted(set(own["label"])))
        for row, (_, cell) in zip(table.rows, own.groupby("model.width"), strict=True):
            for label, error in zip(table.classes, row.errors, strict=True):
                assert error == spread(cell[cell["label"] == int(label)].groupby("trial_id")["mse"].mean())
        monkeypatch.setattr(section, "CLASSES", 2)
        shorter = by_class(runs)
        assert shorter is not None
        assert (len(shorter.classes), shorter.left_out) == (2, len(table.classes) - 2)

    def test_methods_of_the_encoder_equal_pandas(self, latent: Any) -> None:
        _, runs = parts(latent, ENCODER_KIND)
        rows = encoded(runs)
        assert [(row.settings, row.method) for row in rows] == [((w,), m) for w in ("16", "64") for m in METHODS]
        everything = stored(latent, "encoder_inversion")
        for row in rows:
            own = everything[(everything["model.width"] == int(row.settings[0])) & (everything["method"] == row.method)]
            assert row.measures["mse"].spread == spread(own.groupby("trial_id")["mse"].mean())
            assert (row.trials, row.images) == (2, "5")

    def test_images_without_classes_have_no_table_of_them(self, study: Any) -> None:
        trial = study.trial({}, samples=())
        study.evaluated(
            trial, INVERSION, compute_shard(INVERSION, subject_of(convolutional(), images_of(9, labelled=False)), 0)
        )
        _, runs = parts(study)
        assert by_class(runs) is None
        assert len(inverted(runs)) == 1

    def test_what_was_not_computed_is_not_there(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        for kind in (KIND, ENCODER_KIND):
            results, runs = parts(study, kind)
            assert inverted(runs) == encoded(runs) == []
            assert by_class(runs) is None
            for draw in (draw_restarts, draw_bands, draw_searches, draw_training):
                assert draw(results, runs) is None
            assert galleries(results, runs).pictures == []


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
        results, runs = parts(latent)
        _, encoders = parts(latent, ENCODER_KIND)
        restarts, bands = draw_restarts(results, runs), draw_bands(results, runs)
        searches, training = draw_searches(results, encoders), draw_training(results, encoders)
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
        results, runs = parts(latent)
        assert runs.heads == ("width", "seed")
        assert len(results.further(KIND, "curves", trial)) == 2 * 5 * 3 * 3
        assert len(results.further(KIND, "bands", latent.rows[1]["trial_id"])) == 5 * 4


class TestPictures:
    def test_a_picture_a_trial_with_its_settings(self, latent: Any) -> None:
        results, runs = parts(latent)
        album = galleries(results, runs)
        assert (album.left_out, album.problems) == (0, [])
        assert [picture.trial_id for picture in album.pictures] == [row["trial_id"] for row in latent.rows]
        assert album.pictures[0].alt == (
            "Inversion, width = 16: 5 held-out images, a row each; columns from the left: the image, the best restart, "
            "then 3 restarts."
        )
        results, runs = parts(latent, ENCODER_KIND)
        assert encoder_galleries(results, runs).pictures[2].alt == (
            "Encoder, width = 64: 5 held-out images, a row each; columns from the left: the image, encoder, refined, "
            "random."
        )

    def test_those_of_the_first_trials_only(self, latent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(section, "MOST_PICTURES", 3)
        album = galleries(*parts(latent))
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
    for name in ("inversion-losses", "inversion-bands", "encoder-searches", "encoder-training"):
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
    with unlaid():
        page = study.store.read(write_report(study.store))
    assert len(page) < 15_000_000
    assert b"188 further pictures of inverted images" in page
