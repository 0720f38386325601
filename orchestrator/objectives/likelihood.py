"""Maximum likelihood, for networks that compute it exactly: Kingma and Dhariwal, arXiv 1807.03039, section 2."""

from __future__ import annotations

from typing import ClassVar, Literal

from orchestrator.objectives.objective import Objective


class Likelihood(Objective):
    """-log p(x) of bytes with uniform noise (Uria et al., arXiv 1306.0186), in bits per dimension.

    It is an upper bound of the negative log-likelihood of the bytes: Theis et al., arXiv 1511.01844, section 3.1.
    """

    kind: Literal["likelihood"]

    family: ClassVar[Literal["likelihood"]] = "likelihood"
    trains: ClassVar[frozenset[str]] = frozenset({"flow"})
    full_precision: ClassVar[bool] = True
    loss_operations: ClassVar[int] = 43

    @property
    def metrics(self) -> tuple[str, ...]:
        """The loss, which is the bits per dimension, and its gradient."""
        return "g_loss", "g_grad_norm", "bits_per_dimension"
