"""The base of objectives that encode an image, decode its code, and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class Reconstruction(Objective):
    """An encoder and a generator, the decoder: both minimise the reconstruction error."""

    family: ClassVar[Literal["autoencoding"]] = "autoencoding"
    trains: ClassVar[frozenset[str]] = frozenset({"encoder", "generator"})

    reconstruction: Literal["l1", "l2"] = "l2"
    """error of a reconstruction: mean over the pixels of the absolute difference, or of its square"""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The loss, its gradient, and the error."""
        return "g_loss", "g_grad_norm", "reconstruction"

    def errors(self, images: Tensor, decoded: Tensor) -> Tensor:
        """The error of each image (n,), in units of images in [0, 1]; both inputs are (n, c, h, w) in [-1, 1]."""
        difference = (decoded - images) / 2
        errors = difference.abs() if self.reconstruction == "l1" else difference.square()
        return errors.flatten(1).mean(1)
