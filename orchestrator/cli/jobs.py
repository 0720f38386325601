"""list: the jobs of a storage."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.columns import print_columns
from orchestrator.cli.console import err, out, shown, spinner
from orchestrator.cli.options import STORAGE, AsJson, StorageName, open_storage
from orchestrator.durations import duration
from orchestrator.text import size

if TYPE_CHECKING:
    from orchestrator.state.jobs import Summary

_ROWS = 200


def list_(
    storage: StorageName = STORAGE,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only jobs that have this tag; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a storage: state, trials that have ended, last change, size, tags, note.

    Those at work come first, then those that changed last. Tags and note are those of the job as last submitted.

    Examples: `orch list` · `orch list s3://bucket/studies` · `orch list --tag paper` ·
    `orch list --json | jq '.[].job'`
    """
    from orchestrator.state.files import to_json
    from orchestrator.state.jobs import summaries

    root = open_storage(storage)
    with spinner("looking at the jobs"):
        jobs = summaries(root, tags or ())
    if as_json:
        typer.echo(to_json([_as_json(job) for job in jobs]))
        return
    if not jobs:
        which = "with " + " and ".join(map(shown, tags)) if tags else "yet; orch submit jobs/quickstart.yaml makes one"
        err.print(f"{root.uri}: no jobs {which}", soft_wrap=True)
        return
    headings = ("job", "state", "trials", "last change", "size", "tags", "note")
    print_columns(out, headings, [_row(job) for job in jobs[:_ROWS]], whole=(0, 2))
    if len(jobs) > _ROWS:
        out.print(f"... and {len(jobs) - _ROWS} more (--json lists them all)")


def _row(job: Summary) -> tuple[str, ...]:
    trials = str(job.ended) if job.trials is None else f"{job.ended}/{job.trials}"
    if job.failed:
        trials += f", {job.failed} failed"
    note = job.problem or job.note
    return job.name, shown(job.state), trials, _ago(job.changed_at), size(job.size), " ".join(job.tags), shown(note)


def _ago(seconds: float | None) -> str:
    """How long ago a moment was; the moment itself where another machine's clock was ahead."""
    if seconds is None:
        return ""
    ago = time.time() - seconds
    return f"{duration(ago)} ago" if ago >= 0 else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _as_json(job: Summary) -> dict[str, Any]:
    changed = None if job.changed_at is None else datetime.fromtimestamp(job.changed_at, UTC).isoformat()
    return {
        "job": job.name,
        "state": job.state,
        "ended": job.ended,
        "trials": job.trials,
        "failed": job.failed,
        "changed_at": changed,
        "bytes": job.size,
        "tags": list(job.tags),
        "note": job.note,
        "problem": job.problem or None,
    }
