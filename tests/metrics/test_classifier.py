"""The classifier that samples are measured by, and the measures made with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orchestrator.data.images import ImageSet
from orchestrator.errors import DataError
from orchestrator.metrics.classifier import Classifier, content_key, dump, load, train_classifier
from orchestrator.metrics.copying import nearest
from orchestrator.metrics.diversity import mean_distance
from orchestrator.metrics.fid import frechet_distance, moments
from orchestrator.metrics.kid import kernel_distance
from orchestrator.metrics.prdc import prdc
from orchestrator.metrics.real_features import RealFeatures
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES
from orchestrator.metrics.sample_metrics import SampleMetrics
from orchestrator.metrics.sample_quality import FullMetrics, SampleQuality


def full(data: ImageSet, classifier: Classifier, images: torch.Tensor) -> FullMetrics:
    return SampleQuality(data, ImageSet(data.pixels[:0]), classifier, "cpu").measure(torch.split(images, 128))[0]


def bars(count: int, shape: tuple[int, int, int] = (1, 12, 12), seed: int = 0) -> ImageSet:
    """Noise with a bright bar: lying (class 0), standing (1) or none (2)."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 100, (count, *shape), dtype=np.uint8)
    labels = random.integers(0, 3, count)
    for image, label in zip(pixels, labels, strict=True):
        place = random.integers(2, min(shape[1:]) - 3)
        if label == 0:
            image[:, place : place + 2] += 150
        elif label == 1:
            image[:, :, place : place + 2] += 150
    return ImageSet(pixels, labels.astype(np.int64))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return train_classifier(bars(300), bars(200, seed=1))


def test_it_learns_and_says_how_well(classifier: Classifier) -> None:
    assert classifier.accuracy is not None
    assert classifier.accuracy > 0.97
    seen = classifier(torch.tensor(bars(5, seed=2).pixels))
    assert seen.features.shape == (5, CLASSIFIER_FEATURES)
    assert (seen.features >= 0).all()
    torch.testing.assert_close(seen.probabilities.sum(1), torch.ones(5))


def test_the_same_images_give_the_same_classifier_whatever_else_is_drawn(classifier: Classifier) -> None:
    before = torch.random.get_rng_state()
    torch.rand(3)
    drawn = torch.random.get_rng_state()
    assert train_classifier(bars(300)).digest == classifier.digest
    assert torch.equal(torch.random.get_rng_state(), drawn)
    torch.random.set_rng_state(before)


def test_content_tells_images_apart() -> None:
    one, other = bars(50), bars(50)
    assert content_key(one) == content_key(other)
    assert other.labels is not None
    other.labels[0] = (other.labels[0] + 1) % 3
    assert content_key(one) != content_key(other)
    assert content_key(one) != content_key(one.drawn(49))


@pytest.mark.parametrize("shape", [(3, 35, 80), (1, 8, 8), (3, 64, 64), (3, 90, 41)])
def test_images_of_any_shape(shape: tuple[int, int, int]) -> None:
    trained = train_classifier(bars(24, shape).drawn(24))
    assert trained(torch.tensor(bars(4, shape).pixels)).probabilities.shape == (4, 3)


def test_it_goes_into_bytes_and_back(classifier: Classifier) -> None:
    again = load(dump(classifier))
    images = torch.tensor(bars(9, seed=3).pixels)
    assert torch.equal(again(images).features, classifier(images).features)
    assert (again.digest, again.accuracy, again.classes) == (classifier.digest, classifier.accuracy, 3)


def test_damaged_bytes_are_one_line(classifier: Classifier) -> None:
    data = bytearray(dump(classifier))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match=r"^classifier: damaged classifier; delete it, and it is trained anew$"):
        load(bytes(data))
    with pytest.raises(DataError, match="classifier"):
        load(b"none")


def test_images_without_classes_have_none() -> None:
    plain = bars(20)
    for images in (ImageSet(plain.pixels), ImageSet(plain.pixels, np.zeros(20, np.int64))):
        assert not images.has_classes
        with pytest.raises(DataError, match="two classes"):
            train_classifier(images)


