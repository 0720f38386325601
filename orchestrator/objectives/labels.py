"""What a discriminator is told of images: 1 and 0, or labels that are smoothed or drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from orchestrator.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _in_order(label: float | tuple[float, float]) -> float | tuple[float, float]:
    if isinstance(label, tuple) and label[0] > label[1]:
        raise ValueError(f"got {list(label)}, expected [lowest, highest]")
    return label


_Range = Annotated[tuple[float, float], Field(strict=False)]
Label = Annotated[float | _Range, AfterValidator(_in_order)]
"""A number, or [lowest, highest] between which one is drawn for each image."""


class Labels(Settings):
    """Targets of the discriminator's scores; ``real: 0.9`` is one-sided smoothing, Salimans et al., arXiv 1606.03498.

    A label may be drawn anew for each image, uniformly between two values.
    """

    real: Label = 1.0
    """label of real images: a number, or [lowest, highest] to draw from"""
    fake: Label = 0.0
    """label of generated images, likewise"""

    def draw(self, scores: Tensor, noise: torch.Generator) -> tuple[float | Tensor, float | Tensor]:
        """Labels of real and of generated images for as many as there are ``scores`` (n,), of their dtype."""
        return _drawn(self.real, scores, noise), _drawn(self.fake, scores, noise)

    def within(self, lowest: float, highest: float) -> bool:
        """Whether no label lies outside."""
        ends = [end for label in (self.real, self.fake) for end in (label if isinstance(label, tuple) else (label,))]
        return all(lowest <= end <= highest for end in ends)


def _drawn(label: float | tuple[float, float], scores: Tensor, noise: torch.Generator) -> float | Tensor:
    if not isinstance(label, tuple):
        return label
    import torch

    share = torch.rand(len(scores), generator=noise, device=scores.device, dtype=scores.dtype)
    return label[0] + (label[1] - label[0]) * share
