"""The kind ``likelihood``: each image's bits under a flow, whatever the parts, of its own data set and of others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from orchestrator.data import AnyDataset
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.evaluations.likelihood.settings import Likelihood
from orchestrator.models._flow import Flow, bits_per_dimension
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.spec.job import Trial
from orchestrator.state.due import find_due
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import SHAPE, images_of, subject_of
from tests.training.families import trial

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.data.images import ImageSet

FASHION = TypeAdapter(AnyDataset).validate_python({"name": "fashion_mnist"})
MNIST = TypeAdapter(AnyDataset).validate_python({"name": "mnist"})
FAMILIES = ("autoencoder", "wae_mmd", "glo")


def flow() -> Flow:
    """With no weight left at zero."""
    network, source = Flow(SHAPE, 2, 1, 3), torch.Generator().manual_seed(0)
    network.init_weights(source)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=source))
    return network.eval().requires_grad_(False)


def subject(held_out: ImageSet, network: torch.nn.Module | None = None, **others: Any) -> TrainedModel:
    return TrainedModel(
        "abc",
        trial("likelihood"),
        network or flow(),
        torch.device("cpu"),
        {"test": held_out},
        None,
        lambda: pytest.fail("nobody is asked to judge"),
        **others,
    )


def noise_of(seed: int, number: int) -> torch.Tensor:
    (mixed,) = np.random.SeedSequence([seed, number]).generate_state(1).tolist()
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(mixed))


def rows_of(evaluation: Likelihood, of: TrainedModel) -> list[dict[str, Any]]:
    return [
        dict(row)
        for shard in range(evaluation.shards(of.settings))
        for row in compute_shard(evaluation, of, shard).rows
    ]


def test_rows_are_the_bits_that_the_flow_gives_bytes_with_noise() -> None:
    held_out, network = images_of(12), flow()
    rows = rows_of(Likelihood(images=5, seed=7), subject(held_out, network))
    assert [row["image_id"] for row in rows] == np.random.default_rng(0).permutation(12)[:5].tolist()
    for row in rows:
        number = row["image_id"]
        noise = noise_of(7, number)
        pixels = torch.from_numpy(held_out.pixels[number]).float()
        latents, log_det = network.encode((pixels + noise)[None] / 256 - 0.5)
        bits = bits_per_dimension(latents, log_det).item()
        assert row["data"] == "digits"
        assert row["label"] == number % 10
        assert row["bits_per_dimension"] == pytest.approx(bits, rel=1e-5)
        assert row["log_likelihood"] == pytest.approx(-bits * 64 * math.log(2), rel=1e-5)
        assert row["log_det"] == pytest.approx(log_det.item(), rel=1e-5)


def test_the_log_likelihood_is_the_normal_density_of_the_latents_and_the_change_of_volume() -> None:
    held_out, network = images_of(4), flow()
    for row in rows_of(Likelihood(images=4), subject(held_out, network)):
        noise = noise_of(0, row["image_id"])
        latents, _ = network.encode((torch.from_numpy(held_out.pixels[row["image_id"]]) + noise)[None] / 256 - 0.5)
        density = torch.distributions.Normal(0.0, 1.0).log_prob(latents.double()).sum().item()
        assert row["log_likelihood"] == pytest.approx(density + row["log_det"] - 64 * math.log(256), rel=1e-5)


def test_an_image_has_the_same_likelihood_however_many_others_are_looked_at() -> None:
    of = subject(images_of(70))
    evaluation = Likelihood(images=70)
    assert evaluation.shards(of.settings) == 2
    whole = {row["image_id"]: row for row in rows_of(evaluation, of)}
    assert sorted(whole) == list(range(70))
    for row in rows_of(Likelihood(images=3), of):
        for name, value in row.items():
            same = value == whole[row["image_id"]][name] or value == pytest.approx(whole[row["image_id"]][name])
            assert same, name


@pytest.mark.parametrize("far", [1, 2, 2**31])
def test_seeds_however_far_apart_draw_other_noise(far: int) -> None:
    of = subject(images_of(5))
    one, same, other = (
        [row["bits_per_dimension"] for row in rows_of(Likelihood(images=5, seed=seed), of)] for seed in (1, 1, 1 + far)
    )
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_as_many_images_of_other_sets_are_looked_at_and_told_apart() -> None:
    own, foreign, third = (images_of(80, seed) for seed in range(3))
    evaluation = Likelihood(images=66, against=(FASHION, MNIST))
    assert evaluation.others == (FASHION, MNIST)
    rows = rows_of(evaluation, subject(own, others={FASHION: foreign, MNIST: third}))
    for name, held_out in (("digits", own), ("fashion_mnist", foreign), ("mnist", third)):
        of_set = [row for row in rows if row["data"] == name]
        alone = rows_of(Likelihood(images=66), subject(held_out))
        assert [{**row, "data": "digits"} for row in of_set] == alone
    assert len(rows) == 3 * 66


@pytest.mark.parametrize("kept", [None, 7])
def test_the_trials_own_set_among_the_others_counts_once_however_many_images_train(kept: int | None) -> None:
    own, foreign = images_of(5), images_of(5, seed=1)
    of = subject(own, others={FASHION: foreign})
    listed = of.settings.data.model_copy(update={"max_images": kept})
    with_own = Likelihood(images=3, against=(FASHION, listed))
    assert with_own.reject(of.settings) is None
    assert with_own.shards(of.settings) == 2
    assert with_own.values_of("data", of.settings) == ("digits", "fashion_mnist")
    assert rows_of(with_own, of) == rows_of(Likelihood(images=3, against=(FASHION,)), of)


def test_sets_that_do_not_fit_are_refused_in_one_line() -> None:
    celeba = TypeAdapter(AnyDataset).validate_python({"name": "celeba"})
    settings = trial("likelihood")
    problem = Likelihood(against=(FASHION, celeba)).reject(settings)
    assert problem == f"against.1: images of {celeba.shape}, but those of the trial are 28x28x1"
    own = settings.data.model_copy(update={"max_images": 7})
    assert Likelihood(against=(own, settings.data)).reject(settings) == "against.1: got digits twice; take one out"
    twice = Likelihood(against=(FASHION, FASHION)).reject(settings)
    assert twice == "against.1: got fashion_mnist twice; take one out"
    assert Likelihood(against=(FASHION, MNIST)).reject(settings) is None


def test_too_few_images_of_any_set_are_told_in_one_line() -> None:
    with pytest.raises(DataError, match="likelihood: images: got 9, but the held-out images of digits are 5; lower it"):
        compute_shard(Likelihood(images=9), subject(images_of(5)), 0)
    few = subject(images_of(9), others={FASHION: images_of(4)})
    evaluation = Likelihood(images=9, against=(FASHION,))
    assert len(compute_shard(evaluation, few, 0).rows) == 9
    with pytest.raises(DataError, match="images: got 9, but the held-out images of fashion_mnist are 4; lower it"):
        compute_shard(evaluation, few, 1)


def test_a_flow_that_is_not_finite_is_told_in_one_line() -> None:
    broken = flow()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(EvaluationError, match="the flow of trial abc gives likelihoods that are not finite"):
        compute_shard(Likelihood(images=2), subject(images_of(2), broken), 0)


def test_a_plan_passes_over_every_trial_but_that_of_the_flow() -> None:
    settings = [trial(kind) for kind in (*FAMILIES, "likelihood")]
    trials = [Trial(id=f"{number:016x}", settings=one, changes={}) for number, one in enumerate(settings)]
    (due,) = find_due(trials, [Likelihood(images=65, against=(FASHION,))], ())
    assert due.trial.settings.objective.kind == "likelihood"
    assert due.missing == (0, 1, 2, 3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_other_families_are_passed_over_for_the_reason_that_they_fill_no_volume(kind: str) -> None:
    why = Likelihood().not_applicable(trial(kind))
    assert why is not None
    assert why.isprintable()
    assert "turns 3 numbers into images of 784, which fill no volume" in why
    assert why.endswith("of 784 latent numbers, such as glow.")
    assert ("Gaussian that was fitted" in why) == (kind == "glo")


def test_a_generator_without_density_is_refused_where_it_is_asked_all_the_same() -> None:
    with pytest.raises(DataError, match="likelihood: its generator turns"):
        compute_shard(Likelihood(images=1), subject_of(torch.nn.Identity(), images_of(2)), 0)


def test_rows_and_settings_fit_their_columns(tmp_path: Path) -> None:
    evaluation = Likelihood(images=3)
    rows = [evaluation_settings(evaluation) | row for row in rows_of(evaluation, subject(images_of(3)))]
    write_rows(LocalStore(tmp_path), "rows.parquet", schema_of(evaluation_columns(Likelihood, "")), rows)
