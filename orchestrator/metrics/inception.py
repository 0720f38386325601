"""Inception features, for data with and without classes: torch-fidelity's network, its resizing and its weights.

Heusel et al., arXiv 1706.08500, define FID with these features; Salimans et al., arXiv 1606.03498, define their score
with these classes. Metrics are comparable with those of other programs that use the same weights on 8-bit images.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchestrator.errors import DataError
from orchestrator.metrics.feature_extractor import Features, digest_of
from orchestrator.metrics.inception_weights import INSTALL

if TYPE_CHECKING:
    from orchestrator.metrics.requirements import Resize

_AT_ONCE = 50
"""Images of one pass: at 299 pixels a side their activations take about 1 GB."""
_SIDE = 299
"""Pixels a side of the images that the network is given."""


class Inception:
    """torch-fidelity's Inception, in float32: 2,048 pooled features, and 1,008 classes from logits without biases.

    ``classes`` is None, since the classes are those of ImageNet. ``resize`` says how images come to the network's
    size: ``torch_fidelity`` as in TensorFlow's network of FID's authors, bilinear without antialiasing; ``clean`` as
    ``clean_resized``. Features of the two do not compare, so that their ``kind`` differs.
    """

    classes = None

    def __init__(self, network: nn.Module, resize: Resize = "torch_fidelity") -> None:
        self.network, self.resize = network, resize
        self.kind = "inception" if resize == "torch_fidelity" else f"inception_{resize}"
        self.digest = digest_of(network)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Features of images (n, c, h, w) uint8, 0 black to 255 white, with 3 channels, or 1, which is repeated."""
        run = self.network if self.resize == "torch_fidelity" else self._run_clean
        parts = [run(part.expand(-1, 3, -1, -1)) for part in torch.split(images, _AT_ONCE)]
        features, logits = (torch.cat(kind) for kind in zip(*parts, strict=True))
        return Features(features, logits.double().softmax(1))

    def _run_clean(self, images: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs for images (n, 3, h, w) that are resized before it and scaled as it scales its own.

        It takes bytes only, to which clean-fid does not round; so its first layer is handed the resized images.
        """
        prepared = (clean_resized(images) - 128) / 128
        layer: nn.Module = self.network.Conv2d_1a_3x3  # type: ignore[assignment]
        hook = layer.register_forward_pre_hook(lambda _layer, _inputs: (prepared,))
        try:
            outputs: tuple[Tensor, ...] = self.network(images)
        finally:
            hook.remove()
        return outputs

    def to(self, device: torch.device | str) -> Inception:
        """Move the network to the device; returns itself."""
        self.network.to(device)
        return self


def clean_resized(images: Tensor, side: int = _SIDE) -> Tensor:
    """Images (n, c, h, w) uint8 as (n, c, side, side) float32 in [0, 255], by clean-fid's resizing.

    Parmar et al., arXiv 2104.11222: Pillow's bicubic filter, widened where it scales down, on each channel in floating
    point, clipped and not rounded.
    """
    resized = functional.interpolate(images.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(0, 255)


def load_inception(data: bytes, resize: Resize = "torch_fidelity") -> Inception:
    """The network with the weights of torch-fidelity's file, on the CPU. Raises DataError for any other bytes.

    They are read as tensors only, never as code.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise DataError(f"Inception features need torch-fidelity on every node: {INSTALL}") from error
    outputs = ["2048", "logits_unbiased"]
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        # torch-fidelity unpickles its file: give it one that holds only the tensors read above.
        clean = io.BytesIO()
        torch.save(state, clean)
        clean.seek(0)
        network = FeatureExtractorInceptionV3("inception", outputs, feature_extractor_weights_path=clean)
    except Exception as error:  # torch raises nearly anything on foreign files
        raise DataError(
            f"Inception's weights: not torch-fidelity's file ({type(error).__name__}); replace it"
        ) from error
    return Inception(network, resize)
