"""Plans and states as tables for people and as JSON for scripts."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.durations import duration
from orchestrator.errors import one_line
from orchestrator.plan.plan import CellState
from orchestrator.state.due import describe_due
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.plan.plan import Cell, Plan
    from orchestrator.spec.job import Job

_SHOWN = 60
_STYLE = {CellState.NEW: "green", CellState.CACHED: "dim", CellState.FAILED: "bold red"}


def plan_line(plan: Plan) -> Text:
    """The plan in one line."""
    counts = ", ".join(f"{len(plan.having(state))} {state}" for state in CellState)
    trials = plural(len(plan.cells), "trial")
    if plan.job.space is not None:
        trials = f"at most {plural(len(plan.cells) + plan.to_propose, 'trial')}"
        counts = f"{plan.to_propose} to propose, {counts}"
    about = "" if math.isnan(plan.wall_s) else f" about {duration(plan.wall_s)}{_uncounted(plan)},"
    time = f";{about} {plan}" if plan.to_run else ""
    return Text(f"{plan.job.header.name}: {trials}: {counts}{time}")


def evaluations_line(plan: Plan) -> list[Text]:
    """The evaluations in one line, where the job asks for any."""
    return [Text(f"evaluations: {describe_due(plan.evaluations)}")] if plan.evaluations else []


def note_lines(notes: Iterable[str]) -> list[Text]:
    """A line for each note."""
    return [Text(one_line(f"note: {note}")) for note in notes]


def left_out_lines(job: Job) -> list[Text]:
    """A line for each claim whose trials overrides have removed."""
    return [Text(one_line(line)) for line in job.left_out]


def plan_table(plan: Plan) -> Group:
    """Every cell up to a screenful, then the totals."""
    paths = list(dict.fromkeys(path for cell in plan.cells for path in cell.trial.changes))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in paths:
        table.add_column(heading, overflow="fold")
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for cell in plan.cells[:_SHOWN]:
        values = [one_line(str(cell.trial.changes.get(path, ""))) for path in paths]
        estimate = _at_least_1_s(cell.device_s) if cell.state is CellState.NEW else ""
        state = Text(cell.state, style=_STYLE[cell.state])
        table.add_row(cell.trial.id, state, *values, estimate, Text(_note(cell)))
    lines: list[Any] = [table]
    if len(plan.cells) > _SHOWN:
        lines.append(Text(f"... and {len(plan.cells) - _SHOWN} more (--json lists them all)", style="dim"))
    lines += [
        Text(),
        plan_line(plan),
        *note_lines(plan.notes),
        *evaluations_line(plan),
        *left_out_lines(plan.job),
        Text(f"devices  {_device(plan)}: {plan}"),
        Text(f"estimate {_estimate(plan)}"),
        Text(f"results  {plan.output}"),
    ]
    return Group(*lines)


def plan_json(plan: Plan) -> dict[str, Any]:
    """The whole plan for a script."""
    return {
        "job": plan.job.header.name,
        "output": plan.output,
        **{str(state): len(plan.having(state)) for state in CellState},
        "to_propose": plan.to_propose,
        "placements": [asdict(placement) for placement in plan.placements.values()],
        "device_hours": _or_none(plan.device_s / 3600),
        "wall_s": _or_none(plan.wall_s),
        "problem": plan.problem,
        "notes": list(plan.notes),
        "evaluations": [
            {
                "trial_id": due.trial.id,
                "kind": due.evaluation.kind,
                "evaluation_id": due.evaluation.id,
                "state": str(CellState.NEW if due.missing else CellState.CACHED),
                "shards": due.shards,
                "missing": len(due.missing),
            }
            for due in plan.evaluations
        ],
        "trials": [
            {
                "trial_id": cell.trial.id,
                "state": str(cell.state),
                "workers": cell.trial.workers,
                "resumes": cell.resumes,
                "device_s": _or_none(cell.device_s),
                "error": cell.error,
                "changes": cell.trial.changes,
            }
            for cell in plan.cells
        ],
    }


def _estimate(plan: Plan) -> str:
    """The estimated device-hours and wall time of the new cells."""
    if not plan.to_run:
        return f"nothing to train{_uncounted(plan)}"
    if math.isnan(plan.wall_s):
        return "unknown device-hours"
    hours = plan.device_s / 3600
    length = f"{hours:.2f}" if hours >= 0.01 else "under 0.01"
    return f"{length} device-hours, {duration(plan.wall_s)} from start to end{_uncounted(plan)}{_cut_off(plan)}"


def _cut_off(plan: Plan) -> str:
    """Whether the run will end before its trials have."""
    limit = plan.job.header.resources.max_hours
    if limit is None or plan.wall_s <= limit * 3600:
        return ""
    return f"; a run ends after {duration(limit * 3600)} (resources.max_hours), and orch resume goes on"


def _uncounted(plan: Plan) -> str:
    """What an estimate does not count: evaluations, and trials whose data is missing or too small."""
    uncounted = ["evaluations"] if plan.due else []
    uncounted += ["what cannot be trained here"] if plan.unknown else []
    return f" without {' and '.join(uncounted)}" if uncounted else ""


def _at_least_1_s(seconds: float) -> str:
    return duration(seconds if math.isnan(seconds) else max(1.0, seconds))


def _device(plan: Plan) -> str:
    return next(iter(plan.placements.values())).device


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _note(cell: Cell) -> str:
    if cell.error:
        return one_line(cell.error)
    return "goes on from its checkpoint" if cell.resumes else ""
