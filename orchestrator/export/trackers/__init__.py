"""Experiment trackers, one file each; each writes what it lacks of a trial, so that twice changes nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from orchestrator.export.records import Record
    from orchestrator.store.location import Store

Name = Literal["tensorboard", "mlflow", "wandb"]
NAMES: tuple[Name, ...] = get_args(Name)


class Tracker(Protocol):
    """Where trials are written to as runs, by their ids."""

    where: str
    """As a user would write it, without secrets."""

    def add(self, record: Record, store: Store) -> bool:
        """Write what the tracker lacks of a trial, with pictures from ``store``; whether it lacked anything."""

    def settle(self) -> None:
        """Wait until all that was added is where it is to be."""


def open_tracker(name: Name, target: str, job: str) -> Tracker:
    """The tracker at a folder, or at a server's address, for the trials of a job.

    Raises ExportError where its package is not installed, and where the target is none.
    """
    tracker: Tracker = import_module(f"{__name__}.{name}").open_at(target, job)
    return tracker
