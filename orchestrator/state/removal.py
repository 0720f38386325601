"""Removes a job, some of its trials, or checkpoints: files that this program names so, and nothing else.

The caller holds the job's lease. What is interrupted can be repeated: trials' rows go after their other files, then
the job file, then leases and the record of a copy that is not whole.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from orchestrator.state.copies import COPY_KEY
from orchestrator.state.files import JOB_KEY
from orchestrator.state.held_out import forget_held_out
from orchestrator.state.layout import is_checkpoint, is_ours, trial_in
from orchestrator.state.lease import FOLDER as LEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from orchestrator.store.location import Store

Keep = Literal["best", "last", "none"]
"""Which checkpoints of trials that are done stay: of the best trial alone, the last of each trial, or none."""


def files_of_job(store: Store, figures: Collection[str]) -> dict[str, int]:
    """Key and size of every file of the job; ``figures`` are the keys of those of reports. Raises StorageError."""
    return {key: size for key, size in store.sizes().items() if is_ours(key) or key in figures}


def files_of_trials(store: Store, trials: Collection[str]) -> dict[str, int]:
    """Key and size of every file of some trials, their results on earlier images included. Raises StorageError."""
    return {key: size for key, size in store.sizes().items() if trial_in(key) in trials}


def spare_checkpoints(store: Store, keep: Keep, done: Collection[str], best: Collection[str] = ()) -> dict[str, int]:
    """Key and size of the checkpoints of trials that are ``done`` and not to be kept. Raises StorageError.

    With ``keep="best"`` all those of the trials ``best`` stay, with ``"last"`` the states at the trials' ends.
    """
    found = {key: size for key, size in store.sizes("checkpoints").items() if is_checkpoint(key)}
    return {key: size for key, size in found.items() if trial_in(key) in done and _is_spare(key, keep, best)}


def _is_spare(key: str, keep: Keep, best: Collection[str]) -> bool:
    return key.endswith(".best.pt") if keep == "last" else trial_in(key) not in best


def remove(store: Store, keys: Iterable[str], advance: Callable[[int], None] = lambda _: None) -> None:
    """Delete the files, and the folders that have nothing in them then; ``advance`` is told how many are gone.

    Raises StorageError, LeaseLostError.
    """
    stages: dict[int, list[str]] = {}
    for key in keys:
        stages.setdefault(_stage(key), []).append(key)
    with ThreadPoolExecutor(store.parallel_reads) as pool:
        gone = 0
        for _, group in sorted(stages.items()):
            for _ in pool.map(store.delete, group):
                gone += 1
                advance(gone)
    folders = {folder for group in stages.values() for key in group for folder in _folders(key)}
    for folder in sorted(folders, key=lambda folder: -folder.count("/")):
        store.drop_folder(folder)


def _stage(key: str) -> int:
    """Where in the order a file is removed."""
    if key == COPY_KEY or key.startswith(f"{LEASES}/"):
        return 3
    return 2 if key == JOB_KEY else int(key.startswith("trials/"))


def _folders(key: str) -> list[str]:
    parts = key.split("/")[:-1]
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def remove_trials(store: Store, files: Mapping[str, int], advance: Callable[[int], None] = lambda _: None) -> None:
    """Delete the ``files_of_trials`` and what is recorded of their evaluations. Raises StorageError, LeaseLostError."""
    forget_held_out(store, {trial for key in files if (trial := trial_in(key))})
    remove(store, files, advance)
