"""The ``training`` section of a job file, and the four sections of a trial."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from orchestrator.data import AnyDataset
from orchestrator.errors import DataError
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES, lacking
from orchestrator.models import NETWORKS, AnyModel
from orchestrator.models.pair import OF_DISCRIMINATORS, Pair
from orchestrator.objectives import AnyObjective
from orchestrator.objectives.adversarial import Adversarial
from orchestrator.settings import Settings
from orchestrator.training.lr_schedule import Schedule
from orchestrator.training.optimizers import Optimizer
from orchestrator.training.patience import MEASURES, NO_IMPROVEMENT, Patience

if TYPE_CHECKING:
    from orchestrator.data import Dataset


class AugmentationSettings(Settings):
    """Policies of DiffAugment, Zhao et al., arXiv 2006.10738, in the order in which they are applied."""

    color: bool = False
    """random brightness, saturation and contrast"""
    translation: bool = False
    """random shifts by up to an eighth of the sides, filled with mid-grey"""
    cutout: bool = False
    """a rectangle of half the sides in mid-grey, at a random place"""

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the policies that are on."""
        return tuple(name for name, wanted in self if wanted)


class TrainingSettings(Settings):
    """Settings of a trial's training.

    A step is ``d_steps`` discriminator updates, each on its own real batch, then ``g_steps`` generator updates.
    An epoch is (images // batch_size) steps for any ``d_steps``, so that trials that differ only in ``d_steps`` make
    the same number of generator updates.
    """

    idle: ClassVar[frozenset[str]] = frozenset({"samples_every", "checkpoint_every"})
    later: ClassVar[frozenset[str]] = frozenset({"augmentation", "patience", "max_minutes"})

    epochs: int = Field(20, ge=1, le=1_000_000)
    """epochs of the whole trial"""
    batch_size: int = Field(128, ge=2, le=1_000_000)
    """real images of a discriminator update, and generated ones of each update"""
    d_steps: int = Field(1, ge=1, le=1000)
    """discriminator updates in a step"""
    g_steps: int = Field(1, ge=1, le=1000)
    """generator updates in a step"""
    g_optimizer: Optimizer = Optimizer()
    """optimizer of the generator, and of what is trained with it"""
    d_optimizer: Optimizer = Optimizer()
    """optimizer of the discriminator"""
    schedule: Schedule = Schedule()
    """course of both learning rates"""
    noise_epochs: int = Field(0, ge=0, le=1_000_000)
    """epochs over which the discriminator's instance and feature noise fall linearly to none; 0 keeps them"""
    augmentation: AugmentationSettings = AugmentationSettings()
    """what is done to all images before the discriminator judges them"""
    unrolled_steps: int = Field(0, ge=0, le=100)
    """discriminator updates that the generator looks ahead, and differentiates through (unrolled GAN's K)"""
    g_ema: float = Field(0.0, ge=0.0, lt=1.0)
    """decay of the running mean of the generator's weights, which then draws samples; 0 for none"""
    seed: int = Field(0, ge=0, lt=2**32)
    """source of the trial's weights, batches and latent vectors"""
    log_every: int = Field(10, ge=1)
    """steps in a row of metrics/, which holds their means"""
    samples_every: int = Field(1, ge=0)
    """epochs between sample grids; 0 for none but the last"""
    checkpoint_every: int = Field(1, ge=1)
    """epochs between checkpoints"""
    measure_every: int = Field(0, ge=0)
    """epochs between measures of samples (FID and modes where the data has classes, diversity); 0 for none"""
    measure_samples: int = Field(1000, ge=200, le=1_000_000)
    """samples of such a measure"""
    stop_when: tuple[Literal["saturated", "collapsed", "diverged", "no_improvement"], ...] = Field((), strict=False)
    """conditions that end a trial early; its best and its last state are kept"""
    patience: Patience = Patience()
    """no_improvement: in what a trial is to improve, and how soon"""
    max_minutes: float | None = Field(None, gt=0.0, le=1_000_000.0)
    """minutes of training after which a trial ends with what it has, which depends on the machine; null for none"""
    accumulate: int = Field(1, ge=1, le=1_000_000)
    """parts an update's batch is cut into on each device, one at a time in memory"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """numbers of the networks' forward passes; auto takes bf16 on GPUs where a step computes much, else fp32"""

    @model_validator(mode="after")
    def _cut_equally(self) -> TrainingSettings:
        if remainder := self.batch_size % self.accumulate:
            lower = self.batch_size - remainder
            nearest = [size for size in (lower, lower + self.accumulate) if size > 1]
            raise ValueError(
                f"batch_size: got {self.batch_size}, which {self.accumulate} parts (accumulate) do not divide; "
                f"the nearest that they do: {' or '.join(map(str, nearest))}"
            )
        return self

    @field_validator("stop_when")
    @classmethod
    def _in_order(cls, conditions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(conditions)))

    @model_validator(mode="after")
    def _collapse_is_measured(self) -> TrainingSettings:
        if "collapsed" in self.stop_when and not self.measure_every:
            raise ValueError(
                "measure_every: got 0 with stop_when: [collapsed], expected at least 1: samples tell of a collapse"
            )
        return self

    @model_validator(mode="after")
    def _improvement_is_measured(self) -> TrainingSettings:
        if NO_IMPROVEMENT not in self.stop_when:
            if self.patience != Patience():
                raise ValueError(
                    "patience: has no effect without stop_when: [no_improvement]; take it out, or add that"
                )
        elif "samples" in MEASURES[self.patience.measure].needs and not self.measure_every:
            raise ValueError(
                "measure_every: got 0 with stop_when: [no_improvement], expected at least 1: "
                f"{self.patience.measure} is measured of samples"
            )
        return self

    @model_validator(mode="after")
    def _unrolls_whole_batches(self) -> TrainingSettings:
        if self.unrolled_steps and self.accumulate > 1:
            raise ValueError(
                f"accumulate: got {self.accumulate}, expected 1 with unrolled_steps, which see whole batches"
            )
        return self


