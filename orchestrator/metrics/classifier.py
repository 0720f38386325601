"""A small classifier of a data set; its features and classes are the basis of sample metrics.

For data with labels it replaces Inception. Metrics are comparable only for the same classifier, so that its digest is
stored with each of them. The same images give the same classifier on machines that compute alike; it is trained once
and stored, see ``content_key``.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from orchestrator.data.batches import BatchStream, to_device
from orchestrator.data.images import ImageShape
from orchestrator.data.ranges import from_bytes
from orchestrator.eager import eager
from orchestrator.errors import DataError
from orchestrator.hardware import compute_float32_exactly
from orchestrator.metrics.feature_extractor import Features, digest_of
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES
from orchestrator.store.tensors import DamagedError, pack, unpack

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet

VERSION = 1
"""Raise it whenever the same images would give another classifier: stored ones are then no longer used."""
_SMALL = 40
"""Images are averaged down until their shorter side has at most this many pixels."""
_MAPS = (16, 32, 32, 64, 64)
_BATCH, _EPOCHS, _MOST_IMAGES = 128, 16, 150_000
_RATE, _DECAY, _SHIFT_PX = 4e-3, 1e-2, 2
_AT_ONCE = 500


class Classifier:
    """The network with its identity.

    ``digest`` is 16 hexadecimal digits of the SHA-256 of its weights; ``accuracy`` is its share of correct predictions
    on held-out images, None if there were none.
    """

    kind = "classifier"

    def __init__(self, network: nn.Module, shape: ImageShape, classes: int, accuracy: float | None) -> None:
        self.network = network.to(memory_format=torch.channels_last).eval()
        self.shape, self.classes, self.accuracy = shape, classes, accuracy
        self.digest = digest_of(network)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Features of images (n, c, h, w) uint8, 0 black to 255 white, on the classifier's device, in batches."""
        parts = [self._classify(part) for part in torch.split(images, _AT_ONCE)]
        return Features(*(torch.cat(kind) for kind in zip(*parts, strict=True)))

    def _classify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.network(from_bytes(images))
        return features, logits.softmax(1)

    def to(self, device: torch.device | str) -> Classifier:
        """Move the network to the device; returns itself."""
        self.network.to(device)
        return self


class _Network(nn.Module):
    """Five convolutions, two of them of stride 2, and two linear layers; the features are between these."""

    def __init__(self, shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.pool = -(-min(shape.height, shape.width) // _SMALL)
        height, width = (-(-(side // self.pool) // 4) for side in (shape.height, shape.width))
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise((shape.channels, *_MAPS))):
            stride = 2 if number in (1, 3) else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.to_features = nn.Linear(_MAPS[-1] * height * width, CLASSIFIER_FEATURES)
        self.to_logits = nn.Linear(CLASSIFIER_FEATURES, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.pool > 1:
            images = functional.avg_pool2d(images, self.pool)
        features = self.to_features(self.body(images).flatten(1)).relu()
        return features, self.to_logits(features)


def content_key(images: ImageSet) -> str:
    """32 hexadecimal digits that identify these pixels and labels and this version of the classifier."""
    assert images.labels is not None, "only images with labels have a classifier"
    hashed = hashlib.sha256(f"{VERSION} {images.pixels.shape}".encode())
    hashed.update(np.ascontiguousarray(images.pixels).data)
    hashed.update(np.ascontiguousarray(images.labels).data)
    return hashed.hexdigest()[:32]


def train_classifier(
    images: ImageSet,
    held_out: ImageSet | None = None,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Train on all ``images``, each randomly shifted by up to two pixels.

    Raises DataError if there are no labels or fewer than two classes.
    """
    if images.labels is None or len(np.unique(images.labels)) < 2:
        raise DataError("a classifier takes images of two classes or more")
    labels = torch.tensor(images.labels, device=device)
    classes = int(labels.max()) + 1
    network, random = _build(images.shape, classes), torch.Generator().manual_seed(0)
    _initialize(network, random)
    network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    batch = min(_BATCH, len(images))
    steps = max(1, min(_EPOCHS * len(images), _MOST_IMAGES) // batch)
    optimizer = eager(torch.optim.AdamW)(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps + 1, pct_start=0.2)
    stream = BatchStream(to_device(images, device), batch, torch.Generator(device).manual_seed(1))
    for _ in range(steps):
        pixels, indices = stream.next_with_indices()
        _, logits = network(_shifted(pixels, random))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(functional.cross_entropy(logits, labels[indices]))
        optimizer.step()
        schedule.step()
    classifier = Classifier(network, images.shape, classes, None)
    if held_out is not None and held_out.labels is not None and len(held_out):
        classifier.accuracy = _accuracy(classifier, held_out, device)
    return classifier


def _build(shape: ImageShape, classes: int) -> _Network:
    compute_float32_exactly()
    with torch.random.fork_rng(devices=[]):  # layers draw default weights, which are replaced
        return _Network(shape, classes)


def _initialize(network: nn.Module, random: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Images shifted by up to _SHIFT_PX pixels each way, one shift for each eighth of the batch; edges are repeated."""
    height, width = images.shape[2:]
    padded = functional.pad(images, [_SHIFT_PX] * 4, mode="replicate")
    offsets = torch.randint(0, 2 * _SHIFT_PX + 1, (8, 2), generator=random).tolist()
    parts = torch.tensor_split(padded, 8)
    return torch.cat([part[:, :, y : y + height, x : x + width] for part, (y, x) in zip(parts, offsets, strict=True)])


def _accuracy(classifier: Classifier, images: ImageSet, device: torch.device | str) -> float:
    assert images.labels is not None
    predictions = classifier(to_device(images, device)).probabilities.argmax(1)
    return float((predictions.cpu().numpy() == images.labels).mean())


def dump(classifier: Classifier) -> bytes:
    """The classifier as bytes, for ``load``."""
    state: dict[str, Any] = {
        "version": VERSION,
        "shape": list(classifier.shape),
        "classes": classifier.classes,
        "accuracy": classifier.accuracy,
        "network": {name: value.cpu() for name, value in classifier.network.state_dict().items()},
    }
    return pack(state)


def load(data: bytes) -> Classifier:
    """The classifier from the bytes of ``dump``, on the CPU. Raises DataError if they are damaged."""
    try:
        state = unpack(data, "classifier")
        shape, classes = ImageShape(*state["shape"]), state["classes"]
        network = _build(shape, classes)
        network.load_state_dict(state["network"])
    except (DamagedError, KeyError, RuntimeError, TypeError, ValueError) as error:
        problem = str(error) if isinstance(error, DamagedError) else type(error).__name__
        raise DataError(f"classifier: {problem}; delete it, and it is trained anew") from error
    return Classifier(network, shape, classes, state["accuracy"])
