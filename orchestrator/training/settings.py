"""The ``training`` section of a job file, and the four sections that make a trial."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from orchestrator.data import AnyDataset
from orchestrator.errors import DataError
from orchestrator.models import AnyModel
from orchestrator.objectives import AnyObjective
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from orchestrator.data import Dataset

_Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Adam(Settings):
    """Adam, arXiv 1412.6980; the defaults are DCGAN's, arXiv 1511.06434 section 4, with beta2 of Adam itself."""

    kind: Literal["adam"] = "adam"
    """algorithm of the optimizer"""
    lr: float = Field(2e-4, gt=0.0, le=1.0)
    """learning rate"""
    betas: tuple[_Beta, _Beta] = Field((0.5, 0.999), strict=False)
    """decay of the running means of the gradient and of its square"""
    eps: float = Field(1e-8, gt=0.0, le=1.0)
    """added to the root of the mean square"""

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, in torch's fused form: one kernel for all parameters on a GPU, one loop on a CPU."""
        import torch

        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)


class TrainingSettings(Settings):
    """How long and in which rhythm a trial trains.

    A step is ``d_steps`` discriminator updates, each on its own real batch, then ``g_steps`` generator updates.
    An epoch is (images // batch_size) steps whatever ``d_steps`` is, so that trials which differ only in it
    make the same number of generator updates.
    """

    epochs: int = Field(20, ge=1, le=1_000_000)
    """epochs of the whole trial"""
    batch_size: int = Field(128, ge=2, le=1_000_000)
    """real images of a discriminator update, and generated ones of each update"""
    d_steps: int = Field(1, ge=1, le=1000)
    """discriminator updates in a step"""
    g_steps: int = Field(1, ge=1, le=1000)
    """generator updates in a step"""
    g_optimizer: Adam = Adam()
    d_optimizer: Adam = Adam()
    seed: int = Field(0, ge=0, lt=2**32)
    """source of the trial's weights, batches and latent vectors"""
    log_every: int = Field(10, ge=1)
    """steps in a row of metrics/, which holds their means"""
    samples_every: int = Field(1, ge=0)
    """epochs between sample grids; 0 for none but the last"""
    checkpoint_every: int = Field(1, ge=1)
    """epochs between checkpoints"""
    accumulate: int = Field(1, ge=1, le=1_000_000)
    """parts an update's batch is cut into on each device, one at a time in memory"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """numbers of the networks' forward passes; auto takes bf16 on CUDA devices that compute in it, else fp32"""

    @model_validator(mode="after")
    def _cut_equally(self) -> TrainingSettings:
        if left := self.batch_size % self.accumulate:
            near = [size for size in (self.batch_size - left, self.batch_size - left + self.accumulate) if size > 1]
            raise ValueError(
                f"batch_size: got {self.batch_size}, which {self.accumulate} parts (accumulate) do not divide; "
                f"the nearest that they do: {' or '.join(map(str, near))}"
            )
        return self

    def precision_on(self, device: torch.device) -> Literal["fp32", "bf16"]:
        """What ``precision`` comes to on a device."""
        if self.precision != "auto":
            return self.precision
        import torch

        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if native else "fp32"


@cache
def _size(data: Dataset) -> int:
    """Counting images may open files: once for a data set, not once for each of 10,000 trials."""
    return data.size


class TrialSettings(Settings):
    """Everything that decides what a trial computes: the sections a grid may vary."""

    data: AnyDataset
    model: AnyModel
    objective: AnyObjective
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _go_together(self) -> TrialSettings:
        if problem := self.model.reject(self.data.shape):
            raise ValueError(f"model: {problem}")
        if problem := self.objective.reject(self.model.judges, batch_norm=self.model.discriminator_batch_norm):
            raise ValueError(f"objective: {problem}")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch. Reads the size of the data set; raises DataError where it is smaller than a batch."""
        images, batch = _size(self.data), self.training.batch_size
        if images < batch:
            raise DataError(f"training.batch_size: got {batch}, but the data set holds only {images} images")
        return images // batch

    @property
    def total_steps(self) -> int:
        """Steps of the whole trial."""
        return self.steps_per_epoch * self.training.epochs
