"""The sample grids worth showing, small enough for a page, and how they developed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report.blocks import Gallery, Grid, Heading, Items, Picture, Section, Text
from orchestrator.report.pictures import PROBLEMS, TOLD, Album, read_picture, shrink
from orchestrator.study import evenly
from orchestrator.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from orchestrator.report.blocks import Block
    from orchestrator.study import Study

ORDER = 120
FOLLOWS = "samples"
SHOWN = 36
"""So many grids are shown at most, and FILMS of them with earlier epochs; the page says what is left out."""

FILMS, FRAMES = 12, 6
GRID_SIDE, FRAME_SIDE = 320, 128
"""Longer sides are scaled down to this many pixels."""

PANELS, PANELS_BUDGET = 5, 3_000_000
"""Epochs of which images before and after an autoencoder are shown, the first and the last among them; their bytes."""

BUDGET = 5_000_000
"""Bytes of PNG after which no further grid is shown."""


@dataclass(frozen=True)
class Sample:
    """The pictures of one trial of a cell: ``grid`` of its last epoch, and a ``film`` of frames of several epochs.

    A frame is the upper left quarter of an epoch's grid; there is no film of a single epoch.
    """

    settings: dict[str, Any]
    seed: Any
    epoch: int
    grid: Picture
    film: Picture | None


@dataclass(frozen=True)
class Samples:
    """The samples to show, one a cell of the grid, how many cells are left out, and what was wrong with others."""

    samples: tuple[Sample, ...]
    left_out: int
    problems: tuple[str, ...]


def build(study: Study) -> Section:
    """The last grid of each cell, films, and images before and after an autoencoder."""
    grids = sample_grids(study)
    blocks: list[Block] = []
    if not grids.samples:
        words = f"No sample grids {'that can be shown' if grids.problems else 'were stored'}."
        blocks.append(Text(words, "missing"))
    else:
        words = (
            "Images generated after the last stored epoch, of the first seed that has any; the same latents at every "
            "epoch. A click on the trial leads to its row."
        )
        blocks.append(Text(words))
    if grids.left_out:
        words = f"Left out to keep this page small: {grids.left_out} further settings; their grids lie under samples/."
        blocks.append(Text(words, "notes"))
    if grids.problems:
        blocks.append(Items(grids.problems, "notices", most=TOLD))
    if grids.samples:
        blocks += [sample_grid(study, grids.samples), *_films(grids.samples)]
    words = (
        "From above: training images and what becomes of them by way of their codes; where the autoencoder is a "
        "discriminator, also generated images and what it makes of these: early on it may turn anything into an image "
        f"like the data's. Up to {PANELS} of the stored epochs, the first and the last among them."
    )
    of = "images before and after the autoencoder"
    blocks += reconstructions(study, grids.samples).blocks("Before and after the autoencoder", of, words)
    return Section("samples", "Samples", "Samples", tuple(blocks))


def sample_grids(study: Study) -> Samples:
    """For each cell the last epoch's grid of the first seed that has a readable one."""
    samples: list[Sample] = []
    problems: list[str] = []
    left_out = size = 0
    for cell in study.cells():
        if len(samples) >= SHOWN or size > BUDGET or len(problems) >= PROBLEMS:
            left_out += any(trial in study.samples for trial in cell.rows["trial_id"])
            continue
        for trial, seed in _by_seed(cell.rows):
            sample = _sample(study, trial, cell.settings, seed, problems, film=len(samples) < FILMS)
            if sample:
                samples.append(sample)
                size += len(sample.grid.png)
                break
    return Samples(tuple(samples), left_out, tuple(problems))


def sample_grid(study: Study, samples: Sequence[Sample]) -> Grid:
    """The samples in rows and columns: a column for each value of the first factor, a row for each mix of others."""
    columns: dict[str, int] = {}
    rows: dict[str, dict[int, Picture]] = {}
    for sample in samples:
        first, *others = sample.settings or {"": None}
        head = study.describe({first: sample.settings[first]}) if first else ""
        label = _lines(study, {column: sample.settings[column] for column in others})
        rows.setdefault(label, {})[columns.setdefault(head, len(columns))] = sample.grid
    places = range(len(columns))
    laid = tuple((label, tuple(map(row.get, places))) for label, row in rows.items())
    return Grid("Sample grids", tuple(columns), laid, "samples")


