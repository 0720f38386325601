"""A small classifier, trained on a labelled data set: features for its FID, and the class of a generated image.

Features of a network trained on photographs say little of digits; and its weights need a download. One trained on the
data itself sees what tells their classes apart. Figures are comparable only within one classifier: ``digest`` belongs
beside each.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageShape
from orchestrator.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet

VERSION = 1
"""To be raised with every change of the network or its training: kept classifiers of before are then not used."""
FEATURES = 128
WIDTHS = (16, 32)
POSITIONS = 1024
"""Most positions of the first maps: the first convolution's stride is the least that keeps to it."""

PASSES = 12
LEAST_SHOWN, MOST_SHOWN = 16_000, 108_000
"""Images shown in training: ``PASSES`` times all of them, within these bounds."""
BATCH_SIZE = 128
LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.01
SHIFT = 1 / 14
"""Most that an image is moved by, of its side."""
SEED = 20_230_917
SEEN_AT_ONCE = 256
_DIGEST_BYTES = hashlib.sha256().digest_size


class Classified(NamedTuple):
    """Features (n, 128), not negative, and class probabilities (n, classes) of n images."""

    features: Tensor
    probabilities: Tensor


class Classifier:
    """A trained network in evaluation, for images of one shape on one device.

    ``digest``: 16 hexadecimal digits of the SHA-256 of its weights. ``accuracy``: the share of held-out images that it
    names rightly, None where there were none.
    """

    def __init__(self, network: nn.Sequential, shape: ImageShape, classes: int, accuracy: float | None = None) -> None:
        self._network = network.eval().requires_grad_(False)
        self.shape, self.classes, self.accuracy = shape, classes, accuracy
        self.digest = _digest(network)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Classified:
        """Of images (n, c, h, w) in [-1, 1], any number, on the classifier's device."""
        assert tuple(images.shape[1:]) == self.shape, f"images of {tuple(images.shape[1:])}, expected {self.shape}"
        features = torch.cat([self._network[0](part) for part in torch.split(images, SEEN_AT_ONCE)])
        return Classified(features, self._network[1](features).softmax(1))

    def to(self, device: torch.device | str) -> Classifier:
        """The same classifier, moved to ``device``."""
        self._network.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Weights and what else ``load`` needs."""
        weights = {name: value.cpu() for name, value in self._network.state_dict().items()}
        return {
            "version": VERSION,
            "shape": list(self.shape),
            "classes": self.classes,
            "accuracy": self.accuracy,
            "weights": weights,
        }


def content_key(images: ImageSet) -> str:
    """16 hexadecimal digits of the SHA-256 of a classifier's version and all pixels and labels: its name in a cache."""
    assert images.labels is not None
    key = hashlib.sha256(f"classifier {VERSION} {images.pixels.shape}".encode())
    key.update(np.ascontiguousarray(images.pixels).data)
    key.update(np.ascontiguousarray(images.labels).data)
    return key.hexdigest()[:16]


def train_classifier(
    images: ImageSet, device: torch.device | str = "cpu", held_out: ImageSet | None = None
) -> Classifier:
    """A classifier of labelled images; the same one whenever asked for on the same machine.

    Leaves all global sources of random numbers as they are. Raises DataError where there are fewer than 2 classes.
    """
    labels = _labels(images)
    classes = int(labels.max()) + 1
    generator = torch.Generator().manual_seed(SEED)
    network = _build(images.shape, classes, generator).to(device)
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True)
    with flags, torch.enable_grad():
        _train(network, torch.tensor(images.pixels), labels, generator)
    classifier = Classifier(network, images.shape, classes)
    if held_out is not None and len(held_out):
        classifier.accuracy = accuracy_on(classifier, held_out, device)
    return classifier


def accuracy_on(classifier: Classifier, images: ImageSet, device: torch.device | str) -> float:
    """Share of labelled images that the classifier, on ``device``, names rightly."""
    assert images.labels is not None
    right = 0
    for start in range(0, len(images), SEEN_AT_ONCE):
        part = slice(start, start + SEEN_AT_ONCE)
        named = classifier(to_signed(torch.tensor(images.pixels[part], device=device))).probabilities.argmax(1)
        right += int((named.cpu() == torch.tensor(images.labels[part])).sum())
    return right / len(images)


