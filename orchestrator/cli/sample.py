"""sample: images from a trained generator, as files."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress

from orchestrator.cli.completion import trial_argument
from orchestrator.cli.console import err, print_line
from orchestrator.cli.options import JobName, NamedJob, Storage, name_job
from orchestrator.cli.usage import one_of
from orchestrator.errors import SettingsError, StorageError
from orchestrator.text import number, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from torch import Tensor

    from orchestrator.store.local import LocalStore
    from orchestrator.study.trained import Trained

_TOGETHER = 256
"""Files that are encoded and written side by side."""
_LINES_EVERY_S = 15.0

TrialOrBest = Annotated[str | None, trial_argument("The beginning of a trial's id; else the best one.")]


def sample(
    job: JobName,
    trial: TrialOrBest = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Images; with --interpolate, strips.")] = 64,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder for the PNG files.")] = "samples",
    seed: Annotated[int, typer.Option("--seed", help="Source of the latent vectors.")] = 0,
    truncation: Annotated[
        float | None, typer.Option("--truncation", metavar="T", help="Latent vectors within [-T, T], T at most 10.")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="One sheet of all images, at most 1024.")] = False,
    interpolate: Annotated[
        str | None,
        typer.Option("--interpolate", metavar="WAY", help="Strips between two latents each: spherical or linear."),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="WHICH", help="last, or best: of the lowest FID while it trained.")
    ] = "last",
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="Where to compute: cpu or cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same names.")] = False,
    storage: Storage = None,
) -> None:
    """Draw images from a trained generator, by its averaged weights where there are any, as PNG files.

    Without TRIAL it is the report's best trial: by the measure of the job's search, else by FID, else by a claim's.
    The same seed gives the same images, whatever their number. A file's name has what its content follows from.

    Examples: `orch sample quickstart --out images` · `orch sample quickstart -n 64 --grid` ·
    `orch sample quickstart 1f3a -n 50000 --out images --seed 1 --device cuda` ·
    `orch sample quickstart -n 8 --interpolate spherical --grid` ·
    `orch sample truncation --truncation 0.7 --checkpoint best --storage s3://bucket/studies`
    """
    target = _target(out)
    which: Literal["last", "best"] = one_of("--checkpoint", checkpoint, ("last", "best"))
    named = name_job(job, storage)
    named.require()
    trained, chosen = _load(named, trial, device, which)
    made = _made(trained, count, seed, truncation, interpolate)
    stem = _stem(trained.trial_id, which, seed, truncation, interpolate)
    names = [f"{stem}-sheet{count}.png"] if grid else [f"{stem}-{place:05d}.png" for place in range(count)]
    if not force and (there := next(filter(target.exists, names), None)):
        raise _there_already(target, there)
    if grid:
        _write(target, names[0], _sheet(_counted(made, count), count, strips=interpolate is not None), force)
    else:
        _write_each(target, names, _counted(made, count), force)
    where = f"{target.uri}/{names[0] if len(names) == 1 else f'{stem}-*.png'}"
    print_line(f"{plural(count, 'image' if interpolate is None else 'strip')} of trial {chosen}: {where}")


def _target(out: str) -> LocalStore:
    from orchestrator.spec.messages import show
    from orchestrator.store.local import LocalStore
    from orchestrator.store.open import open_store

    try:
        target = open_store(out)
    except StorageError:
        target = None
    if not isinstance(target, LocalStore):
        raise SettingsError("--out", "", f"got {show(out)}, expected a folder of this machine")
    return target


def _load(named: NamedJob, trial: str | None, device: str, which: Literal["last", "best"]) -> tuple[Trained, str]:
    """The trial's networks, and its id with why it was chosen."""
    from orchestrator.store.snapshot import Snapshot
    from orchestrator.study import load_study
    from orchestrator.study.best import best_trial
    from orchestrator.study.trained import known_ids, load_trained

    store = Snapshot(named.store)
    if trial is not None or len(known_ids(store, named.from_file)) == 1:
        trained = load_trained(store, trial or "", device, which, named.from_file)
        return trained, trained.trial_id
    best = best_trial(load_study(store, named.from_file), "best_fid" if which == "best" else None)
    trained = load_trained(store, best.trial_id, device, which, named.from_file)
    return trained, f"{best.trial_id} (the best by {best.measure}: {number(best.value)})"


def _made(
    trained: Trained, count: int, seed: int, truncation: float | None, interpolate: str | None
) -> Iterator[Tensor]:
    """Images (c, h, w), or strips of them (n, c, h, w), one after the other."""
    from orchestrator.study.samples import draw, paths_between

    if interpolate is not None:
        return paths_between(trained, count, interpolate, seed, truncation)
    return (image for images in draw(trained, count, seed, truncation) for image in images.cpu())


def _stem(trial_id: str, which: str, seed: int, truncation: float | None, interpolate: str | None) -> str:
    """The beginning of names of files: what their content follows from."""
    decides = {"best": which == "best", f"seed{seed}": True, f"t{truncation}": truncation, interpolate: interpolate}
    return "-".join([trial_id, *(str(part) for part, told in decides.items() if told)])


def _counted(made: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The same; a terminal shows how many there are, a file or pipe gets a line now and then."""
    if err.is_terminal:
        with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=err, transient=True) as progress:
            yield from progress.track(made, count, description="drawing")
        return
    due = time.monotonic() + _LINES_EVERY_S
    for place, one in enumerate(made, start=1):
        yield one
        if time.monotonic() > due:
            err.print(f"{place} of {count} drawn")
            due = time.monotonic() + _LINES_EVERY_S


def _sheet(made: Iterator[Tensor], count: int, *, strips: bool) -> bytes:
    """One PNG of all images, or of all strips one below the other. Raises SettingsError where there are too many."""
    import torch

    from orchestrator.study.samples import check_sheet, in_rows, sheet_of

    check_sheet(count)
    return sheet_of(list(made) if strips else in_rows(torch.stack(list(made))))


def _write_each(target: LocalStore, names: Iterable[str], made: Iterator[Tensor], force: bool) -> None:
    """Write a file for each, some at a time: no more than these are held in memory."""
    from orchestrator.study.samples import png_of

    pairs = zip(names, made, strict=True)
    with ThreadPoolExecutor(target.parallel_reads) as pool:
        while together := list(islice(pairs, _TOGETHER)):
            list(pool.map(lambda pair: _write(target, pair[0], png_of(pair[1]), force), together))


def _write(target: LocalStore, name: str, png: bytes, force: bool) -> None:
    if not target.write(name, png, replace=force):
        raise _there_already(target, name)


def _there_already(target: LocalStore, name: str) -> StorageError:
    return StorageError(f"--out: {target.uri}/{name} is there already; name another folder, or replace it with --force")
