"""What a training step measures, which depends on the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.store.columns import SIGNALS

if TYPE_CHECKING:
    from orchestrator.objectives import Objective

_PROBABILITIES = {"d_real_probability", "d_fake_probability"}


def signal_names(objective: Objective) -> tuple[str, ...]:
    """What a step measures under an objective, in the order of the tensor that ``Gan.step`` returns."""
    absent = {"k", "m_global", "loss_ratio"} - set(objective.measures)
    if not objective.penalties:
        absent.add("d_penalty")
    if objective.judges == "reconstruction":
        absent |= _PROBABILITIES
    return tuple(column.name for column in SIGNALS if column.name not in absent)
