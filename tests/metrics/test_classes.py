"""Modes, class divergence, inception score and diversity."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from orchestrator.data.ranges import to_bytes
from orchestrator.metrics.classes import RunningInceptionScore, class_divergence, modes_covered
from orchestrator.metrics.diversity import RunningDistance, mean_distance

FAIR = torch.full((10,), 0.1, dtype=torch.float64)


def inception_score(probabilities: torch.Tensor) -> float:
    running = RunningInceptionScore()
    for part in torch.split(probabilities, 7):
        running.add(part)
    return running.score.whole


def test_the_inception_score_is_one_for_one_class_and_their_number_for_all() -> None:
    assert inception_score(torch.eye(7)[torch.zeros(50, dtype=torch.int64)]) == pytest.approx(1.0)
    assert inception_score(torch.eye(7).repeat(5, 1)) == pytest.approx(7.0)
    assert inception_score(torch.full((20, 7), 1 / 7)) == pytest.approx(1.0)


def test_the_inception_score_against_scipys_entropies() -> None:
    p = torch.rand(60, 5, generator=torch.Generator().manual_seed(0)).softmax(1)
    divergences = [entropy(row, p.numpy().mean(0)) for row in p.numpy()]
    assert inception_score(p) == pytest.approx(math.exp(np.mean(divergences)), rel=1e-5)


@pytest.mark.parametrize(
    ("counts", "covered"),
    [
        ([100] * 10, 10),
        ([1000, *[0] * 9], 1),
        ([901, *[11] * 9], 10),
        ([919, *[9] * 9], 1),
        ([500, 500, *[0] * 8], 2),
    ],
)
def test_a_class_counts_from_a_tenth_of_its_share_on(counts: list[int], covered: int) -> None:
    classes = torch.repeat_interleave(torch.arange(10), torch.tensor(counts))
    assert modes_covered(classes, FAIR) == covered


def test_a_class_that_the_data_lacks_does_not_count() -> None:
    shares = torch.tensor([0.5, 0.5, 0.0])
    assert modes_covered(torch.tensor([0, 2, 2, 2]), shares) == 1


def test_the_divergence_is_scipys_of_the_smoothed_counts() -> None:
    counts, shares = np.array([30, 10, 0, 60]), np.array([0.25, 0.25, 0.25, 0.25])
    classes = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    expected = entropy(counts + 0.5, 100 * shares + 0.5)
    assert class_divergence(classes, torch.tensor(shares)) == pytest.approx(expected, rel=1e-12)
    even = torch.arange(4).repeat(25)
    assert class_divergence(even, torch.tensor(shares)) == pytest.approx(0.0, abs=1e-12)


def test_the_mean_distance_is_that_of_all_pairs() -> None:
    images = torch.rand(12, 3, 40, 70, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = to_bytes(images)
    flat = pixels.flatten(1).double() / 255
    pairs = [(flat[i] - flat[j]).square().sum() for i in range(12) for j in range(12) if i != j]
    assert mean_distance(pixels) == pytest.approx(math.sqrt(float(torch.stack(pairs).mean())), rel=1e-10)
    assert mean_distance(pixels[:1].repeat(5, 1, 1, 1)) == 0.0
    by_batch = RunningDistance()
    for part in torch.split(pixels, 5):
        by_batch.add(part)
    assert by_batch.distance == mean_distance(pixels)
