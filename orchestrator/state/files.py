"""The small files beside a job's results: the submitted job, the state of its run, the request to stop it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic_core import from_json

from orchestrator.errors import NotFoundError, SettingsError, StorageError
from orchestrator.spec.job import make_job
from orchestrator.spec.yaml_file import MAX_BYTES, dump_yaml, parse_yaml
from orchestrator.state.ledger import provenance
from orchestrator.state.process import Process  # noqa: TC001 - pydantic reads it
from orchestrator.state.proposals import with_proposals
from orchestrator.state.records import RECORD_BYTES, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

JOB_KEY = "job.yaml"
JOB_BYTES = 4 * MAX_BYTES
"""A resolved job may be larger than its file by this factor: its defaults and aliases are written out."""
NO_SUCH_JOB = "no such job; 'orch submit' makes one, --storage looks elsewhere"
_STATE_KEY = "run.json"
_CANCEL_KEY = "cancel.json"
BEAT_S = 5.0
"""How often a run writes its state."""
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_800.0
"""The years 1 and 10000, in seconds since 1970: times that no calendar has are refused as damaged."""
_Moment = Annotated[float, Field(ge=_EARLIEST, lt=_LATEST)]


def write_job(store: Store, job: Job) -> None:
    """Store the resolved job and the versions that run it, in place of the previous submission's.

    Raises SettingsError where it could not be read back, StorageError.
    """
    source = f"{store.uri}/{JOB_KEY}"
    data = dump_yaml({**job.resolved(), "provenance": provenance()}).encode()
    if len(data) > JOB_BYTES:
        problem = f"would be too large, expected at most {JOB_BYTES:,} bytes with all defaults written out"
        raise SettingsError(source, "", problem)
    parse_yaml(data.decode(), source)
    store.write(JOB_KEY, data)


def read_job(store: Store, overrides: Iterable[str] = ()) -> Job:
    """The job as it was last submitted, with ``path=value`` overrides, and what its search has proposed.

    Raises NotFoundError where none was, SettingsError where it is damaged.
    """
    try:
        text = store.read(JOB_KEY, JOB_BYTES).decode(errors="replace")
    except NotFoundError as error:
        raise NotFoundError(f"{store.uri}: {NO_SUCH_JOB}") from error
    source = f"{store.uri}/{JOB_KEY}"
    raw = parse_yaml(text, source)
    if not isinstance(raw, dict):
        raise StorageError(f"{source}: damaged; submit the job file again")
    raw.pop("provenance", None)
    return with_proposals(make_job(raw, source, overrides, stored=True), store)


def has_job(store: Store) -> bool:
    """Whether a job was ever submitted to this root."""
    return store.exists(JOB_KEY)


@dataclass(frozen=True)
class Nodes:
    """Numbers of a cluster's nodes: requested (the present included), present, and idle."""

    wanted: int
    present: int
    idle: int


@dataclass(frozen=True)
class EvaluationProgress:
    """The progress of a run's evaluations, without those of trials that failed; ``parts`` counts all their shards."""

    total: int
    done: int = 0
    failed: int = 0
    parts: int = 0
    parts_done: int = 0

    @property
    def over(self) -> bool:
        """Whether none is left to do."""
        return self.done + self.failed >= self.total

    def __str__(self) -> str:
        """``3/12 evaluations (40/160 parts), 1 failed``."""
        parts = f" ({self.parts_done}/{self.parts} parts)" if self.parts > self.total and not self.over else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done}/{self.total} evaluations{parts}{failed}"


@dataclass
class RunState:
    """The state of a run: its driver writes it every few seconds, ``orch status`` reads it."""

    state: str
    """``running``, then how it ended: ``done``, ``interrupted``, ``cancelled``, ``timeout`` after its hours, or
    ``failed`` by an error."""
    started_at: _Moment
    updated_at: _Moment
    to_run: int
    ended: int = 0
    failed: int = 0
    running: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Steps done and steps in all of each trial that is training, by trial id."""
    address: str | None = None
    """The cluster the run is on; None for the machine of the driver."""
    submission_id: str | None = None
    """The run's id in Ray Jobs; None where it was not handed over."""
    nodes: Nodes | None = None
    evaluations: EvaluationProgress | None = None
    run_id: str = ""
    """The run's id in its lease and in a request to stop it; empty in states of earlier versions."""
    process: Process | None = None
    """The run's driver."""
    beat: int = 0
    """How often the state was written; its increase is the sign of life."""

    @property
    def age_s(self) -> float | None:
        """Seconds since it was written, by the clocks of two machines; None where they disagree.

        For display only: no decision uses it.
        """
        age_s = time.time() - self.updated_at
        return age_s if age_s >= 0 else None


def write_state(store: Store, state: RunState) -> None:
    """Replace the stored state."""
    store.write(_STATE_KEY, json.dumps(asdict(state)).encode())


def read_state(store: Store) -> RunState | None:
    """The last state a run wrote; None where there was no run. Raises StorageError where it is damaged."""
    return read_record(store, _STATE_KEY, RunState)


def ask_to_cancel(store: Store, run: RunState) -> None:
    """Store a request to stop for the driver of this run; any other run ignores it."""
    store.write(_CANCEL_KEY, json.dumps({"run": run.run_id}).encode())


def asked_to_cancel(store: Store, run: RunState) -> bool:
    """Whether there is a request to stop this run; a damaged file counts as none."""
    try:
        data = store.read(_CANCEL_KEY, RECORD_BYTES)
    except NotFoundError:
        return False
    try:
        request = from_json(data)  # it refuses deep nesting, where json would raise RecursionError
    except ValueError:
        return False
    return isinstance(request, dict) and request.get("run") == run.run_id


def forget_cancel(store: Store) -> None:
    """Remove the request to stop, once the run has stopped or a new one begins."""
    store.delete(_CANCEL_KEY)


def to_json(value: Any) -> str:
    """JSON for scripts: indented, keys in the order given."""
    return json.dumps(value, indent=2, default=str)
