"""Which runs froze and when: one row a cell of the grid, from what the trials' rows say. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report.figures import SIGNS
from orchestrator.report.tables import Spread, by_setting
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True)
class Frozen:
    """Of one cell's ``seeds`` the steps at which runs froze, by sign; ``ran`` is how many steps they made."""

    settings: dict[str, Any]
    seeds: int
    steps: dict[str, tuple[int, ...]]
    ran: Spread | None


def frozen_rows(trials: pd.DataFrame, varying: Sequence[str], job: Mapping[str, Any]) -> list[Frozen]:
    """A row for each cell, healthy ones too; none at all when no run froze."""
    if not any(trials[f"{sign}_at"].notna().any() for sign in SIGNS):
        return []
    by = [column for column in varying if column != SEED]
    trials = trials[[*by, *(f"{sign}_at" for sign in SIGNS), "step"]]
    return [
        Frozen(settings, len(cell), {sign: _steps(cell, sign) for sign in SIGNS}, Spread.of(cell["step"].dropna()))
        for settings, cell in by_setting(trials, by, job)
    ]


def fate(trial: Mapping[Any, Any]) -> str:
    """``collapsed at 400``, the first of what befell a trial; empty for a healthy one."""
    found = [(float(trial[f"{sign}_at"]), sign) for sign in SIGNS if trial[f"{sign}_at"] == trial[f"{sign}_at"]]
    return ", ".join(f"{sign} at {step:.0f}" for step, sign in sorted(found))


def _steps(cell: pd.DataFrame, sign: str) -> tuple[int, ...]:
    return tuple(sorted(int(step) for step in cell[f"{sign}_at"].dropna()))
