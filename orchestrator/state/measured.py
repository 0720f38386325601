"""How trials that have ended did by one measure, for a search to learn from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.spec.columns import declared
from orchestrator.state.ledger import Status
from orchestrator.store.tables import read_table

if TYPE_CHECKING:
    from orchestrator.store.location import Store


class Measured(NamedTuple):
    """A trial's end; ``value`` is None where the measure has none that is finite, ``epochs`` how many it trained."""

    status: Status
    value: float | None = None
    epochs: float = 0.0


def measured(status: Status, value: Any, epochs: Any) -> Measured:
    """The same of values as rows and reports have them."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return Measured(status, float(value) if known else None, float(epochs or 0.0))


def read_measured(store: Store, measure: str) -> dict[str, Measured]:
    """Every ended trial below ``store`` by its id. Raises StorageError, also for a file that cannot be read."""
    columns = ["trial_id", "status", "epoch", measure]
    rows = read_table(store, "trials", columns, declared("trials")).whole(store).to_pylist()
    return {row["trial_id"]: measured(Status(row["status"]), row[measure], row["epoch"]) for row in rows}
