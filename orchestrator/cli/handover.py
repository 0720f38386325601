"""Jobs that run on a cluster elsewhere: handed over, followed, and left alone when the user leaves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from orchestrator.cli.console import complain, err, out
from orchestrator.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.runtime.remote import RemoteCluster
    from orchestrator.spec.job import Job

_RESULTS = ("results  ", "report   ")
"""How the lines begin that a run prints to stdout."""
_ERROR = "error: "


def hand_over(job: Job, storage: str, address: str, command: Sequence[str], *, detach: bool) -> None:
    """Have the cluster run a command for the job; unless the user leaves, print what it says, and leave as it did."""
    cluster = connect(address)
    submission = cluster.submit(job, storage, command)
    name = job.header.name
    if detach:
        out.print(submission, soft_wrap=True)
        _tell_how_to_go_on(name, storage, cluster.address)
        return
    err.print(f"{submission} is on {cluster.address}; Ctrl-C stops following, not the job", soft_wrap=True)
    follow(cluster, submission, name, storage)


def follow(cluster: RemoteCluster, submission: str, name: str, storage: str) -> None:
    """Print what a submission says until it has ended, and leave with its exit code."""
    from orchestrator.runtime.remote import ConnectionLostError

    try:
        for line in cluster.follow(submission):
            (out if line.startswith(_RESULTS) else err).print(Text(line), soft_wrap=True)
        code = cluster.result(submission)
    except (KeyboardInterrupt, ConnectionLostError) as error:
        why = "following stopped" if isinstance(error, KeyboardInterrupt) else str(error)
        err.print(f"{why}; {submission} goes on without", soft_wrap=True)
        _tell_how_to_go_on(name, storage, cluster.address)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def show_remote_plan(job: Job, storage: str, address: str, *, retry_failed: bool, as_json: bool) -> None:
    """Print the plan that the cluster makes of the job, with its devices and what it finds in storage."""
    cluster = connect(address)
    command = ["submit", "--dry-run", *(["--retry-failed"] if retry_failed else []), *(["--json"] if as_json else [])]
    submission = cluster.submit(job, storage, command, runs=False)
    lines = list(cluster.follow(submission))
    problems = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    lines = [line for line in lines if not line.startswith(_ERROR)]
    if as_json and "{" in lines:  # between the first and the last brace: a library may have had its say as well
        lines = lines[lines.index("{") : len(lines) - lines[::-1].index("}")]
    for line in lines:
        typer.echo(line)
    for problem in problems:
        complain(problem)
    raise typer.Exit(cluster.result(submission))


def connect(address: str) -> RemoteCluster:
    """The cluster at a dashboard's URL. Raises ClusterError."""
    if address == "auto":
        raise ClusterError("--address: got 'auto', expected the URL of a Ray dashboard, such as http://head:8265")
    from orchestrator.runtime.remote import RemoteCluster

    return RemoteCluster(address)


def _tell_how_to_go_on(name: str, storage: str, address: str) -> None:
    for verb, options in (
        ("status", []),
        ("logs", ["-f"]),
        ("cancel", []),
        ("logs", ["-f", "--address", address]),
    ):
        err.print(f"  {shlex.join(['orch', verb, name, '--storage', storage, *options])}", soft_wrap=True)
