"""The exact likelihood of held-out images, of the trial's own data set and of others."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.data import AnyDataset
from orchestrator.evaluations.held_out import LABEL, HeldOutEvaluation
from orchestrator.store.columns import FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.data import Dataset
    from orchestrator.training.settings import TrialSettings


class Likelihood(HeldOutEvaluation):
    """log p(x) = log p(z) + log |det dz/dx| of bytes with uniform noise, in bits per dimension.

    Kingma and Dhariwal, arXiv 1807.03039, section 2. ``against`` adds as many images of other sets, which should be
    less likely under a good model of the trial's own set (Nalisnick et al., arXiv 1810.09136, show where they are not).
    Only an invertible network has a likelihood: trials of other families are skipped, and the report gives the reason.
    """

    keys: ClassVar = ("data", "image_id")
    columns = (
        Column("data", STRING, "", "data set that the image is of"),
        Column("image_id", INT, "", "the image's place in that set's held-out images"),
        LABEL,
        Column("bits_per_dimension", FLOAT, "bits", "-log2 p(x) over the image's numbers", "bits per dimension"),
        Column(
            "log_likelihood", FLOAT, "nats", "log p(x) of the image's bytes with noise, in units of a byte", "log p(x)"
        ),
        Column("log_det", FLOAT, "nats", "the part of it that the change of volume makes up"),
    )

    kind: Literal["likelihood"] = "likelihood"
    against: tuple[AnyDataset, ...] = Field((), max_length=20, strict=False)
    """other data sets whose held-out images get a likelihood too; a trial's own among them counts once"""

    def not_applicable(self, trial: TrialSettings) -> str | None:
        """Other families, which have no density."""
        return None if trial.objective.family == "likelihood" else why_none(trial)

    def reject(self, trial: TrialSettings) -> str | None:
        """Also if a set's images have another shape, or two sets have one name."""
        for index, data in enumerate(self.against):
            if data.shape != trial.data.shape:
                return f"against.{index}: images of {data.shape}, but those of the trial are {trial.data.shape}"
            own = _same_held_out(data, trial.data)
            before = self.against[:index] if own else [trial.data, *self.against[:index]]
            if data.name in [other.name for other in before]:
                return f"against.{index}: got {data.name} twice; take one out"
        return super().reject(trial)

    @property
    def others(self) -> tuple[Dataset, ...]:
        """The sets beside the trial's own."""
        return self.against

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The data sets by their names, the trial's own first."""
        return tuple(data.name for data in self.sets(trial)) if column == "data" else None

    def shards(self, trial: TrialSettings) -> int:
        """The shards of the images, for each set."""
        return len(self.sets(trial)) * super().shards(trial)

    def sets(self, trial: TrialSettings) -> tuple[Dataset, ...]:
        """The trial's own set, then the others."""
        return trial.data, *(data for data in self.against if not _same_held_out(data, trial.data))


def _same_held_out(one: Dataset, other: Dataset) -> bool:
    """Whether two sections name the same held-out images, which ``max_images`` does not change."""
    return one.model_copy(update={"max_images": None}) == other.model_copy(update={"max_images": None})


def why_none(trial: TrialSettings) -> str:
    """Why a trial's images have no likelihood, and what would be needed for one."""
    size = prod(trial.data.shape)
    flat = f"its generator turns {trial.latent_dim} numbers into images of {size}, "
    flat += (
        "which fill no volume among all images: p(x) is 0 for almost every image"
        if trial.latent_dim < size
        else "and has no inverse: p(x) would be a sum over all z that make the image, which cannot be found"
    )
    take = (
        "It would take a model of noise around the generated images and annealed importance sampling over z for each "
        "image (Wu et al., arXiv 1611.04273), whose answer depends on the noise; or an invertible generator"
    )
    prior = " Its latent vectors have no prior either, but the Gaussian that was fitted to them afterwards."
    no_prior = prior if trial.objective.family == "free_latents" else ""
    return f"{flat}.{no_prior} {take} of {size} latent numbers, such as glow."
