"""Quality and diversity of samples, from the whole latent distribution and from truncated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.metrics.inception_weights import missing_requirements
from orchestrator.metrics.requirements import (
    CLASSIFIER_FEATURES,
    INCEPTION_FEATURES,
    NEIGHBOURS,
    Comparison,
    Resize,
    lacking,
)
from orchestrator.store.columns import BOOL, FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.training.settings import TrialSettings

Threshold = Annotated[float, Field(gt=0.0, le=10.0)]
LEAST_SAMPLES = 200
"""The covariance of a distribution cannot be estimated from fewer samples."""


_OF_CLASSES = ("modes", "class_kl")
"""Columns of the data's own classes."""
NEAREST = "nearest"
"""The name of the picture of samples and their nearest training images."""


def _interval(name: str, label: str) -> tuple[Column, Column]:
    """The ends of a measure's interval."""
    meaning = f"end of the 95 % interval of {name} over the drawing of samples; null likewise, or of too few samples"
    return (
        Column(f"{name}_low", FLOAT, "", f"lower {meaning}", f"{label}, low"),
        Column(f"{name}_high", FLOAT, "", f"upper {meaning}", f"{label}, high"),
    )


class Quality(Evaluation):
    """Inception Score, FID, KID, precision, recall, density, coverage and modes of samples (metrics/).

    One row for the standard normal distribution of latent vectors, and one for each threshold t of ``truncation``:
    latent vectors from the standard normal truncated to [-t, t], each from the same uniform draws. A shard is a row,
    and the first has a picture of samples beside their nearest training images.
    """

    version = 3
    splits: ClassVar[tuple[Split, ...]] = ("train", "test")
    keys_or_null: ClassVar = ("truncation",)
    columns = (
        Column("truncation", FLOAT, "", "latent vectors lie in [-t, t]; null for the whole normal distribution"),
        Column("samples", INT, "images", "generated images that were judged"),
        Column("real", INT, "images", "training images that they were compared with"),
        Column("features", STRING, "", "what the features come from; compare figures of the same only"),
        Column(
            "inception_score",
            FLOAT,
            "",
            "exp of the mean KL divergence of an image's classes to all images', over the whole sample",
            "inception score",
        ),
        Column(
            "fid", FLOAT, "", "Frechet distance of the features to the training images'; null of too few images", "FID"
        ),
        Column("kid", FLOAT, "", "kernel distance of the features to those of the training images, unbiased", "KID"),
        Column(
            "precision", FLOAT, "", "share of generated images within the training images' neighbourhoods", "precision"
        ),
        Column("recall", FLOAT, "", "share of training images within the generated images' neighbourhoods", "recall"),
        Column("density", FLOAT, "", "training images' neighbourhoods around a generated image, over k", "density"),
        Column(
            "coverage", FLOAT, "", "share of training images with a generated one in their neighbourhood", "coverage"
        ),
        Column("modes", INT, "classes", "classes that have a share in the samples; null of Inception", "modes covered"),
        Column(
            "class_kl",
            FLOAT,
            "nats",
            "KL divergence of the samples' class histogram to the training images'; likewise",
            "class KL",
        ),
        Column(
            "diversity",
            FLOAT,
            "",
            "mean distance of two generated images, over that of two training images; null where that is 0",
            "diversity",
        ),
        *_interval("fid", "FID"),
        *_interval("kid", "KID"),
        *_interval("precision", "precision"),
        *_interval("recall", "recall"),
        Column(
            "fid_infinity",
            FLOAT,
            "",
            "FID of samples without end, by a line in 1 / samples; null of fewer than 8 samples per feature",
            "FID, infinite samples",
        ),
        Column("inception_score_mean", FLOAT, "", "mean of the scores of ten tenths of the samples", "IS, ten splits"),
        Column("inception_score_sd", FLOAT, "", "standard deviation of these ten", "IS, deviation"),
        Column("held_out", INT, "images", "held-out images that they were compared with"),
        Column("fid_held_out", FLOAT, "", "fid to the held-out images; null of too few", "FID to held-out"),
        Column("kid_held_out", FLOAT, "", "kid to the held-out images; null of fewer than two", "KID to held-out"),
        Column(
            "copying",
            FLOAT,
            "",
            "chance that a sample is nearer to its nearest training image than a held-out image; 0.5 of a fair sample",
            "copying",
        ),
        Column(
            "copying_score",
            FLOAT,
            "",
            "(0.5 - copying) in standard errors: far below 0 of copies of training images",
            "copying's score",
        ),
        Column("statistics", STRING, "", "of batch norm, running or recalibrated; null of a generator without it"),
        Column("averaged", BOOL, "", "whether the generator's weights are a moving average (training.g_ema)"),
        Column("dtype", STRING, "", "numbers the generator computed with, such as fp32"),
    )

    kind: Literal["quality"] = "quality"
    samples: int = Field(10_000, ge=LEAST_SAMPLES, le=1_000_000)
    """generated images in each row"""
    features: Literal["classifier", "inception"] = "classifier"
    """source of the features: a classifier trained on the same data, or torch-fidelity's Inception"""
    truncation: tuple[Threshold, ...] = Field((), max_length=100, strict=False)
    """thresholds t of truncated normal distributions, a row each; empty for the whole one alone"""
    statistics: Literal["running", "recalibrated"] = "running"
    """batch norm's statistics: of training, or estimated again from the latent vectors of each row"""
    resize: Resize = "torch_fidelity"
    """how images come to Inception's size: as by torch-fidelity and FID's authors, or as by clean-fid"""
    real_images: int | None = Field(None, ge=LEAST_SAMPLES, le=10_000_000)
    """training images to compare with, drawn at random; null for all"""

    @property
    def feature_extractor(self) -> Literal["classifier", "inception"]:
        """As set."""
        return self.features

    @property
    def comparison(self) -> Comparison:
        """As set."""
        return Comparison(self.resize, self.real_images)

    def reject(self, trial: TrialSettings) -> str | None:
        """As every kind, with a remedy for data without classes; also if there are too few images."""
        if self.features == "classifier" and self.resize != "torch_fidelity":
            return f"resize: got {self.resize}, which is of Inception's images; set features: inception, or take it out"
        for name, count in (("samples", self.samples), ("real_images", self.real_images)):
            if self.features == "inception" and count is not None and count <= INCEPTION_FEATURES:
                return f"{name}: got {count}, expected more than Inception's {INCEPTION_FEATURES} features, for FID"
        problem = super().reject(trial)
        if problem and self.features == "classifier" and not trial.data.has_classes:
            return f"{problem}; set features: inception"
        most = trial.data.max_images
        few = _too_few(most, "data.max_images keeps") if most is not None else None
        return problem or (f"{self.kind} {few}" if few else None)

    def unmeasured(self, column: str, trial: TrialSettings, train: int | None, held_out: int | None) -> str | None:
        """Also of too few images or samples, and of classes that Inception does not know."""
        inception = self.features == "inception"
        if inception and column in _OF_CLASSES:
            return "which Inception, trained on other classes, does not tell; take features: classifier"
        compared = [count for count in (train, self.real_images) if count is not None]
        return lacking(
            column,
            INCEPTION_FEATURES if inception else CLASSIFIER_FEATURES,
            train=min(compared, default=None),
            held_out=held_out,
            samples=self.samples,
        )

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Also if there are no more training images than PRDC's neighbours."""
        count = len(images["train"])
        return super().reject_images(data, images) or _too_few(count, f"the images of {data.name} are")

    def classless(self, data: Dataset) -> str:
        """As every kind, with the remedy: Inception needs no classes."""
        return f"{super().classless(data)}; set features: inception"

    def missing_requirements(self) -> str | None:
        """Inception's weights or the package that reads them, if they are missing."""
        return missing_requirements() if self.features == "inception" else None

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The thresholds, with None for the whole distribution."""
        return (None, *self.truncation) if column == "truncation" else None

    def shards(self, trial: TrialSettings) -> int:
        """The whole distribution, then each truncated one."""
        return 1 + len(self.truncation)


def _too_few(count: int, are: str) -> str | None:
    if count > NEIGHBOURS:
        return None
    needed = f"takes more than {NEIGHBOURS} training images, for precision and recall"
    return f"{needed}, but {are} {count}; add some, or take it out"
