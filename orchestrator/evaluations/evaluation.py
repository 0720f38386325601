"""The interface of every kind of evaluation: the images it uses, its shards, and the result of each shard."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.data import Split
from orchestrator.evaluations.cache import Cache, cache_of_values
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES, Comparison, lacking, measures_fid
from orchestrator.settings import Settings
from orchestrator.store.columns import Column

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from orchestrator.data import Dataset, ImageSet
    from orchestrator.metrics.classifier import Classifier
    from orchestrator.metrics.sample_quality import SampleQuality
    from orchestrator.training.settings import TrialSettings

FOLDER = "evaluations"


@dataclass(frozen=True)
class TrainedModel:
    """A trained generator, with the images and networks that an evaluation may compare it with."""

    trial_id: str
    settings: TrialSettings
    generator: nn.Module
    """(n, latent_dim) to (n, c, h, w) in [-1, 1]; on ``device``, in eval mode, its parameters frozen."""
    device: torch.device
    splits: Mapping[Split, ImageSet]
    """The images of the trial's data set that the evaluation's ``splits`` name."""
    classifier: Classifier | None
    """Trained on the same data, on ``device``; None where the images have no classes or none was asked for."""
    make_sample_quality: Callable[[], SampleQuality]
    """The metrics against the data set, built at the first call: they need features of every image."""
    others: Mapping[Dataset, ImageSet] = field(default_factory=dict)
    """The held-out images of the further data sets that the evaluation names."""
    encoder: Callable[[Tensor], Tensor] | None = None
    """(n, c, h, w) in [-1, 1] to (n, latent_dim), as ``generator``; None where the trial trained none."""
    cache: Cache = field(default_factory=cache_of_values)
    """What other shards need too, of this trial or others, named by all that it follows from."""

    @property
    def real(self) -> ImageSet:
        """The images that the trial trained on."""
        return self.splits["train"]

    @property
    def held_out(self) -> ImageSet:
        """The images that no trial trains on."""
        return self.splits["test"]

    @property
    def sample_quality(self) -> SampleQuality:
        """The metrics of generated images against the training and the held-out images."""
        return self.make_sample_quality()


@dataclass(frozen=True)
class ShardResult:
    """The result of one shard of an evaluation."""

    rows: Sequence[Mapping[str, Any]]
    """Rows of the kind's ``columns``, one an item; at least one, which shows that the shard was computed."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Rows of the kind's further ``tables``, by their names."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by their names, which are unique within the evaluation of a trial."""