def _films(samples: Sequence[Sample]) -> list[Block]:
    films = tuple(sample.film for sample in samples if sample.film)
    if not films:
        return []
    shown = f" Shown for the first {len(films)} of them." if len(films) < len(samples) else ""
    words = f"The upper left quarter of the same grids.{shown}"
    gallery = Gallery(films, "films", "films")
    return [Heading("How they developed"), Text(words), gallery]


def reconstructions(study: Study, samples: Sequence[Sample]) -> Album:
    """Of each sample shown, images before and after an autoencoder if there is one, at epochs evenly spaced.

    Where not all of them fit, the first and the last epoch of every sample go before those between.
    """
    album = Album(study.store, budget=PANELS_BUDGET)
    between: list[tuple[bool, int, int]] = []
    for place, sample in enumerate(samples):
        epochs = evenly(sorted(study.autoencoders.get(sample.grid.trial_id, {})), PANELS)
        between += [(epoch not in (epochs[0], epochs[-1]), place, epoch) for epoch in epochs]
    order: dict[tuple[str, str], tuple[int, int]] = {}
    for _, place, epoch in sorted(between):
        trial = samples[place].grid.trial_id
        title = ", ".join(filter(None, (study.describe(samples[place].settings), f"epoch {epoch}")))
        alt = f"{title}: training images, these after the autoencoder; generated ones likewise, if it judges them."
        order[trial, title] = place, epoch
        album.add(study.autoencoders[trial][epoch], trial, title, alt)
    album.pictures.sort(key=lambda picture: order[picture.trial_id, picture.title])
    return album


def _lines(study: Study, settings: Mapping[str, Any]) -> str:
    return "\n".join(study.describe({column: value}) for column, value in settings.items())


def _by_seed(rows: pd.DataFrame) -> list[tuple[str, Any]]:
    """Trial ids and seeds in the order of the seeds; trials that failed come last, whatever their seed."""
    seeds = rows[SEED].tolist() if SEED in rows else [None] * len(rows)
    keyed = zip(rows["trial_id"], seeds, rows["status"] == "failed", strict=True)
    return [(trial, seed) for trial, seed, _ in sorted(keyed, key=lambda one: (one[2], one[1] is None, one[1] or 0))]


def _sample(
    study: Study, trial: str, settings: dict[str, Any], seed: Any, problems: list[str], *, film: bool
) -> Sample | None:
    keys = study.samples.get(trial, {})
    for epoch in sorted(keys, reverse=True):
        if len(problems) >= PROBLEMS:
            return None
        grid = read_picture(study.store, keys[epoch], problems)
        if grid is not None:
            break
    else:
        return None
    epochs, frames = [], []
    for shown in evenly([e for e in sorted(keys) if e <= epoch], FRAMES) if film else []:
        earlier = grid if shown == epoch else read_picture(study.store, keys[shown], problems)
        if earlier is not None:
            quarter = earlier.crop((0, 0, max(1, earlier.width // 2), max(1, earlier.height // 2)))
            epochs.append(shown)
            frames.append(shrink(quarter, FRAME_SIDE))
    words = study.describe(settings if seed is None else {**settings, SEED: seed}) or "the only setting"
    last = f"Grid of generated images after epoch {epoch}: {words}"
    pixels = shrink(grid, GRID_SIDE)
    picture = Picture(trial, words, last, f"{words}, epoch {epoch}", (pixels,))
    return Sample(settings, seed, epoch, picture, _film(_lines(study, settings), words, trial, epochs, frames))


def _film(
    title: str, words: str, trial: str, epochs: Sequence[int], frames: Sequence[NDArray[np.uint8]]
) -> Picture | None:
    if len(frames) < 2:
        return None
    alt = f"Generated images after epochs {', '.join(map(str, epochs))}: {words}"
    return Picture(trial, title, alt, words, tuple(frames), tuple(f"epoch {epoch}" for epoch in epochs))
