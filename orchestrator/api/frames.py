"""Data frames that know what their columns are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from orchestrator.store.columns import Column


def declared(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """A copy of ``frame`` with ``attrs["units"]`` and ``attrs["labels"]``, by the names of the columns that have them.

    Columns of Python values have a dtype where one holds them all.
    """
    there = {column.name: column for column in columns if column.name in frame}
    told = frame.infer_objects()
    told = told.copy() if told is frame else told
    told.attrs = {
        "units": {name: column.unit for name, column in there.items() if column.unit},
        "labels": {name: column.heading for name, column in there.items() if column.label},
    }
    return told