class Evaluation(Settings):
    """One entry of a job file's ``evaluate``: settings of a computation with a trial's generator.

    It consists of shards, numbered from 0, which are computed independently, in any order and on any machine. A shard
    is the same whenever it is computed: its random numbers depend on ``seed`` and the shard's number only.
    """

    version: ClassVar[int] = 1
    """Part of the id: raise it whenever the same settings give other numbers or columns."""
    columns: ClassVar[tuple[Column, ...]]
    """Columns of a row beside the trial's and the evaluation's ids and the evaluation's settings."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Columns that are never null and, with ``keys_or_null``, identify a row of one trial's evaluation."""
    keys_or_null: ClassVar[tuple[str, ...]] = ()
    """Further identifying columns, which may be null."""
    tables: ClassVar[Mapping[str, tuple[Column, ...]]] = {}
    """Columns of further tables, by name: those of ``curves`` lie in evaluations/<kind>_curves/."""
    splits: ClassVar[tuple[Split, ...]] = ("train",)
    """The splits of the data set that it uses."""
    classifies: ClassVar[bool] = False
    """Whether it tells the classes of images by the data set's classifier, where the data set has classes."""

    on_host: ClassVar[bool] = False
    """Whether ``on_host`` of its ``compute`` module makes part of a shard without networks: no GPU is held for it."""

    kind: str
    """what is computed"""
    checkpoint: Literal["last", "best"] = "last"
    """the generator of the trial's end, or that of the lowest FID measured while it trained"""
    seed: int = Field(0, ge=0, lt=2**32)
    """source of all that the evaluation draws"""

    @classmethod
    def headings(cls) -> dict[str, str]:
        """Headings of the measures among ``columns``, by name: those that have a label."""
        return {column.name: column.heading for column in cls.columns if column.label}

    def reject(self, trial: TrialSettings) -> str | None:
        """Why a trial of these settings cannot be evaluated this way, or None where it can; opens no file."""
        if self.feature_extractor == "classifier" and not trial.data.has_classes:
            name = trial.data.name
            return f"{self.kind} needs a data set with classes, from which features are learned; {name} has none"
        if self.checkpoint == "best" and not trial.training.measure_every:
            return "checkpoint: best is that of the lowest FID measured: set training.measure_every, or take last"
        if self.checkpoint == "best" and not trial.data.has_classes:
            return f"checkpoint: got best, that of the lowest FID, but {trial.data.name} has no classes; take last"
        too_few = lacking("best_fid", CLASSIFIER_FEATURES, train=trial.data.known_images("train"))
        if self.checkpoint == "best" and too_few:
            return f"checkpoint: got best, that of the lowest FID, {too_few}; take last"
        return None

    def not_applicable(self, trial: TrialSettings) -> str | None:
        """Why the evaluation does not apply to trials of this family, or None. No error if other trials remain."""
        return None

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The values of a column in the rows of a trial, if they follow from settings; None if not."""
        return None

    def unmeasured(self, column: str, trial: TrialSettings, train: int | None, held_out: int | None) -> str | None:
        """Why a measure has no value in any row of a trial, as a clause; None where it may have one.

        ``train`` and ``held_out`` are numbers of images of the trial's data set, None where they are not known.
        """
        return None

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Why it cannot be computed with these images, or None where it can.

        Before a run, ``images`` are its ``splits`` and the training images; when it is computed, its ``splits``.
        """
        train = images.get("train")
        if train is None:
            return None
        if self.feature_extractor == "classifier" and not train.has_classes:
            return self.classless(data)  # one class is none: a classifier has nothing to learn
        if self.checkpoint == "best" and not measures_fid(train):
            few = f"has {len(train)} training images of two classes or more" if train.has_classes else "has no classes"
            return f"checkpoint: got best, that of the lowest FID, which is not measured: {data.name} {few}; take last"
        return None

    def classless(self, data: Dataset) -> str:
        """Why images without classes cannot be evaluated this way."""
        return f"the images of {data.name} have no classes, from which features are learned"

    def missing_requirements(self) -> str | None:
        """What the evaluation needs beside data and this machine, the driver's, lacks, with the remedy; or None."""
        return None

    @abstractmethod
    def shards(self, trial: TrialSettings) -> int:
        """The number of shards, at least 1; known from settings only."""

    @property
    def feature_extractor(self) -> Literal["classifier", "inception"] | None:
        """The feature extractor that it uses: a classifier of the trial's data set, Inception, or None."""
        return None

    @property
    def uses_classifier(self) -> bool:
        """Whether it uses the classifier of a data set with classes; it needs one if its features come from there."""
        return self.classifies or self.feature_extractor == "classifier"

    @property
    def comparison(self) -> Comparison:
        """How ``TrainedModel.sample_quality`` compares samples with real images."""
        return Comparison()

    @property
    def others(self) -> tuple[Dataset, ...]:
        """Further data sets whose held-out images it uses."""
        return ()

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the settings, idle ones at their defaults, and the version."""
        return _hash(self)

    def rows_key(self, trial_id: str, shard: int, table: str = "") -> str:
        """The key of a shard's rows; the shard is done when the rows of its first table are stored."""
        folder = f"{self.kind}_{table}" if table else self.kind
        return f"{FOLDER}/{folder}/{trial_id}-{self.id}-{shard:04d}.parquet"

    def picture_key(self, trial_id: str, name: str) -> str:
        """The key of a picture, beside the trial's samples."""
        return self.picture_of(self.id, trial_id, name)

    @classmethod
    def picture_of(cls, evaluation_id: str, trial_id: str, name: str) -> str:
        """The same, for an evaluation of this kind that is known by its id alone."""
        return f"samples/{trial_id}/{cls.model_fields['kind'].default}-{evaluation_id}-{name}.png"


@cache
def _hash(evaluation: Evaluation) -> str:
    content = {"version": evaluation.version, **evaluation.canonical().model_dump(mode="json")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
