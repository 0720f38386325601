"""Samples of a trained generator: those that it makes itself of the same latent vectors, whatever their number."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.data.ranges import to_bytes
from orchestrator.errors import EvaluationError, NotFoundError, SettingsError
from orchestrator.evaluations.interpolation.paths import PATHS
from orchestrator.study import load_study
from orchestrator.study.best import best_trial, natural_best
from orchestrator.study.samples import draw, in_rows, latents_of, paths_between, png_of, sheet_of
from orchestrator.study.trained import Trained, load_trained
from tests.trained import small_job, train

if TYPE_CHECKING:
    from orchestrator.store.local import LocalStore

FAMILIES = {
    "adversarial": {"training": {"g_ema": 0.5}},
    "flow": {"model": {"kind": "glow", "levels": 1, "steps": 1, "width": 4}, "objective": {"kind": "likelihood"}},
    "autoencoder": {
        "model": {"kind": "encoder_decoder", "latent_dim": 4, "width": 2},
        "objective": {"kind": "wae_mmd"},
    },
    "free latents": {"objective": {"kind": "glo"}},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Three trials; the second has the lowest FID."""
    job = small_job(grid={"training.seed": [0, 1, 2]}, training={"epochs": 1})
    return train(tmp_path_factory.mktemp("samples"), job, [30.0, 10.0, 20.0])


@pytest.fixture(scope="module")
def trained(store: LocalStore) -> Trained:
    return load_trained(store, best_trial(load_study(store)).trial_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_what_the_generator_makes_of_the_latent_vectors(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = train(tmp_path_factory.mktemp("family"), small_job(**FAMILIES[family]))
    trained = load_trained(store, "")
    (latents,) = latents_of(trained.settings.latent_dim, 6, seed=3)
    (images,) = draw(trained, 6, seed=3)
    assert images.shape == (6, *trained.settings.data.shape)
    assert torch.equal(images, trained.generator(latents))
    assert not torch.equal(images, next(draw(trained, 6, seed=4)))


def test_the_latent_vectors_are_of_the_seed_alone(trained: Trained) -> None:
    """Those of fewer images are the first of those of more, over the borders of batches too."""
    few, many = (torch.cat(list(latents_of(trained.settings.latent_dim, count, seed=5))) for count in (10, 700))
    assert many.shape == (700, 4)
    assert torch.equal(few, many[:10])
    assert abs(float(many.mean())) < 0.1
    assert abs(float(many.std()) - 1) < 0.1


def test_truncation_keeps_the_draws_and_limits_their_size(trained: Trained) -> None:
    (whole,) = latents_of(trained.settings.latent_dim, 200)
    (truncated,) = latents_of(trained.settings.latent_dim, 200, truncation=0.5)
    assert float(truncated.abs().max()) <= 0.5
    assert torch.equal(whole.sign(), truncated.sign())
    assert torch.equal(whole.flatten().argsort(), truncated.flatten().argsort())


@pytest.mark.parametrize("way", PATHS)
def test_paths_lead_from_one_sample_to_the_next(trained: Trained, way: str) -> None:
    (latents,) = latents_of(trained.settings.latent_dim, 6, seed=2)
    paths = list(paths_between(trained, 3, way, seed=2))
    assert [len(path) for path in paths] == [9, 9, 9]
    for number, path in enumerate(paths):
        first, second = latents[2 * number], latents[2 * number + 1]
        ends = trained.generator(torch.stack([second, first]))
        torch.testing.assert_close(path[[0, -1]], ends, rtol=0, atol=1e-5)
        middle = PATHS[way](first[None], second[None])[0, 4]
        torch.testing.assert_close(path[4], trained.generator(middle[None])[0], rtol=0, atol=1e-5)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image)


def test_files_have_the_rounded_bytes(trained: Trained) -> None:
    (images,) = draw(trained, 5)
    expected = to_bytes(images).numpy()[:, 0]
    assert np.array_equal(pixels(png_of(images[2])), expected[2])
    strip, sheet = pixels(png_of(images)), pixels(sheet_of(in_rows(images)))
    assert (strip.shape, sheet.shape) == ((28, 5 * 28 + 4 * 2), (2 * 28 + 2, 3 * 28 + 2 * 2))
    for place in range(5):
        row, column = divmod(place, 3)
        assert np.array_equal(strip[:, 30 * place : 30 * place + 28], expected[place])
        assert np.array_equal(sheet[30 * row : 30 * row + 28, 30 * column : 30 * column + 28], expected[place])
    assert (sheet[30:, 60:] == 255).all(), "what the last row lacks is white"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"count": 0}, "count: got 0, expected a whole number >= 1"),
        ({"count": 1, "seed": -1}, "seed: got -1, expected a whole number >= 0 and <= 4294967295"),
        ({"count": 1, "seed": 2**32}, "seed: got 4294967296, expected"),
        ({"count": 1, "truncation": 0.0}, "truncation: got 0.0, expected a number > 0 and <= 10"),
        ({"count": 1, "truncation": float("nan")}, "truncation: got nan, "),
        ({"count": 1, "truncation": 10.5}, "truncation: got 10.5, "),
    ],
)
def test_what_cannot_be_drawn(trained: Trained, arguments: dict[str, float], line: str) -> None:
    for function in (draw, paths_between):
        with pytest.raises(SettingsError, match=f"^{re.escape(line)}"):
            function(trained, **arguments)  # type: ignore[operator]
    with pytest.raises(SettingsError, match="interpolate: got 'round', expected linear or spherical"):
        paths_between(trained, 1, "round")


