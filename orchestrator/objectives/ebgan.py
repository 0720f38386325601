"""Energy-based GAN, Zhao et al., arXiv 1609.03126: the discriminator is an autoencoder, its error the energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.objectives.adversarial import Adversarial

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Ebgan(Adversarial):
    """D lowers the error on real images, and raises it on generated ones up to the margin."""

    kind: Literal["ebgan"]
    margin: float = Field(gt=0.0)
    """m: the error above which a generated image is bad enough; of the size of images' mean error at the start"""
    pulling_away: float = Field(0.0, ge=0.0)
    """weight of the pulling-away term in the generator's loss; 0.1 in the paper"""
    judges: ClassVar[Literal["scores", "reconstruction"]] = "reconstruction"

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean E(x) plus mean of relu(m - E(G(z))), with the hinge on each image's error; equation 1."""
        return real.scores.mean() + (self.margin - fake.scores).relu().mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean E(G(z)) plus the weighted pulling-away term; equations 2 and 4."""
        loss = fake.scores.mean()
        return loss + self.pulling_away * pulling_away_term(fake.features) if self.pulling_away else loss

    @property
    def needs_features(self) -> bool:
        """Also with the pulling-away term, which uses the codes."""
        return self.pulling_away > 0 or super().needs_features


def pulling_away_term(codes: Tensor) -> Tensor:
    """Mean squared cosine between the codes (n, f) of two different images of a batch; equation 4. 0 for n = 1."""
    from torch.nn.functional import normalize

    n = len(codes)
    cosines = normalize(codes, dim=1) @ normalize(codes, dim=1).T
    return (cosines.square().sum() - cosines.diagonal().square().sum()) / max(1, n * (n - 1))
