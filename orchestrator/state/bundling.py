"""Copies of the rows of trials that are done, for readers of thousands of them: see ``store.bundles``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.spec.columns import declared
from orchestrator.state.ledger import read_ledger
from orchestrator.store.bundles import LEAST, read_bundled, trial_of, write_bundles
from orchestrator.store.tables import read_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.store.location import Store


def bundle_results(store: Store) -> None:
    """Copy the rows and metrics of trials that are done into bundles, once many have none. Raises StorageError.

    The rows of other trials may still change.
    """
    bundle_trials(store, [trial_id for trial_id, ended in read_ledger(store).items() if ended.status.final])


def bundle_trials(store: Store, trial_ids: Sequence[str]) -> None:
    """Copy the rows and metrics of these trials into bundles, once many have none. Raises StorageError."""
    if len(trial_ids) < LEAST:
        return
    for folder in ("trials", "metrics"):
        stamps = store.stamps(folder)
        keys = [key for trial_id in trial_ids if (key := f"{folder}/{trial_id}.parquet") in stamps]
        bundled = {
            f"{folder}/{trial_id}.parquet"
            for rows in read_bundled(store, folder, keys, [], declared(folder))
            for trial_id in rows["trial_id"].unique().to_pylist()
        }
        _bundle(store, folder, [key for key in keys if key not in bundled], stamps)


def _bundle(store: Store, folder: str, keys: Sequence[str], stamps: dict[str, str]) -> None:
    if len(keys) < LEAST:
        return
    table = read_files(store, keys, schema=declared(folder)).table
    write_bundles(store, folder, table, {trial_of(key): stamps[key] for key in keys})