def test_images_that_are_not_finite_are_told(store: LocalStore) -> None:
    broken = load_trained(store, best_trial(load_study(store)).trial_id)
    next(broken.generator.parameters()).fill_(float("nan"))
    with pytest.raises(
        EvaluationError, match=f"the generator of trial {broken.trial_id} makes images that are not fin"
    ):
        list(draw(broken, 3))


def test_the_best_trial(store: LocalStore) -> None:
    study = load_study(store)
    ids = [str(one) for one in study.trials["trial_id"]]
    assert best_trial(study) == best_trial(study, "fid") == (ids[1], "fid", 10.0)
    assert best_trial(study, "train_s").value == study.trials["train_s"].min()
    assert best_trial(study, "images_per_second").value == study.trials["images_per_second"].max()
    assert natural_best(replace(study, planned={})) == best_trial(study)
    alike = study.trials.assign(fid=5.0)
    assert natural_best(replace(study, trials=alike)) is None
    assert best_trial(replace(study, trials=alike), "fid").trial_id == ids[0]
    others = study.trials.assign(classifier=["a", "b", "b"])
    with pytest.raises(NotFoundError, match=f"no measure says which trial is the best one; trials there: {ids[0]}, "):
        best_trial(replace(study, trials=others))
    with pytest.raises(SettingsError, match=r"measure: got 'g_loss'; allowed: .*\bfid\b"):
        best_trial(study, "g_loss")
    with pytest.raises(NotFoundError, match=f"has a value of bits_per_dimension; trials there: {ids[0]}, "):
        best_trial(study, "bits_per_dimension")


def test_the_measure_that_matters_is_that_of_the_search_then_the_fid_then_that_of_claims(store: LocalStore) -> None:
    study = load_study(store)
    trials = study.trials.assign(
        g_loss=[3.0, 2.0, 1.0], diversity=[1.0, 2.0, 3.0], status=["finished"] * 2 + ["failed"]
    )
    claim = {"id": "A", "says": "s", "measure": "g_loss", "better": "higher", "group": {"training.seed": 0}}
    claims = [{**claim, "than": {"training.seed": 1}}]
    search = {"scheduler": "asha", "measure": "g_loss", "mode": "min"}

    def best(**more: Any) -> tuple[str, float]:
        job = small_job(grid={"training.seed": [0, 1, 2]}, training={"epochs": 1}, **more)
        found = best_trial(replace(study, trials=trials, job=job))
        return found.measure, found.value

    assert best() == ("fid", 10.0)
    assert best(claims=claims) == ("fid", 10.0)
    trials["fid"] = None
    assert best(claims=claims) == ("g_loss", 3.0)
    assert best(claims=claims, search=search) == ("g_loss", 2.0), "a trial that failed is none of the best"
