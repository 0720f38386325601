"""Generative latent optimization: Bojanowski et al., arXiv 1707.05776."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class Glo(Objective):
    """A generator and, learned with it, a latent vector in the unit ball for every training image; section 2.

    There is no encoder and no prior: samples are drawn from a Gaussian that is fitted to the latent vectors.
    """

    kind: Literal["glo"]
    latent_lr: float = Field(10.0, gt=0.0, le=1e6)
    """learning rate of the latent vectors, by plain gradient descent on each image's own error"""

    family: ClassVar[Literal["free_latents"]] = "free_latents"
    trains: ClassVar[frozenset[str]] = frozenset({"generator"})
    loss_operations: ClassVar[int] = 100

    @property
    def metrics(self) -> tuple[str, ...]:
        """The loss and its gradient in the generator's weights; the mean squared error in [0, 1]."""
        return "g_loss", "g_grad_norm", "reconstruction"

    def errors(self, images: Tensor, generated: Tensor) -> Tensor:
        """The error of each image (n,) between Laplacian pyramids; both are (n, c, h, w) in [-1, 1]; equation 3."""
        from orchestrator.objectives._laplacian import laplacian_l1

        return laplacian_l1(generated / 2, images / 2)
