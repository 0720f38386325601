"""Pages of studies that compare families: reconstructions, sharpness, codes, and likelihoods where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.likelihood.settings import Likelihood
from orchestrator.evaluations.reconstruction.settings import Reconstruction
from orchestrator.evaluations.sharpness.settings import Sharpness
from orchestrator.report.blocks import Table
from orchestrator.report.codes import codes_chart
from orchestrator.report.latent_loss import latent_loss_chart
from orchestrator.report.sections.likelihood import (
    auroc,
    likelihood_chart,
    likelihood_table,
    without_likelihood,
)
from orchestrator.report.sections.quality import build as build_quality
from orchestrator.report.sections.reconstruction import reconstruction_table, reconstructions
from orchestrator.state.files import read_job
from orchestrator.store.columns import CDF_POINTS
from orchestrator.study import load_study
from tests.report.tables import EMPTY, column, shows, words
from tests.report.test_latent_studies import png

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = {"kind": "encoder_decoder", "latent_dim": 5}
GRID: dict[str, list[Any]] = {"objective.kind": ["glo", "wae_mmd"], "training.seed": [0, 1]}
RECONSTRUCTION, SHARPNESS, LIKELIHOOD = Reconstruction(images=4), Sharpness(samples=10), Likelihood(images=4)


def rows_of(trial: int, method: str) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "method": method, "mse": 0.01 * (1 + trial + image), "psnr": 20.0, "ssim": 0.9,
         "sharpness": None if image == 3 else 0.5}
        for image in range(4)
    ]  # fmt: skip


def bits_of(trial: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(trial)
    values = {"mnist": random.normal(2.0, 0.5, 20), "digits": random.normal(2.5, 0.5, 20)}
    return [
        {"data": name, "image_id": image, "bits_per_dimension": float(bits), "log_likelihood": -543.0 * float(bits)}
        for name, some in values.items()
        for image, bits in enumerate(some)
    ]


@pytest.fixture
def families(study: Any) -> Any:
    study.steps = 100
    study.job(GRID, model=MODEL)
    ids = [trial.id for trial in read_job(study.store).trials]
    looks = {
        step: {"latent_cdf": [step / 200] * len(CDF_POINTS), "latent_ks": 0.5, "diversity": 1.0} for step in (50, 100)
    }
    for place, cell in enumerate(("glo", "glo", "wae_mmd", "wae_mmd")):
        settings = {"objective.kind": cell, "training.seed": place % 2, "data.name": "mnist"}
        trial = study.trial(settings, samples=(), looks=looks, trial_id=ids[place])
        method = "search" if cell == "glo" else "encoder"
        study.evaluated(trial, RECONSTRUCTION, ShardResult(rows_of(place, method), pictures={"gallery": png()}))
        ratio = {"samples": 10, "sharpness": 0.1 * place, "real": 0.2, "ratio": 0.5 * place}
        study.evaluated(trial, SHARPNESS, ShardResult([ratio]))
        if cell == "wae_mmd":  # as if it had a likelihood: the report takes the rows' word
            study.evaluated(trial, LIKELIHOOD, ShardResult(bits_of(place)))
    return study


def test_reconstructions_are_means_over_a_trials_images_then_spreads_over_seeds(families: Any) -> None:
    study = load_study(families.store)
    table = reconstruction_table(study)
    assert table is not None
    assert [words(row, 4) for row in table.rows] == [("glo", "search", "2", "4"), ("wae_mmd", "encoder", "2", "4")]
    rows = pd.read_parquet(f"{families.store.uri}/evaluations/reconstruction")
    means = rows[rows["method"] == "encoder"].groupby("trial_id")["mse"].mean()
    assert shows(column(table, "MSE")[1], means)
    assert column(table, "sharpness over its own")[0].value == 0.5  # of the images that have one
    album = reconstructions(study)
    assert [picture.alt.partition(":")[0] for picture in album.pictures] == ["objective = glo", "objective = wae_mmd"]
    assert not album.problems


def test_sharpness_has_a_row_a_cell(families: Any) -> None:
    section = build_quality(load_study(families.store))
    assert section is not None
    (table,) = [block for block in section.blocks if isinstance(block, Table) and block.note == "sharpened-note"]
    assert [cell.value for cell in column(table, "over the data's")] == [0.25, 1.25]


def test_likelihoods_are_by_data_set_own_first_and_apart_as_scikit_learn_does(families: Any) -> None:
    study = load_study(families.store)
    table = likelihood_table(study)
    assert table is not None
    assert [words(row, 2) for row in table.rows] == [("wae_mmd", "mnist"), ("wae_mmd", "digits")]
    own, other = column(table, "told from own, AUROC")
    assert own == EMPTY
    rows = pd.read_parquet(f"{families.store.uri}/evaluations/likelihood")
    scores = [
        roc_auc_score(some["data"] == "digits", some["bits_per_dimension"]) for _, some in rows.groupby("trial_id")
    ]
    assert other.value == pytest.approx(np.mean(scores))
    chart = likelihood_chart(study)
    assert chart is not None
    assert "mnist and digits" in chart.alt


def test_ties_count_by_half() -> None:
    assert auroc(pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0])) == 0.5
    assert auroc(pd.Series([1.0, 2.0]), pd.Series([3.0])) == 1.0


def test_families_without_a_density_say_why(families: Any) -> None:
    reasons = dict(without_likelihood(load_study(families.store)))
    assert set(reasons) == {"objective = glo", "objective = wae_mmd"}
    assert all("5 numbers into images of 784" in why for why in reasons.values())
    assert "no prior either" in reasons["objective = glo"]
    assert "no prior either" not in reasons["objective = wae_mmd"]


def test_codes_have_a_panel_a_cell(families: Any) -> None:
    chart = codes_chart(load_study(families.store))
    assert chart is not None
    assert "each of 2 settings" in chart.alt
    assert [len(panel.series) for panel in chart.rows[0].panels] == [3, 3]


def test_the_parts_of_a_loss_are_means_over_seeds_on_one_logarithmic_axis(study: Any) -> None:
    study.steps, study.every = 40, 10
    study.job({"training.seed": [0, 1]}, model=MODEL, objective={"kind": "wae_moments"})
    for seed, factor in ((0, 1.0), (1, 3.0)):
        looks = {
            step: {"reconstruction": 0.1 * factor, "latent_penalty": 2.0 * factor, "penalty_weight": 0.001 * step}
            for step in (10, 20, 30, 40)
        }
        looks[20] |= {"latent_penalty": -1.0}  # as the estimate of a discrepancy may be
        study.trial({"objective.kind": "wae_moments", "training.seed": seed}, samples=(), looks=looks)
    chart = latent_loss_chart(load_study(study.store))
    assert chart is not None
    (panel,) = chart.rows[0].panels
    assert panel.log_y
    image, latent, weighted = panel.series
    assert list(image.x) == [10, 20, 30, 40]
    assert image.y == pytest.approx([0.2] * 4)
    assert list(latent.x) == list(weighted.x) == [10, 30, 40]
    assert (latent.low, latent.high) == (pytest.approx([2.0] * 3), pytest.approx([6.0] * 3))
    assert weighted.y == pytest.approx([0.04, 0.12, 0.16])
    assert len(chart.legend) == 3


def test_the_page_has_the_sections_and_without_their_rows_it_has_not(
    families: Any, report: Callable[[], Any], study_at: Callable[..., Any], report_of: Callable[..., Any], tmp_path: Any
) -> None:
    page = families.store
    report()
    html = page.read("report/index.html").decode()
    for anchor in ("reconstruction", "likelihood", "figure-codes", "figure-likelihood", "sharpened-note"):
        assert f'id="{anchor}"' in html
    plain = study_at(tmp_path / "plain")
    plain.job({"training.seed": [0]})
    plain.grid({"training.seed": [0]}, samples=())
    report_of(plain)
    html = plain.store.read("report/index.html").decode()
    for anchor in ("reconstruction", "likelihood", "figure-codes", "sharpened-note"):
        assert f'id="{anchor}"' not in html
    loaded = load_study(plain.store)
    assert codes_chart(loaded) is None
    assert latent_loss_chart(loaded) is None
    assert likelihood_chart(loaded) is None
    assert likelihood_table(loaded) is None
    assert without_likelihood(loaded) == []
