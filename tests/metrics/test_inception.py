"""Inception features: torch-fidelity's, from its file where it keeps it, and one line where that is not there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import create_feature_extractor

from orchestrator.data.images import ImageSet
from orchestrator.errors import DataError
from orchestrator.metrics.feature_extractor import Features
from orchestrator.metrics.inception import clean_resized, load_inception
from orchestrator.metrics.inception_weights import NAME, missing_requirements, read_weights, weights_file
from orchestrator.metrics.requirements import lacking
from orchestrator.metrics.sample_metrics import SampleMetrics
from orchestrator.metrics.sample_quality import SampleQuality

if TYPE_CHECKING:
    from pathlib import Path


class Untrained(FeatureExtractorInceptionV3):
    """The network with the weights that its layers draw."""

    def __init__(self) -> None:
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("untrained", ["2048"], feature_extractor_weights_path=nothing)

    def load_state_dict(self, state: Any) -> None:
        """Keep what was drawn."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of torch.hub that holds a file of random weights under the published name."""
    home: Path = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.random.manual_seed(5)
    torch.save(Untrained().state_dict(), folder / NAME)
    return home


def test_the_file_is_where_torch_hub_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({"TORCH_HOME": str(tmp_path)}, {"XDG_CACHE_HOME": str(tmp_path)}, {}):
        with monkeypatch.context() as patched:
            for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
                patched.delenv(name, raising=False)
            for name, value in variables.items():
                patched.setenv(name, value)
            assert str(weights_file()) == f"{torch.hub.get_dir()}/checkpoints/{NAME}"


def test_what_is_lacking_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    problem = missing_requirements()
    assert problem is not None
    assert problem.startswith(f"{tmp_path}/hub/checkpoints/{NAME}: no such file; ")
    assert problem.isprintable()
    with pytest.raises(DataError, match="no such file"):
        read_weights()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_requirements() == "Inception features need torch-fidelity: pip install 'torch-fidelity>=0.4,<0.5'"


@pytest.mark.parametrize("content", [b"", b"none", b"PK\x03\x04"])
def test_another_file_is_one_line(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^Inception's weights: not torch-fidelity's file \(\w+\); replace it$"):
        load_inception(content)


class Brightness:
    """Sees three features of an image, and classes that the data does not have, as Inception does."""

    kind, digest, classes = "inception", "0" * 16, None

    def __call__(self, images: torch.Tensor) -> Features:
        flat = images.flatten(1).float() / 255
        features = torch.stack([flat.mean(1), flat.std(1), flat.max(1).values], 1)
        return Features(features, features.softmax(1))

    def to(self, device: object) -> Brightness:
        return self


def test_images_without_classes_are_judged_by_all_but_these() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 3, 8, 8), dtype=np.uint8)
    quality = SampleQuality(ImageSet(pixels), ImageSet(pixels[:20]), Brightness(), "cpu")
    found = quality.measure([torch.tensor(pixels[:60])])[0]._asdict()
    assert (found.pop("modes"), found.pop("class_kl")) == (None, None)
    assert None not in found.values()
    sample_metrics = SampleMetrics(ImageSet(pixels), Brightness(), "cpu")
    assert (quality.features, sample_metrics.classes) == ("inception:0000000000000000", None)
    look = sample_metrics.quick(torch.tensor(pixels[:60]))
    assert (look.modes, look.diversity) == (None, found["diversity"])
    assert look.fid == pytest.approx(found["fid"], rel=1e-9)


class Pixels(Brightness):
    """Sees twenty pixels of an image."""

    def __call__(self, images: torch.Tensor) -> Features:
        features = images.flatten(1)[:, :20].float() / 255
        return Features(features, features.softmax(1))


@pytest.mark.parametrize(
    ("train", "held_out", "samples"),
    [
        *((11, 20, 60), (12, 20, 60), (20, 20, 60), (21, 20, 60)),
        *((80, 0, 60), (80, 1, 60), (80, 2, 60), (80, 20, 60), (80, 21, 60)),
        *((80, 21, 20), (80, 21, 21), (80, 21, 41), (80, 21, 42), (80, 21, 159), (80, 21, 160)),
    ],
)
def test_what_a_measure_takes_is_known_without_computing_it(train: int, held_out: int, samples: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (160, 3, 8, 8), dtype=np.uint8)
    quality = SampleQuality(ImageSet(pixels[:train]), ImageSet(pixels[:held_out]), Pixels(), "cpu")
    found = quality.measure([torch.tensor(pixels[:samples])])[0]._asdict()
    known = {name: lacking(name, 20, train=train, held_out=held_out, samples=samples) for name in found}
    without = {name for name, value in found.items() if value is None} - {"modes", "class_kl"}
    assert {name for name, why in known.items() if why} == without
    look = SampleMetrics(ImageSet(pixels[:train]), Pixels(), "cpu").quick(torch.tensor(pixels[:samples]))
    assert (look.fid is None) == bool(known["fid"])


@pytest.mark.parametrize("size", [(28, 28), (299, 299), (40, 61), (350, 610)])
def test_clean_resizing_is_pillows(size: tuple[int, int]) -> None:
    """clean-fid hands each channel to Pillow as floats, asks for BICUBIC, and clips."""
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    resized = clean_resized(images)
    assert resized.shape == (2, 3, 299, 299)
    for ours, image in zip(resized.flatten(0, 1), images.flatten(0, 1), strict=True):
        floats = Image.fromarray(image.float().numpy(), mode="F")
        theirs = np.asarray(floats.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=0.01)


@pytest.mark.slow
def test_features_are_those_of_torch_fidelity_with_the_same_file(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(hub))
    assert missing_requirements() is None
    ours = load_inception(read_weights())
    theirs = create_feature_extractor(
        "inception-v3-compat", ["2048", "logits_unbiased"], cuda=False, verbose=False, save_cpu_ram=False
    )
    grey = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    colour = torch.randint(0, 256, (2, 3, 35, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for images in (grey, colour):
        seen = ours(images)
        features, logits = theirs(images.repeat(1, 3 // images.shape[1], 1, 1))
        assert seen.features.shape == (2, 2048)
        torch.testing.assert_close(seen.features, features)
        torch.testing.assert_close(seen.probabilities, logits.double().softmax(1))
        assert features.std(0).mean() > 0
    assert load_inception(read_weights()).digest == ours.digest
    clean = load_inception(read_weights(), "clean")
    assert (ours.kind, clean.kind, clean.digest) == ("inception", "inception_clean", ours.digest)
    # what Pillow makes of an image, as bytes, passes through their network as it is
    flat = torch.full((1, 3, 35, 40), 200, dtype=torch.uint8)
    torch.testing.assert_close(clean(flat).features, theirs(flat.new_full((1, 3, 299, 299), 200))[0])
    whole = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(clean(whole).features, theirs(whole)[0])
    assert not torch.allclose(clean(colour).features, ours(colour).features)
    changed = torch.load(weights_file(), weights_only=True)
    changed["fc.bias"] = changed["fc.bias"] + 1
    again = io.BytesIO()
    torch.save(changed, again)
    assert load_inception(again.getvalue()).digest != ours.digest
