"""Labels of real and generated images: 1 and 0, or labels that are smoothed or drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _as_range(label: object) -> object:
    return (label, label) if isinstance(label, int | float) and not isinstance(label, bool) else label


def _in_order(label: tuple[float, float]) -> tuple[float, float]:
    if label[0] > label[1]:
        raise ValueError(f"got {list(label)}, expected [lowest, highest]")
    return label


Label = Annotated[
    tuple[float, float],
    Field(strict=False),
    BeforeValidator(_as_range, json_schema_input_type=float | tuple[float, float]),
    AfterValidator(_in_order),
]
"""[lowest, highest] between which a label is drawn for each image; a job file may give one number for both."""


class Labels(Settings):
    """Targets of the discriminator's scores; ``real: 0.9`` is one-sided smoothing, Salimans et al., arXiv 1606.03498.

    A label may be drawn anew for each image, uniformly between two values.
    """

    real: Label = (1.0, 1.0)
    """label of real images: a number, or [lowest, highest] to draw from"""
    fake: Label = (0.0, 0.0)
    """label of generated images, likewise"""

    def draw(self, scores: Tensor, noise: torch.Generator) -> tuple[float | Tensor, float | Tensor]:
        """Labels of n real and n generated images, of the dtype of ``scores`` (n,)."""
        return _draw(self.real, scores, noise), _draw(self.fake, scores, noise)

    def outside(self, lowest: float, highest: float) -> dict[str, tuple[float, float]]:
        """The labels, by name, that do not lie in [lowest, highest]."""
        return {name: label for name, label in self if not all(lowest <= end <= highest for end in label)}


class GeneratorLabels(Labels):
    """Also the label that the generator wants the discriminator to give its images."""

    later: ClassVar[frozenset[str]] = frozenset({"generator"})

    generator: Label = (1.0, 1.0)
    """label of generated images in the generator's own loss, likewise"""

    def draw_generator(self, scores: Tensor, noise: torch.Generator) -> float | Tensor:
        """Labels of n generated images in the generator's loss, of the dtype of ``scores`` (n,)."""
        return _draw(self.generator, scores, noise)


def _draw(label: tuple[float, float], scores: Tensor, noise: torch.Generator) -> float | Tensor:
    lowest, highest = label
    if lowest == highest:
        return lowest
    import torch

    share = torch.rand(len(scores), generator=noise, device=scores.device, dtype=scores.dtype)
    return lowest + (highest - lowest) * share