def to_signed(pixels: Tensor) -> Tensor:
    """uint8 images as float32 in [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1)


def dump(classifier: Classifier) -> bytes:
    """The classifier as bytes, followed by their SHA-256."""
    buffer = io.BytesIO()
    torch.save(classifier.state_dict(), buffer)
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
    return buffer.getvalue()


def load(data: bytes) -> Classifier:
    """What ``dump`` wrote, on the CPU. Raises CheckpointError where it is damaged or of another version."""
    data, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise CheckpointError("damaged classifier; delete it to train it anew")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what others wrote makes torch raise nearly anything
        raise CheckpointError(f"not a classifier of this program ({type(error).__name__}); delete it") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise CheckpointError(f"classifier of another version than {VERSION}; delete it to train it anew")
    shape = ImageShape(*state["shape"])
    network = _build(shape, state["classes"], torch.Generator())
    network.load_state_dict(state["weights"])
    return Classifier(network, shape, state["classes"], state["accuracy"])


def _labels(images: ImageSet) -> Tensor:
    """The labels as a tensor. Raises DataError where they are no classes to tell apart."""
    if images.labels is None:
        raise DataError("measures: images without labels, expected 2 classes or more")
    labels = torch.tensor(images.labels)
    if len(labels) == 0 or int(labels.min()) < 0 or int(labels.min()) == int(labels.max()):
        raise DataError(f"measures: labels {sorted(set(labels.tolist()))}, expected 2 classes or more, from 0 on")
    return labels


def _build(shape: ImageShape, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Body and last layer on the CPU, with weights drawn from ``generator``: He et al., arXiv 1502.01852."""
    stride = 1
    while -(-shape.height // stride) * -(-shape.width // stride) > POSITIONS:
        stride += 1
    first, second = WIDTHS
    layers = [
        *_convolution(shape.channels, first, 2 * stride + 1, stride),
        *_convolution(first, second, 3, 2),
        *_convolution(second, second, 3, 1),
        *_convolution(second, FEATURES, 3, 2),
        *_convolution(FEATURES, FEATURES, 3, 1),
    ]
    # modules draw their first weights from torch's global generator, which is not ours to move
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(FEATURES, classes)
        )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, FEATURES**-0.5, generator=generator)
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)


def _convolution(before: int, after: int, side: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


def _train(network: nn.Module, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    """Minimise the cross-entropy, by one cycle of AdamW's rate: Smith and Topin, arXiv 1708.07120."""
    device = next(network.parameters()).device
    batch = min(BATCH_SIZE, len(labels))
    steps = min(max(PASSES * len(labels), LEAST_SHOWN), MOST_SHOWN) // batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    shifts = _Shifts(pixels.to(device), generator)
    labels, order = labels.to(device), torch.empty(0, dtype=torch.int64)
    network.train()
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(labels), generator=generator)])
        chosen, order = order[:batch], order[batch:]
        loss = nn.functional.cross_entropy(network(shifts.pick(chosen)), labels[chosen.to(device)])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()


class _Shifts:
    """Images of (n, c, h, w) uint8, each moved by whole pixels; what lies beyond the edge repeats it."""

    def __init__(self, pixels: Tensor, generator: torch.Generator) -> None:
        self._pixels = pixels.permute(0, 2, 3, 1).contiguous()
        self._generator = generator

    def pick(self, chosen: Tensor) -> Tensor:
        """The chosen ones as (k, c, h, w) float32 in [-1, 1], channels last in memory."""
        device = self._pixels.device
        rows, columns = (self._positions(len(chosen), side).to(device) for side in self._pixels.shape[1:3])
        moved = self._pixels[chosen.to(device)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return to_signed(moved).permute(0, 3, 1, 2)

    def _positions(self, count: int, side: int) -> Tensor:
        """Where each pixel along a side is taken from, (count, side)."""
        most = round(SHIFT * side)
        by = torch.randint(-most, most + 1, (count, 1), generator=self._generator)
        return (torch.arange(side) + by).clamp_(0, side - 1)


def _digest(network: nn.Module) -> str:
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
