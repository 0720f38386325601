"""Every picture of the report with its words: curves over the step, sample grids, films of the epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report import text
from orchestrator.report.figures import FLOOR, POINTS, Quantity, curves, picture_matrix
from orchestrator.report.layout import Layout, curve_layout
from orchestrator.report.results import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results
    from orchestrator.report.samples import Sample


@dataclass(frozen=True)
class Topic:
    """A figure that every study has: its file's name, title, what it shows, and its rows of panels."""

    name: str
    title: str
    shows: str
    quantities: tuple[Quantity, ...]


TOPICS = (
    Topic(
        "losses",
        "Losses",
        "Losses of different objectives are different quantities, so each panel has its own scale.",
        (Quantity("d_loss", "D loss", shared=False), Quantity("g_loss", "G loss", shared=False)),
    ),
    Topic(
        "gradients",
        "Generator gradient",
        "Above the Euclidean norm of the gradient over the generator's parameters, below the mean over images of "
        f"|∂L_G/∂F|, by which the loss scales it. Logarithmic; values under {FLOOR:.0e} are drawn there.",
        (
            Quantity("g_grad_norm", "G gradient norm", log=True),
            Quantity("g_score_gradient", r"mean $|\partial L_G / \partial F|$", log=True),
        ),
    ),
    Topic(
        "discriminator",
        "Discriminator outputs",
        "Mean of σ(score) on real and on generated images: the probability of being real that the score stands for, "
        "or, where the objective's scores are no logits, as with least squares, only a squashed score.",
        (
            Quantity("d_real_probability", "D(real), mean σ", limits=(-0.02, 1.02)),
            Quantity("d_fake_probability", "D(fake), mean σ(F)", limits=(-0.02, 1.02)),
        ),
    ),
)


@dataclass(frozen=True)
class Drawing:
    """A figure as PNG: ``wide`` with its panels side by side, ``narrow`` with all of them in one column."""

    name: str
    title: str
    alt: str
    caption: str
    wide: bytes
    narrow: bytes


@dataclass(frozen=True)
class Curves:
    """The drawn figures, and what they leave out."""

    drawings: tuple[Drawing, ...]
    left_out: tuple[str, ...]


def draw_curves(results: Results, varying: Sequence[str], names: dict[str, str]) -> Curves:
    """Draw each topic for each group of settings; no drawing when no trial has both a row and measurements."""
    runs = dict(tuple(results.metrics.groupby("trial_id")))
    measured = results.trials[results.trials["trial_id"].isin(list(runs))]
    if measured.empty:
        return Curves((), ())
    layout = curve_layout(measured, varying, results.job, names)
    drawings = []
    for number, group in enumerate(layout.groups, start=1):
        cells = _cells(measured, layout, group, runs)
        for topic in TOPICS:
            wide = curves(cells, layout, names, topic.quantities)
            narrow = curves(cells, layout, names, topic.quantities, stacked=True)
            name = topic.name if number == 1 else f"{topic.name}-{number}"
            where = text.described(group, names)
            drawings.append(
                Drawing(
                    name,
                    f"{topic.title}, {where}" if where else topic.title,
                    _alt(topic, layout, names, where),
                    f"{topic.shows} {_seeds(cells, layout)}",
                    wide,
                    narrow,
                )
            )
    return Curves(tuple(drawings), layout.left_out)


def _cells(
    trials: pd.DataFrame, layout: Layout, group: Mapping[str, Any], runs: Mapping[Any, pd.DataFrame]
) -> dict[tuple[Any, Any, Any], list[pd.DataFrame]]:
    """The curves of each (panel, colour, style) cell of a group, one a seed."""
    cells: dict[tuple[Any, Any, Any], list[pd.DataFrame]] = {}
    for column, value in group.items():
        trials = trials[[own == value for own in trials[column]]]
    axes = [axis.setting for axis in (layout.panel, layout.colour, layout.style)]
    for position, trial in enumerate(trials["trial_id"]):
        panel, colour, style = (trials[axis].iloc[position] if axis else None for axis in axes)
        cells.setdefault((panel, colour, style), []).append(runs[trial])
    return cells


def _alt(topic: Topic, layout: Layout, names: Mapping[str, str], where: str) -> str:
    words = [f"{text.listing(_spoken(quantity) for quantity in topic.quantities)} against the training step"]
    for axis, role in ((layout.panel, "a panel"), (layout.colour, "a colour"), (layout.style, "a line style")):
        if axis.setting:
            values = text.listing(text.setting(value) for value in axis.values)
            words.append(f"{role} for each {names[axis.setting]} ({values})")
    return "; ".join([*words, where] if where else words) + ". The last values are in the trials table."


def _spoken(quantity: Quantity) -> str:
    return "mean |∂L_G/∂F|" if "$" in quantity.label else quantity.label


def _seeds(cells: Mapping[Any, Sequence[pd.DataFrame]], layout: Layout) -> str:
    most = max((len(seeds) for seeds in cells.values()), default=0)
    told = "One trial a line." if most <= 1 else "Line: mean over seeds; band: from the least seed to the greatest."
    longest = max((seed["step"].nunique() for seeds in cells.values() for seed in seeds), default=0)
    return f"{told} Points are means over a {POINTS}th of the run." if longest > POINTS else told


@dataclass(frozen=True)
class Matrix:
    """Samples in rows and columns: a column for each value of one setting, a row for each mix of the others."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Sample | None, ...]], ...]


def sample_matrix(samples: Sequence[Sample], names: Mapping[str, str]) -> Matrix:
    """Lay out ``samples``, which all have the same settings in the same order; the first one gives the columns."""
    columns: dict[str, int] = {}
    rows: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        first, *others = sample.settings or {"": None}
        head = f"{names[first]} = {text.setting(sample.settings[first])}" if first else ""
        label = _lines({column: sample.settings[column] for column in others}, names)
        rows.setdefault(label, {})[columns.setdefault(head, len(columns))] = sample
    places = range(len(columns))
    return Matrix(tuple(columns), tuple((label, tuple(map(row.get, places))) for label, row in rows.items()))


def draw_samples(samples: Sequence[Sample], names: Mapping[str, str]) -> dict[str, bytes]:
    """The sample grids as one labelled picture, and the films as another; by file name, none without samples."""
    drawn = {}
    if samples:
        matrix = sample_matrix(samples, names)
        pictures = [[sample.pixels if sample else None for sample in row] for _, row in matrix.rows]
        drawn["samples"] = picture_matrix(pictures, [label for label, _ in matrix.rows], matrix.columns)
    films = [sample for sample in samples if sample.frames]
    if films:
        longest = max(films, key=lambda film: len(film.frames))
        epochs = [f"epoch {epoch}" for epoch in longest.frame_epochs]
        # Trials that ended at different epochs have different frames: then no heading holds for all.
        heads = epochs if len({film.frame_epochs for film in films}) == 1 else [""] * len(epochs)
        pictures = [[*film.frames, *[None] * (len(heads) - len(film.frames))] for film in films]
        drawn["films"] = picture_matrix(pictures, [_lines(film.settings, names) for film in films], heads)
    return drawn


def _lines(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return "\n".join(f"{names[column]} = {text.setting(value)}" for column, value in settings.items())


def sample_words(sample: Sample, names: dict[str, str]) -> str:
    """The settings of a sample's trial, its seed included."""
    settings = dict(sample.settings)
    if sample.seed is not None:
        settings[SEED] = sample.seed
    return text.described(settings, names) or "the only setting"
