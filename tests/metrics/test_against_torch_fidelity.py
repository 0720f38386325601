"""FID, KID, precision, recall and Inception Score against torch-fidelity's own functions, on the same features."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import softplus
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from orchestrator.metrics.classes import SPLITS, RunningInceptionScore
from orchestrator.metrics.fid import frechet_distance, moments
from orchestrator.metrics.kid import kernel_distance
from orchestrator.metrics.prdc import prdc

N = 300


@pytest.fixture(params=[8, 40])
def features(request) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated and not negative, as those of a network are, of two distributions."""
    source = torch.Generator().manual_seed(2)
    mixing = torch.randn(request.param, request.param, generator=source, dtype=torch.float64)
    one, other = (torch.randn(N, request.param, generator=source, dtype=torch.float64) for _ in range(2))
    return softplus(one @ mixing), softplus(0.9 * other @ mixing + 0.2)


def test_fid(features) -> None:
    real, fake = features
    statistics = [fid_features_to_statistics(some) for some in (fake, real)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    assert frechet_distance(moments(real), moments(fake)) == pytest.approx(theirs, rel=1e-6)
    assert theirs > 0.01


def test_kid(features) -> None:
    """One subset of theirs that is the whole sample."""
    real, fake = features
    theirs = kid_features_to_metric(fake, real, kid_subsets=1, kid_subset_size=N, verbose=False)[KEY_METRIC_KID_MEAN]
    assert kernel_distance(real, fake) == pytest.approx(theirs, rel=1e-8)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall(features, k: int) -> None:
    real, fake = features
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=k, verbose=False)
    ours = prdc(real, fake, k)
    # no vector lies on the edge of a ball, which they count in and we do not
    assert (ours.precision, ours.recall) == pytest.approx((theirs[KEY_METRIC_PRECISION], theirs[KEY_METRIC_RECALL]))
    assert 0 < ours.precision != ours.recall > 0


def test_inception_score_of_the_whole_and_of_ten_splits(features) -> None:
    logits = features[0]
    running = RunningInceptionScore()
    for part in torch.split(logits.softmax(1), 64):
        running.add(part)
    theirs = isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]
    assert running.score.whole == pytest.approx(theirs, rel=1e-10)
    assert 1 < theirs < logits.shape[1]
    # theirs are ten stretches, ours every tenth image
    stretched = torch.cat([logits[split::SPLITS] for split in range(SPLITS)])
    by_split = isc_features_to_metric(stretched, splits=SPLITS, shuffle=False)
    expected = by_split[KEY_METRIC_ISC_MEAN], by_split[KEY_METRIC_ISC_STD]
    assert (running.score.mean, running.score.deviation) == pytest.approx(expected, rel=1e-8)