def test_what_a_referee_says_of_data_noise_and_a_lost_mode(classifier: Classifier) -> None:
    data, again = bars(600, seed=4), bars(600, seed=5)
    sample_metrics = SampleMetrics(data, classifier, "cpu")
    pixels, labels = torch.tensor(again.pixels), torch.tensor(again.labels)
    good = sample_metrics.quick(pixels)
    noise = torch.randint(0, 256, pixels.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    lost = sample_metrics.quick(pixels[labels != 1].repeat(2, 1, 1, 1)[:600])
    assert good.fid is not None
    assert lost.fid is not None
    fid_of_noise = sample_metrics.quick(noise).fid
    assert fid_of_noise is not None
    assert good.fid < lost.fid / 5 < fid_of_noise
    assert (good.modes, lost.modes) == (3, 2)
    assert good.class_kl == pytest.approx(0.0, abs=0.02)
    assert lost.class_kl is not None
    assert lost.class_kl > 0.2
    assert good.diversity == pytest.approx(1.0, abs=0.05)
    whole = full(data, classifier, pixels)
    assert (whole.modes, whole.diversity) == (good.modes, good.diversity)
    assert whole.fid == pytest.approx(good.fid, rel=1e-3)
    assert 2.5 < whole.inception_score <= 3
    assert whole.precision > 0.9
    assert (sample_metrics.classes, sample_metrics.digest) == (3, classifier.digest)


def test_what_is_kept_is_bounded_and_fid_is_of_all_images(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.metrics.sample_quality.MOST_COMPARED", 150)
    monkeypatch.setattr("orchestrator.metrics.real_features.MOST_BYTES", 4 * CLASSIFIER_FEATURES * 210 + 5)
    data, images = bars(620, seed=4), torch.tensor(bars(700, seed=5).pixels)
    found = full(data, classifier, images)
    # in the drawn order, of which the first ones are kept
    real, fake = (classifier(one).features for one in (torch.tensor(data.drawn(620).pixels), images))
    assert found.real == 620
    assert found.fid == pytest.approx(frechet_distance(moments(real), moments(fake)), rel=1e-6)
    assert found.kid == pytest.approx(kernel_distance(real[:150], fake[:150]), rel=1e-6)
    assert found.precision == pytest.approx(prdc(real[:150], fake[:150]).precision)
    assert found.diversity == pytest.approx(mean_distance(images) / mean_distance(torch.tensor(data.pixels)))
    kept = RealFeatures(data, classifier, "cpu")
    assert kept.vectors.shape == (210, CLASSIFIER_FEATURES)
    _, indices = nearest(classifier(kept.pixels(torch.tensor([7, 209]))).features, kept.vectors)
    assert indices.tolist() == [7, 209]


def test_two_samples_of_one_distribution_are_as_theory_says(classifier: Classifier) -> None:
    """Naeem et al., arXiv 2002.09797, appendix: mean coverage is 1 - prod (n - i) / (2n - i), i = 1 .. 5; density 1."""
    n = 700
    found = full(bars(n, seed=6), classifier, torch.tensor(bars(n, seed=7).pixels))
    assert found.coverage == pytest.approx(1 - np.prod([(n - i) / (2 * n - i) for i in range(1, 6)]), abs=0.025)
    assert found.density == pytest.approx(1.03, abs=0.12)
    assert found.fid is not None
    assert found.fid_low is not None
    features = classifier(torch.tensor(bars(n, seed=6).pixels)).features
    assert found.fid < 0.05 * float(features.var(0).sum())
    assert found.fid_low >= 0
    assert found.kid_low < 0 < found.kid_high  # unbiased, and the truth is 0


def test_without_a_classifier_there_is_diversity_alone() -> None:
    data = bars(50)
    sample_metrics = SampleMetrics(data, None, "cpu")
    assert sample_metrics.quick(torch.tensor(data.pixels)) == (None, None, None, pytest.approx(1.0))
    assert (sample_metrics.classes, sample_metrics.digest) == (None, None)


def test_neighbours_are_those_of_as_many_images_on_either_side(classifier: Classifier) -> None:
    """More samples than real images would each find a neighbour, however far off they are."""
    few, many = bars(140, seed=4), torch.tensor(bars(560, seed=5).pixels)
    whole, same = full(few, classifier, many), full(few, classifier, many[:140])
    assert (whole.real, same.real) == (140, 140)
    assert (whole.precision, whole.recall, whole.density, whole.coverage) == (
        *(same.precision, same.recall, same.density, same.coverage),
    )
    assert whole.kid != same.kid


def test_fid_takes_more_images_than_features_on_either_side(classifier: Classifier) -> None:
    few, many = bars(CLASSIFIER_FEATURES, seed=4), bars(CLASSIFIER_FEATURES + 1, seed=5)
    as_tensor = {len(images): torch.tensor(images.pixels) for images in (few, many)}
    for real in (few, many):
        for count, images in as_tensor.items():
            missing = CLASSIFIER_FEATURES in (count, len(real))
            assert (SampleMetrics(real, classifier, "cpu").quick(images).fid is None) == missing
            assert (full(real, classifier, images).fid is None) == missing
