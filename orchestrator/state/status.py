"""The state of a job, from its storage alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DataError
from orchestrator.metrics.health import WORST_FIRST, Condition
from orchestrator.settings import TAGS
from orchestrator.spec.columns import declared
from orchestrator.state.ledger import Status
from orchestrator.state.stored import stored_job
from orchestrator.store.bundles import trial_of
from orchestrator.store.tables import parquet_keys, read_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.spec.job import Job, Trial
    from orchestrator.state.files import RunState
    from orchestrator.store.location import Store


@dataclass(frozen=True)
class TrialState:
    """One trial: how it ended, or ``running``, ``interrupted`` (it has begun) or ``waiting``.

    ``unreadable`` where it has ended, but its row cannot be read.
    """

    id: str
    label: str
    state: str
    step: int
    total_steps: int | None
    error: str | None
    health: str = "healthy"
    """Its health by its row or, before there is one, by the rows logged so far; see ``metrics.health``."""
    unwell_at: int | None = None
    """The first step with that health; None where it is healthy."""
    spec_version: int | None = None
    """The spec version of its row where that is an earlier one: a new run trains the trial again."""

    @property
    def note(self) -> str:
        """Its error, or else its earlier version and its health."""
        if self.error:
            return self.error
        notes = [f"spec version {self.spec_version}"] if self.spec_version is not None else []
        notes += [f"{self.health} by step {self.unwell_at}"] if self.unwell_at is not None else []
        return ", ".join(notes)


@dataclass(frozen=True)
class JobState:
    """A job: whether a run is at work on it, and each of its trials."""

    name: str
    running: bool
    updated_s: float | None
    trials: tuple[TrialState, ...]
    run: RunState | None = None
    """The state that the last run wrote."""
    left_out: tuple[str, ...] = ()
    """A line for each file of results that could not be read."""
    tags: tuple[str, ...] = ()
    note: str = ""

    def describe(self) -> str:
        """One line: ``running; 4 finished, 2 waiting``."""
        counts = Counter(_word(trial) for trial in self.trials)
        states = ", ".join(f"{number} {state}" for state, number in counts.most_common())
        evaluations = f"; {self.run.evaluations}" if self.run and self.run.evaluations else ""
        return f"{'running' if self.running else 'not running'}; {states}{evaluations}"

    def where(self) -> str | None:
        """One line on the cluster of the last run, with its nodes while it lasts; None for a run on one machine."""
        if self.run is None or self.run.address is None:
            return None
        parts = [self.run.address, self.run.submission_id or ""]
        if self.running and (nodes := self.run.nodes):
            parts.append(f"nodes: {nodes.wanted} wanted, {nodes.present} present, {nodes.idle} idle")
        return ", ".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """The state as JSON for a script."""
        counts = Counter(trial.state for trial in self.trials)
        return {
            "job": self.name,
            "tags": list(self.tags),
            "note": self.note,
            "running": self.running,
            "updated_s": self.updated_s,
            "run": self.run and self.run.state,
            "address": self.run and self.run.address,
            "submission_id": self.run and self.run.submission_id,
            "nodes": asdict(self.run.nodes) if self.run and self.run.nodes and self.running else None,
            "counts": dict(counts),
            "evaluations": asdict(self.run.evaluations) if self.run and self.run.evaluations else None,
            "left_out": list(self.left_out),
            "trials": [asdict(trial) for trial in self.trials],
        }


def job_status(job: Job, store: Store, run: RunState | None, *, alive: bool = False) -> JobState:
    """The state of every trial of the job, from storage and the last run's state. Raises StorageError.

    ``alive``: the run is at work; see ``liveness.is_alive``. A trial whose row is of an earlier spec version has the
    state of that row until it is trained again.
    """
    recorded = stored_job(job, store)
    job = recorded.job
    ended, unread = _ended(store, [trial.id for trial in job.trials])
    open_ends = [trial.id for trial in job.trials if trial.id not in ended or ended[trial.id].step is None]
    logged, unlogged = _logged(store, open_ends)
    trials = []
    for trial in job.trials:
        end = ended.get(trial.id)
        course = logged.get(trial.id, end or _Course())
        total, error = _total_steps(trial), None
        step = course.step or 0
        if end is not None:
            state, error = end.state, end.error
        elif run is not None and alive and trial.id in run.running:
            state = "running"
            step = max(step, run.running[trial.id][0])
        else:
            state = "interrupted" if step else "waiting"
        health = course.health, course.unwell_at
        version = recorded.versions.get(trial.id)
        trials.append(TrialState(trial.id, label(trial.changes), state, step, total, error, *health, version))
    left_out = tuple(dict.fromkeys((*recorded.left_out, *unread, *unlogged)))
    header, age_s = job.header, run.age_s if run else None
    return JobState(header.name, alive, age_s, tuple(trials), run, left_out, header.tags, header.note)


def _word(trial: TrialState) -> str:
    return trial.state if trial.spec_version is None else f"{trial.state} (spec version {trial.spec_version})"


def label(changes: dict[str, Any]) -> str:
    """A trial's place in the grid in few words: ``least_squares d_steps=3 seed=1``."""
    lasts = Counter(path.rpartition(".")[2] for path in changes)
    words = []
    for path, value in changes.items():
        parts = path.split(".")
        name = parts[-1] if lasts[parts[-1]] == 1 else ".".join(parts[-2:])
        words.append(str(value) if parts[-1] in TAGS else f"{name}={value}")
    return " ".join(words)


