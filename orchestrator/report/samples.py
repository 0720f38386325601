"""The sample grids worth showing, small enough for a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from orchestrator.report.pictures import PROBLEMS, Album, encode, read_picture, shrink
from orchestrator.report.tables import by_setting, evenly
from orchestrator.report.text import SEED, described

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from orchestrator.report.results import Results
    from orchestrator.store.location import Store

SHOWN = 36
"""So many grids are shown at most, and FILMS of them with earlier epochs; the page says what is left out."""

FILMS, FRAMES = 12, 6
GRID_SIDE, FRAME_SIDE = 320, 128
"""Longer sides are scaled down to this many pixels."""

BUDGET = 5_000_000
"""Bytes of PNG after which no further grid is shown."""


@dataclass(frozen=True)
class Sample:
    """The pictures of one trial: ``pixels`` (h, w) or (h, w, 3) uint8 of its last epoch, ``png`` the same coded.

    ``frames`` are the upper left quarters of the grids of ``frame_epochs``, in order; both empty without a film.
    """

    trial_id: str
    settings: dict[str, Any]
    seed: Any
    epoch: int
    pixels: NDArray[np.uint8]
    png: bytes
    frame_epochs: tuple[int, ...] = ()
    frames: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The samples to show, one a cell of the grid, how many cells are left out, and what was wrong with others."""

    samples: tuple[Sample, ...]
    left_out: int
    problems: tuple[str, ...]


def gallery(store: Store, results: Results, by: Sequence[str]) -> Gallery:
    """For each cell of equal settings ``by``: the last epoch's grid of the first seed that has a readable one."""
    samples: list[Sample] = []
    problems: list[str] = []
    left_out = size = 0
    trials = results.trials[["trial_id", "status", *dict.fromkeys([*by, *({SEED} & set(results.settings))])]]
    for settings, cell in by_setting(trials, by, results.job):
        if len(samples) >= SHOWN or size > BUDGET or len(problems) >= PROBLEMS:
            left_out += any(trial in results.samples for trial in cell["trial_id"])
            continue
        film = len(samples) < FILMS
        for trial, seed in _by_seed(cell):
            found = _sample(store, trial, settings, seed, results.samples.get(trial, {}), problems, film=film)
            if found:
                samples.append(found)
                size += len(found.png)
                break
    return Gallery(tuple(samples), left_out, tuple(problems))


def reconstructions(results: Results, shown: Sequence[Sample], names: Mapping[str, str]) -> Album:
    """Of each sample shown, images before and after an autoencoder if there is one, at its first and last epoch."""
    album = Album(results.store)
    for sample in shown:
        keys = results.autoencoders.get(sample.trial_id, {})
        for epoch in sorted({min(keys), max(keys)} if keys else ()):
            title = ", ".join(filter(None, (described(sample.settings, names), f"epoch {epoch}")))
            alt = f"{title}: training images, these after the autoencoder; generated ones likewise, if it judges them."
            album.add(keys[epoch], sample.trial_id, title, alt)
    return album


def _by_seed(cell: pd.DataFrame) -> list[tuple[str, Any]]:
    """Trial ids and seeds in the order of the seeds; trials that failed come last, whatever their seed."""
    seeds = cell[SEED].tolist() if SEED in cell else [None] * len(cell)
    rows = zip(cell["trial_id"], seeds, cell["status"] == "failed", strict=True)
    return [(trial, seed) for trial, seed, _ in sorted(rows, key=lambda row: (row[2], row[1] is None, row[1] or 0))]


def _sample(
    store: Store,
    trial: str,
    settings: dict[str, Any],
    seed: Any,
    keys: Mapping[int, str],
    problems: list[str],
    *,
    film: bool,
) -> Sample | None:
    for epoch in sorted(keys, reverse=True):
        if len(problems) >= PROBLEMS:
            return None
        grid = read_picture(store, keys[epoch], problems)
        if grid is not None:
            break
    else:
        return None
    pixels = shrink(grid, GRID_SIDE)
    frame_epochs, frames = [], []
    for shown in evenly([e for e in sorted(keys) if e <= epoch], FRAMES) if film else []:
        earlier = grid if shown == epoch else read_picture(store, keys[shown], problems)
        if earlier is not None:
            quarter = earlier.crop((0, 0, max(1, earlier.width // 2), max(1, earlier.height // 2)))
            frame_epochs.append(shown)
            frames.append(shrink(quarter, FRAME_SIDE))
    if len(frames) < 2:
        frame_epochs, frames = [], []
    return Sample(
        trial, settings, seed, epoch, pixels, encode(Image.fromarray(pixels)), tuple(frame_epochs), tuple(frames)
    )


def strip(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """The frames side by side, 4 white pixels apart, as one PNG; each is (h, w) or (h, w, 3)."""
    height = max(frame.shape[0] for frame in frames)
    width = max(frame.shape[1] for frame in frames)
    mode = "L" if all(frame.ndim == 2 for frame in frames) else "RGB"
    image = Image.new(mode, (len(frames) * (width + 4) - 4, height), color="white")
    for place, frame in enumerate(frames):
        image.paste(Image.fromarray(frame).convert(mode), (place * (width + 4), 0))
    return encode(image)
