"""Slurm's commands, and what they say: a failure is Slurm's own words in one line."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from orchestrator.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER_S = 60.0
"""How long a command may take; a controller that is busy lets them wait."""
ACTIVE = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
    | {"RESV_DEL_HOLD", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "REQUEUE_FED"}
)
"""States of a job that may yet run, or still does; see the manual page of squeue."""
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})


def show(job: str, answer_s: float = ANSWER_S) -> dict[str, str]:
    """What Slurm knows of a job, by its own names; empty for a job that it has forgotten."""
    try:
        text = ask(["scontrol", "show", "job", job], answer_s=answer_s)
    except ClusterError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    # One path may stand on a line of its own, with spaces in it; elsewhere there are several words on a line.
    facts = {key: value.strip() for key, value in re.findall(r"^\s*(StdOut|Command|WorkDir)=(.*)$", text, re.M)}
    return {**dict(re.findall(r"(?<!\S)(\w+)=(\S*)", text)), **facts}


def ask(command: Sequence[str], stdin: str = "", *, answer_s: float = ANSWER_S, errors_too: bool = False) -> str:
    """The output of one of Slurm's commands, with what it says on stderr or without. Raises ClusterError."""
    try:
        done = subprocess.run(  # noqa: S603 - the names are ours, the values are checked
            command, input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=answer_s
        )
    except FileNotFoundError:
        problem = f"{command[0]} is not on the PATH of this machine; give the command on a login node of the cluster"
        raise ClusterError(f"--address slurm: {problem}") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]}: no answer in {answer_s:.0f} s; does Slurm's controller run?") from None
    if done.returncode != 0:
        said = [re.sub(rf"^{command[0]}: (error: )?", "", line).strip() for line in done.stderr.splitlines()]
        raise ClusterError(f"{command[0]}: {'; '.join(filter(None, said))[:500] or f'exit code {done.returncode}'}")
    return done.stdout + done.stderr if errors_too else done.stdout
