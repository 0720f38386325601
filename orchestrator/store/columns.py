"""Every column of the results: dtype, unit, meaning, label, scale; kinds of evaluation declare their own tables'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable


Need = Literal["samples", "classes", "codes"]
"""What a trial must have for a measure: samples taken while it trains, a data set with classes, codes of images."""


@dataclass(frozen=True)
class Column:
    """One column of a results table; ``unit`` is empty for names, counts and ratios.

    A measure has a ``label`` for tables, axes and legends, the scale that it is drawn on and, where it is known, which
    of its values are ``better``. A claim can be made of what is ``claimable``, by trials that have what it ``needs``.
    """

    name: str
    dtype: pa.DataType
    unit: str
    meaning: str
    label: str = ""
    log: bool = False
    better: Literal["lower", "higher"] | None = None
    claimable: bool = False
    needs: tuple[Need, ...] = ()

    @property
    def heading(self) -> str:
        """The label with its unit: ``class KL, nats``."""
        return f"{self.label}, {self.unit}" if self.unit in _WRITTEN else self.label


_WRITTEN = ("nats", "s", "dB")
"""Units that a heading has; of others the label says what is counted."""
_STRING, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()
_TIME = pa.timestamp("us", tz="UTC")
STRING, INT, FLOAT, BOOL = _STRING, _INT, _FLOAT, pa.bool_()
"""Dtypes of the columns that a kind of evaluation adds to its own tables."""

CDF_POINTS = tuple(quarter / 4 for quarter in range(-16, 17))
"""-4, -3.75 ... 4: the points at which the distribution function of codes is stored."""


def _measure(name: str, unit: str, meaning: str, label: str, **more: Any) -> Column:
    return Column(name, _FLOAT, unit, meaning, label, claimable=True, **more)


TRAINING_METRICS: tuple[Column, ...] = (
    _measure("d_loss", "", "discriminator's loss, mean over the window", "D loss"),
    _measure(
        "g_loss", "", "generator's loss, with that of an encoder where there is one; mean over the window", "G loss"
    ),
    _measure(
        "d_real",
        "",
        "mean raw score on real images (wae_adversarial: on N(0, I)), or an autoencoder's mean error",
        "score on real",
    ),
    _measure(
        "d_fake",
        "",
        "the same (score F) on generated images (there: codes), in the generator's step",
        "score on generated",
    ),
    _measure("d_real_probability", "", "mean of sigma(score) on real images; null for an autoencoder", "D(real)"),
    _measure(
        "d_fake_probability",
        "",
        "mean of sigma(F), which scales the saturating gradient; null likewise",
        "D(fake)",
    ),
    _measure(
        "g_score_gradient",
        "",
        "mean over images of |dL_G/dF|, L_G being each image's own loss",
        "|\u2202L_G/\u2202F|",
        log=True,
    ),
    _measure(
        "g_image_gradient",
        "",
        "mean over images of the Euclidean norm of dL_G/dG(z), L_G likewise",
        "gradient in an image",
        log=True,
    ),
    _measure(
        "g_grad_norm",
        "",
        "Euclidean norm of the generator's parameter gradient, mean over the window",
        "G gradient norm",
        log=True,
    ),
    _measure("d_penalty", "", "gradient penalties of an image, mean over images; null without", "penalty", log=True),
    _measure("k", "", "BEGAN's k; null for other objectives", "k"),
    _measure(
        "m_global",
        "",
        "BEGAN's convergence measure l(x) + |gamma l(x) - l(G(z))|; null likewise",
        "M_global",
        better="lower",
    ),
    _measure("loss_ratio", "", "BEGAN's l(G(z)) / l(x), which tends to gamma; null likewise", "loss ratio"),
    _measure(
        "reconstruction",
        "",
        "error of decoded training images in [0, 1], mean over pixels; or null",
        "reconstruction error",
        log=True,
        better="lower",
    ),
    _measure(
        "latent_penalty", "", "penalty on the codes of a batch, without its weight; null without", "latent penalty"
    ),
    _measure("penalty_weight", "", "the weight of that penalty; null likewise", "penalty's weight", log=True),
    _measure(
        "bits_per_dimension",
        "bits",
        "-log2 p(x) of training images over their pixels; null of no flow",
        "bits per dimension",
        better="lower",
    ),
)
"""Measured in training steps: the mean over a logging window in metrics/, over the last epoch in trials/."""

SAMPLE_METRICS: tuple[Column, ...] = (
    _measure(
        "fid",
        "",
        "Frechet distance of samples to the data in the classifier's features; null without or of too few",
        "FID",
        log=True,
        better="lower",
        needs=("samples", "classes"),
    ),
    Column(
        "modes",
        _INT,
        "classes",
        "classes of the data that samples cover; null without a classifier",
        "modes covered",
        better="higher",
        claimable=True,
        needs=("samples", "classes"),
    ),
    _measure(
        "class_kl",
        "nats",
        "KL divergence of the samples' classes from the data's; null likewise",
        "class KL",
        better="lower",
        needs=("samples", "classes"),
    ),
    _measure(
        "diversity",
        "",
        "mean distance between two samples over that between two of the data's; null where those are all alike",
        "diversity",
        needs=("samples",),
    ),
    _measure(
        "latent_ks",
        "",
        "Kolmogorov-Smirnov distance of codes' numbers from N(0, 1); null without codes",
        "codes' KS distance",
        log=True,
        better="lower",
        needs=("codes", "samples"),
    ),
    _measure(
        "latent_ks_each",
        "",
        "mean over coordinates of the distance of each; null likewise",
        "KS distance of each coordinate",
        log=True,
        better="lower",
        needs=("codes", "samples"),
    ),
)
"""Measured of samples while a trial trains: at its step in metrics/, the last one in trials/."""

METRICS: tuple[Column, ...] = (
    Column("trial_id", _STRING, "", "hash of the trial's resolved settings"),
    Column("step", _INT, "steps", "steps done; one step is d_steps discriminator and g_steps generator updates"),
    Column("epoch", _FLOAT, "epochs", "step divided by the steps of an epoch"),
    *TRAINING_METRICS,
    *SAMPLE_METRICS,
    Column("latent_cdf", pa.list_(_FLOAT), "", "share of codes' numbers at or below -4, -3.75 ... 4; null likewise"),
    Column("health", _STRING, "", "healthy, saturated, collapsed or diverged, by all rows up to this one"),
    Column("images_per_second", _FLOAT, "images/s", "real images the discriminator trained on, per second"),
    Column("elapsed_s", _FLOAT, "s", "training time so far, over all attempts that were kept"),
)

DEVICE: tuple[Column, ...] = (
    Column("device_model", _STRING, "", "model of the GPU or processor; null where the system does not tell it"),
    Column("device_memory_gib", _FLOAT, "GiB", "memory of the GPU, or of its MIG part; null on a processor"),
    Column("driver_version", _STRING, "", "version of NVIDIA's driver; null on a processor"),
    Column("threads", _INT, "", "processor threads of the process"),
)
"""On what a row was computed, beside the kind of device: ``hardware.device_columns``."""

TRIALS: tuple[Column, ...] = (
    Column("trial_id", _STRING, "", "hash of the trial's resolved settings"),
    Column("job", _STRING, "", "name of the job file that asked for the trial first"),
    Column(
        "status",
        _STRING,
        "",
        "finished; saturated, collapsed, diverged or no_improvement (ended by stop_when); timeout (by max_minutes); "
        "stopped (by the search's scheduler); failed",
    ),
    Column("error", _STRING, "", "why the trial failed; null otherwise"),
    Column("error_kind", _STRING, "", "infrastructure, non_finite, out_of_memory or program; null unless failed"),
    Column("step", _INT, "steps", "steps done"),
    Column("epoch", _FLOAT, "epochs", "epochs done", "epochs", claimable=True),
    *TRAINING_METRICS,
    *SAMPLE_METRICS,
    _measure(
        "best_fid",
        "",
        "lowest fid measured while the trial trained; null without",
        "best FID",
        log=True,
        better="lower",
        needs=("samples", "classes"),
    ),
    Column("best_step", _INT, "steps", "step of the lowest fid, of which the best checkpoint is", "of step"),
    Column("classifier", _STRING, "", "hash of the classifier's weights: fids of two classifiers do not compare"),
    Column(
        "saturated_at",
        _INT,
        "steps",
        "first step of the first stretch that counts as saturated; null for never",
        "saturated at step",
    ),
    Column(
        "collapsed_at",
        _INT,
        "steps",
        "first step at which samples counted as collapsed; null for never",
        "collapsed at step",
        needs=("samples",),
    ),
    Column(
        "diverged_at",
        _INT,
        "steps",
        "first step of a loss without measure or without number; null for never",
        "diverged at step",
    ),
    _measure(
        "images_per_second", "images/s", "real images trained on, per second of training", "images/s", better="higher"
    ),
    _measure("train_s", "s", "training time, over all attempts that were kept", "training", better="lower"),
    Column("resumes", _INT, "", "times the trial went on from a checkpoint"),
    Column("device", _STRING, "", "kind of device the trial trained on"),
    *DEVICE,
    Column("workers", _INT, "", "processes the trial trained on, in its last attempt"),
    Column("images", _INT, "images", "images the trial trained on"),
    Column("data_fingerprint", _STRING, "", "hash of their content, labels and size; the same wherever they lie"),
    Column("precision", _STRING, "", "numbers the networks computed with, fp32 or bf16, in its last attempt"),
    Column("started_at", _TIME, "UTC", "when the trial's first attempt began"),
    Column("ended_at", _TIME, "UTC", "when the row was written"),
    Column("spec_version", _INT, "", "version of the settings' meaning; part of the trial's id"),
    Column("orch_version", _STRING, "", "version of this program"),
    Column("torch_version", _STRING, "", "version of torch"),
    Column("git_commit", _STRING, "", "commit of the checkout that this program ran from; null where it was installed"),
    Column("git_dirty", BOOL, "", "whether files of the program differed from that commit; null likewise"),
)
"""The fixed columns of trials/; every setting follows as a dotted column (``spec.columns``)."""

EVALUATIONS: tuple[Column, ...] = (
    Column("trial_id", _STRING, "", "hash of the settings of the trial whose generator it is"),
    Column("evaluation_id", _STRING, "", "hash of the evaluation's settings"),
    Column("shard", _INT, "", "part of the evaluation that the row is of, from 0"),
    Column("evaluated_at", _TIME, "UTC", "when the part was computed"),
    Column("evaluated_on", _STRING, "", "kind of device it was computed on"),
    *DEVICE,
    Column("orch_version", _STRING, "", "version of this program"),
    Column("torch_version", _STRING, "", "version of torch"),
)
"""The fixed columns of evaluations/; the evaluation's settings follow as dotted columns, then its results."""


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of ``columns``, in their order, all nullable."""
    return pa.schema([pa.field(column.name, column.dtype) for column in columns])
