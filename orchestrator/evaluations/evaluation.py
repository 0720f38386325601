"""What every kind of evaluation answers: on what it looks, in how many parts, and what comes of each part."""

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
from orchestrator.metrics.requirements import measures_fid
from orchestrator.settings import Settings
from orchestrator.store.columns import Column

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from orchestrator.data import Dataset, ImageSet
    from orchestrator.metrics.classifier import Classifier
    from orchestrator.metrics.sample_metrics import SampleMetrics
    from orchestrator.training.settings import TrialSettings

FOLDER = "evaluations"


@dataclass(frozen=True)
class TrainedModel:
    """A trained generator, and what an evaluation may hold beside its images."""

    trial_id: str
    settings: TrialSettings
    generator: nn.Module
    """(n, latent_dim) to (n, c, h, w) in [-1, 1]; on ``device``, in eval mode, its parameters frozen."""
    device: torch.device
    splits: Mapping[Split, ImageSet]
    """The images of the trial's data set that the evaluation's ``splits`` name."""
    classifier: Classifier | None
    """Trained on the same data, on ``device``; None where the images have no classes or none was asked for."""
    make_sample_metrics: Callable[[], SampleMetrics]
    """The metrics against the data set, made at the first call: they take features of every training image."""
    others: Mapping[Dataset, ImageSet] = field(default_factory=dict)
    """The held-out images of the further data sets that the evaluation names."""
    encoder: Callable[[Tensor], Tensor] | None = None
    """(n, c, h, w) in [-1, 1] to (n, latent_dim), as ``generator``; None where the trial trained none."""

    @property
    def real(self) -> ImageSet:
        """The images that the trial trained on."""
        return self.splits["train"]

    @property
    def held_out(self) -> ImageSet:
        """The images that no trial trains on."""
        return self.splits["test"]

    @property
    def sample_metrics(self) -> SampleMetrics:
        """What compares generated images with the training images."""
        return self.make_sample_metrics()


@dataclass(frozen=True)
class ShardResult:
    """What one part of an evaluation came to."""

    rows: Sequence[Mapping[str, Any]]
    """Rows of the kind's ``columns``, one an item; at least one, by which a part that was computed is known."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Rows of the kind's further ``tables``, by their names."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by the names that tell them apart within the evaluation of a trial."""


class Evaluation(Settings):
    """One entry of a job file's ``evaluate``: settings of something to compute with a trial's generator.

    It is cut into shards, numbered from 0, which are computed apart from each other, in any order and on any machine.
    A shard is the same whenever it is computed: what is drawn comes from ``seed`` and the shard's number.
    """

    version: ClassVar[int] = 1
    """Part of the id: raise it whenever the same settings come to mean other numbers or columns."""
    columns: ClassVar[tuple[Column, ...]]
    """What a row holds beside the trial's and the evaluation's ids and the evaluation's settings."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Columns, none of them ever null, and ..."""
    keys_or_null: ClassVar[tuple[str, ...]] = ()
    """... others that may be, which together tell the rows of one trial's evaluation apart."""
    tables: ClassVar[Mapping[str, tuple[Column, ...]]] = {}
    """Columns of further tables, by name: those of ``curves`` lie in evaluations/<kind>_curves/."""
    splits: ClassVar[tuple[Split, ...]] = ("train",)
    """The images that it looks at."""

    kind: str
    """what is computed"""
    checkpoint: Literal["last", "best"] = "last"
    """the generator of the trial's end, or that of the lowest FID measured while it trained"""
    seed: int = Field(0, ge=0, lt=2**32)
    """source of all that the evaluation draws"""

    def reject(self, trial: TrialSettings) -> str | None:
        """Why a trial of these settings cannot be evaluated so, or None where it can; opens no file."""
        if self.feature_extractor == "classifier" and not trial.data.has_classes:
            name = trial.data.name
            return f"{self.kind} needs a data set with classes, from which features are learned; {name} has none"
        if self.checkpoint == "best" and not trial.training.measure_every:
            return "checkpoint: best is that of the lowest FID measured: set training.measure_every, or take last"
        if self.checkpoint == "best" and not trial.data.has_classes:
            return f"checkpoint: got best, that of the lowest FID, but {trial.data.name} has no classes; take last"
        return None

    def not_applicable(self, trial: TrialSettings) -> str | None:
        """Why trials of this family have nothing of the kind, which is no mistake where others of a job do; or None."""
        return None

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """What the rows of a trial have in a column, as far as settings tell; None where they do not."""
        return None

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Why it cannot be computed with these images, or None where it can.

        Before a run they are those of its ``splits`` and the training images; when it is computed, its ``splits``.
        """
        train = images.get("train")
        if train is None:
            return None
        if self.feature_extractor == "classifier" and not train.has_classes:
            return self.classless(data)  # one class is none: it tells no image from another
        if self.checkpoint == "best" and not measures_fid(train):
            few = f"has {len(train)} training images of two classes or more" if train.has_classes else "has no classes"
            return f"checkpoint: got best, that of the lowest FID, which is not measured: {data.name} {few}; take last"
        return None

    def classless(self, data: Dataset) -> str:
        """Why images without classes cannot be evaluated so."""
        return f"the images of {data.name} have no classes, from which features are learned"

    def missing_requirements(self) -> str | None:
        """What is not on this machine, which drives a run, of what it needs beside data, with the remedy; or None."""
        return None

    @abstractmethod
    def shards(self, trial: TrialSettings) -> int:
        """The number of parts, at least 1; known from settings alone."""

    @property
    def feature_extractor(self) -> Literal["classifier", "inception"] | None:
        """What it sees images with: a classifier of the trial's data set, Inception, or nothing of the kind."""
        return None

    @property
    def others(self) -> tuple[Dataset, ...]:
        """Data sets beside the trial's own at whose held-out images it looks."""
        return ()

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the settings, idle ones at their defaults, and the version."""
        return _hash(self)

    def rows_key(self, trial_id: str, shard: int, table: str = "") -> str:
        """Where the rows of a shard are kept; the shard is done when those of its first table are there."""
        folder = f"{self.kind}_{table}" if table else self.kind
        return f"{FOLDER}/{folder}/{trial_id}-{self.id}-{shard:04d}.parquet"

    def picture_key(self, trial_id: str, name: str) -> str:
        """Where a picture is kept: beside the trial's samples."""
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
