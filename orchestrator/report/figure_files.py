"""Figures of a report as files, and the list of them: what an earlier report wrote is removed, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.store.location import is_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.store.location import Store

FIGURES = "report/figures"
_LIST = "report/figures.json"
"""By file name a hash of the content of each figure that a report wrote, or is about to."""
_LIST_BYTES, _FIGURE_BYTES = 1_000_000, 100_000_000
_NAME = re.compile(r"[^/]+\.png")


def write_figures(store: Store, figures: Mapping[str, bytes]) -> None:
    """Write figures, by name without an ending, in place of those of earlier reports. Raises StorageError.

    One that an earlier report wrote, and that is not among them, is removed unless it was changed since.
    """
    hashes = {f"{name}.png": _hash(png) for name, png in figures.items()}
    before = _read_list(store)
    _write_list(store, {**before, **hashes})  # first, so that the next report knows those of one that was killed
    for name, png in figures.items():
        store.write(f"{FIGURES}/{name}.png", png)
    for name in before.keys() - hashes.keys():
        if _is_unchanged(store, f"{FIGURES}/{name}", before[name]):
            store.delete(f"{FIGURES}/{name}")
    _write_list(store, hashes)


def written_figures(store: Store) -> set[str]:
    """Keys of the figures that a report wrote, or was about to. Raises StorageError."""
    return {f"{FIGURES}/{name}" for name in _read_list(store)}


def _read_list(store: Store) -> dict[str, str]:
    """The list of an earlier report; empty where it cannot be read, which leaves that report's figures in place."""
    data = _read_ours(store, _LIST, _LIST_BYTES)
    try:
        listed = TypeAdapter(dict[str, str]).validate_json(data or b"{}")
    except ValidationError:
        return {}
    return {name: content for name, content in listed.items() if _NAME.fullmatch(name) and is_key(f"{FIGURES}/{name}")}


def _write_list(store: Store, hashes: Mapping[str, str]) -> None:
    store.write(_LIST, json.dumps(dict(sorted(hashes.items())), indent=0).encode())


def _is_unchanged(store: Store, key: str, content: str) -> bool:
    data = _read_ours(store, key, _FIGURE_BYTES)
    return data is not None and _hash(data) == content


def _read_ours(store: Store, key: str, limit: int) -> bytes | None:
    """What a report wrote there; None where there is nothing, or what no report writes: a link, a huge file."""
    try:
        return store.read(key, limit)
    except StorageUnavailable:
        raise
    except StorageError:
        return None


def _hash(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()