@cache
def _size(data: Dataset) -> int:
    """Counting images may open files: once for a data set, not once for each of 10,000 trials."""
    return data.size


class TrialSettings(Settings):
    """Everything that decides what a trial computes: the sections a grid may vary."""

    data: AnyDataset
    """the data set"""
    model: AnyModel
    """the networks"""
    objective: AnyObjective
    """what is minimised, and so the way of training"""
    training: TrainingSettings = TrainingSettings()
    """how long and in which rhythm"""

    @model_validator(mode="after")
    def _go_together(self) -> TrialSettings:
        problems = (self._misfit(), self._adversarial_misfit(), self._training_misfit())
        if problem := next(filter(None, problems), None):
            raise ValueError(problem)
        return self

    def _misfit(self) -> str | None:
        if problem := self.model.reject(self.data.shape):
            return f"model: {problem}"
        if missing := self.objective.trains - self.model.networks:
            fitting = sorted(kind for kind, networks in NETWORKS.items() if self.objective.trains <= networks)
            return (
                f"objective: {self.objective.kind} needs a model with {_listed(missing)}, which {self.model.kind} does "
                f"not have; set model.kind to {' or '.join(fitting)}"
            )
        if problem := self.objective.reject_training(self.training.epochs):
            return f"objective.{problem}"
        if isinstance(self.model, Pair) and "discriminator" not in self.objective.trains:
            for name in OF_DISCRIMINATORS:
                if getattr(self.model, name) != type(self.model).model_fields[name].default:
                    return f"model.{name}: {self.objective.kind} trains no discriminator; take it out"
        return None

    def _adversarial_misfit(self) -> str | None:
        """Why the discriminator cannot be trained with these settings, or None where it can."""
        if not isinstance(self.objective, Adversarial) or not isinstance(self.model, Pair):
            return None
        if problem := self.objective.reject(self.model.judges, batch_norm=self.model.d_normalizes):
            return f"objective: {problem}"
        if self.training.unrolled_steps and self.objective.penalties:
            return (
                f"training.unrolled_steps: got {self.training.unrolled_steps}, expected 0 with a gradient penalty, "
                "whose third derivatives it would need"
            )
        if self.training.noise_epochs and not self.model.is_noisy:
            return (
                f"training.noise_epochs: got {self.training.noise_epochs}, expected 0 without noise that could fall "
                "(model.instance_noise, model.feature_noise)"
            )
        return None

    def _training_misfit(self) -> str | None:
        training, kind = self.training, self.objective.kind
        for name in self.objective.ignores:
            if getattr(training, name) != type(training).model_fields[name].default:
                return f"training.{name}: {kind} has no use for it; take it out, or choose an objective that has"
        if "saturated" in training.stop_when and self.objective.family != "adversarial":
            return f"training.stop_when: got saturated, which {kind} cannot become: it has no discriminator of images"
        if NO_IMPROVEMENT in training.stop_when and (problem := self._unmeasured(training.patience.measure)):
            return f"training.patience.measure: got '{training.patience.measure}', {problem}"
        if training.precision == "bf16" and self.objective.full_precision:
            return f"training.precision: got bf16, expected auto or fp32: {kind} takes single precision"
        if training.schedule.kind == "plateau" and training.schedule.measure not in self.measures:
            return (
                f"training.schedule.measure: got '{training.schedule.measure}', expected one of "
                f"{', '.join(self.measures)}"
            )
        return None

    def _unmeasured(self, measure: str) -> str | None:
        """Why a trial of these settings never has a measure of its samples or steps; None where it may have it."""
        needs, kind, data = MEASURES[measure].needs, self.objective.kind, self.data
        if "samples" not in needs and measure not in self.measures:
            return f"which a trial under {kind} does not have; expected one of samples or of {', '.join(self.measures)}"
        if "codes" in needs and self.objective.family == "adversarial":
            return f"but no trial under {kind} has codes"
        if "classes" in needs and not data.has_classes:
            return f"which needs a data set with classes; {data.name} has none"
        return lacking(measure, CLASSIFIER_FEATURES, train=data.known_images("train"))

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the training metrics that a step of this trial computes."""
        return self.objective.metrics

    @property
    def latent_dim(self) -> int:
        """Numbers in a latent vector of the model."""
        return self.model.latents(self.data.shape)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch. Reads the size of the data set; raises DataError if it is smaller than a batch."""
        images, batch = _size(self.data), self.training.batch_size
        if images < batch:
            raise DataError(f"training.batch_size: got {batch}, but the data set holds only {images} images")
        return images // batch

    @property
    def total_steps(self) -> int:
        """Steps of the whole trial."""
        return self.steps_per_epoch * self.training.epochs


def _listed(networks: frozenset[str]) -> str:
    return " and ".join(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in sorted(networks))