def _total_steps(trial: Trial) -> int | None:
    """Steps of the whole trial; None where its data is not on this machine, as with results from elsewhere."""
    try:
        return trial.settings.total_steps
    except DataError:
        return None


@dataclass(frozen=True)
class _Course:
    """The progress and health of a trial, and how it ended."""

    step: int | None = None
    health: str = "healthy"
    unwell_at: int | None = None
    state: str = "unreadable"
    error: str | None = None


_OF_ROW = ("trial_id", "status", "error", "step", *(f"{condition}_at" for condition in WORST_FIRST))


def _ended(store: Store, trials: Sequence[str]) -> tuple[dict[str, _Course], tuple[str, ...]]:
    """The ends of these trials by their rows, for those with a row, and the files left out."""
    stored = set(parquet_keys(store, "trials"))
    keys = [key for trial in trials if (key := f"trials/{trial}.parquet") in stored]
    read = read_files(store, keys, _OF_ROW, declared("trials"))
    courses, left_out = {key: _Course() for key in keys}, list(read.left_out)
    for row in read.table.to_pylist():
        key = f"trials/{row['trial_id']}.parquet"
        if row["status"] not in set(Status):
            left_out.append(f"{key}: status is {str(row['status'])[:40]!r}, expected one of {', '.join(Status)}")
            continue
        health = next((bad for bad in WORST_FIRST if row[f"{bad}_at"] is not None), Condition.HEALTHY)
        courses[key] = _Course(row["step"], str(health), row.get(f"{health}_at"), row["status"], row["error"])
    by_trial = {trial_of(key): course for key, course in courses.items()}
    return by_trial, tuple(left_out)


def _logged(store: Store, trials: Sequence[str]) -> tuple[dict[str, _Course], tuple[str, ...]]:
    """The last step and the health of each trial that has logged any rows, and the files left out."""
    stored = set(parquet_keys(store, "metrics")) if trials else set()
    keys = [key for trial in trials if (key := f"metrics/{trial}.parquet") in stored]
    read = read_files(store, keys, ("trial_id", "step", "health"), declared("metrics"))
    groups = read.table.group_by(["trial_id", "health"]).aggregate([("step", "min"), ("step", "max")]).to_pylist()
    last: dict[str, _Course] = {}
    for row in sorted(groups, key=lambda row: row["step_max"] or 0):
        health = row["health"] or "healthy"
        last[row["trial_id"]] = _Course(row["step_max"], health, None if health == "healthy" else row["step_min"])
    return last, read.left_out
