"""Jobs handed to Slurm: a batch script that brings up Ray in an allocation, and what sbatch and scontrol say of it."""

from __future__ import annotations

import getpass
import hashlib
import math
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ClusterError, StorageError
from orchestrator.runtime.interrupt import TIMEOUT
from orchestrator.runtime.launchers import SLURM, ConnectionLostError, Standing
from orchestrator.runtime.slurm_commands import ACTIVE, ANSWER_S, WAITING, ask, show
from orchestrator.runtime.slurm_partitions import refuse_impossible
from orchestrator.spec.slurm import merged, read_site
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.state.ledger import COMMIT_VARIABLE, commit_to_send
from orchestrator.state.marks import Line, read_marks
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.spec.job import Job

INTERRUPTED, CANCELLED = 143, 130
"""Exit codes of a driver that SIGTERM has stopped, which is requeued, and of one that a user has stopped."""
_PATIENCE_S = 120.0
"""How long a controller that does not answer is asked again before following ends; the job does not depend on it."""
_POLL_S = 2.0
_FOLDER = "_slurm"
_ASIDE = ("Reason", "NodeList")
_EXIT_CODES = (0, 1, 2, TIMEOUT, 129, CANCELLED, INTERRUPTED)


class Slurm:
    """The Slurm whose commands this machine has. Every method raises ClusterError."""

    address = SLURM
    queues = True

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s

    def place(self, storage: str) -> str:
        """See Launcher. A folder is one that all nodes mount, as the current one is; its path is made absolute."""
        store = open_store(storage)
        return store.uri if isinstance(store, LocalStore) else storage

    def submit(
        self, job: Job, storage: str, command: Sequence[str], notify: Callable[[str], None], *, runs: bool = True
    ) -> str:
        """See Launcher. Nothing is sent along: the nodes see this Python, the package and the current folder."""
        script = write_script(job, storage, command)
        refuse_impossible(options_for(job))
        folder = shared_folder(storage)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be made: {error.strerror or error}") from error
        reply = ask(["sbatch", "--parsable"], script)
        number = reply.strip().splitlines()[-1].partition(";")[0] if reply.strip() else ""
        if not number.isdecimal():
            raise ClusterError(f"sbatch: said {reply[:200]!r}, expected the number of a job")
        return number

    def newest(self, job: str) -> str | None:
        """See Launcher. Slurm knows jobs that have ended for some minutes."""
        columns = ["--noheader", "--states=all", f"--name={job_name(job)}", "--format=%i"]
        numbers = ask(["squeue", f"--user={getpass.getuser()}", *columns]).split()
        return max((number for number in numbers if number.isdecimal()), key=int, default=None)

    def ended(self, submission_id: str) -> bool:
        """See Launcher."""
        state = self._facts(submission_id).get("JobState")
        return state is None or state not in ACTIVE

    def waits(self, submission_id: str) -> str | None:
        """See Launcher. The reason is Slurm's own word, such as Resources or Priority."""
        facts = self._facts(submission_id)
        if facts.get("JobState") not in WAITING:
            return None
        return f"is pending there ({facts.get('Reason', 'None')})"

    def standing(self, job: str, submission_id: str) -> Standing | None:
        """See Launcher. A job of another name has its number on another cluster."""
        facts = self._facts(submission_id)
        state = facts.get("JobState")
        if state is None or facts.get("JobName") != job_name(job):
            return None
        reason, nodes = (None if facts.get(key) in (None, "None", "(null)", "") else facts[key] for key in _ASIDE)
        restarts = facts.get("Restarts", "0")
        requeued = int(restarts) if restarts.isdecimal() else 0
        return Standing(submission_id, state, state in ACTIVE, state in WAITING, reason, nodes, requeued)

    def log(self, submission_id: str) -> list[Line]:
        """See Launcher. Slurm appends to the same file after a requeue."""
        path = self._facts(submission_id).get("StdOut")
        return list(_marked(_read(Path(path), 0))) if path else []

    def follow(self, submission_id: str) -> Iterator[Line]:
        """See Launcher. It tells what the job waits for, and goes on through requeues."""
        offset, told, answered_at = 0, None, time.monotonic()
        path: Path | None = None
        while True:
            try:
                facts = show(submission_id)
                answered_at = time.monotonic()
            except ClusterError as error:
                if time.monotonic() - answered_at > _PATIENCE_S:
                    raise ConnectionLostError(str(error)) from error
                facts = {"JobState": "RUNNING"}
            state, reason = facts.get("JobState", "gone"), facts.get("Reason", "None")
            path = Path(facts["StdOut"]) if "StdOut" in facts else path
            if path is not None:
                data = _read(path, offset)
                whole = data if state not in ACTIVE else data[: data.rfind(b"\n") + 1]
                offset += len(whole)
                yield from _marked(whole)
            if state in WAITING and reason not in ("None", told):
                told = reason
                yield Line(f"Slurm: job {submission_id} is pending ({reason})")
            if state not in ACTIVE:
                if offset == 0:
                    yield Line(f"Slurm: job {submission_id} has ended ({state}) and wrote nothing to {path}")
                return
            time.sleep(_POLL_S)

    def result(self, submission_id: str) -> int:
        """See Launcher."""
        facts = show(submission_id)
        state, code = facts.get("JobState"), facts.get("ExitCode", "").partition(":")[0]
        if state is None:
            raise ClusterError(f"Slurm no longer knows job {submission_id}; orch status has what came of it")
        if state == "CANCELLED":
            return CANCELLED
        if state in ("COMPLETED", "FAILED") and code.isdecimal() and int(code) in _EXIT_CODES:
            return int(code)
        why = f", {facts['Reason']}" if facts.get("Reason", "None") != "None" else ""
        raise ClusterError(f"Slurm ended job {submission_id}: {state}, exit code {code}{why}")

    def stop(self, submission_id: str) -> None:
        """See Launcher. A job that still waits is taken out of the queue."""
        if self.waits(submission_id) is not None:
            self.remove(submission_id)
            return
        # The driver ends as after preemption: without this the job would be put back into the queue.
        ask(["scontrol", "update", f"JobId={submission_id}", "Requeue=0"])
        ask(["scancel", "--signal=TERM", f"{submission_id}.0"])

    def remove(self, submission_id: str) -> None:
        """Cancel a job: one that runs gets SIGTERM, and SIGKILL when Slurm's patience is over."""
        ask(["scancel", submission_id])

    def _facts(self, job: str) -> dict[str, str]:
        return show(job, self._answer_s)


def read_output(storage: str, number: str) -> list[Line]:
    """What a job has printed, by the file alone; empty where it has none here."""
    return list(_marked(_read(shared_folder(storage) / f"{number}.out", 0)))


def job_name(job: str) -> str:
    """The name of a job in Slurm's queue."""
    return f"orch-{job}"


def shared_folder(storage: str) -> Path:
    """The folder, on all nodes, of the job's output and of what its tasks tell each other."""
    store = open_store(storage)
    return Path(store.uri) / _FOLDER if isinstance(store, LocalStore) else Path("~/.orch/slurm").expanduser()


def write_script(job: Job, storage: str, command: Sequence[str]) -> str:
    """The batch script for a job. Raises SettingsError, StorageError for what sbatch cannot be told."""
    folder = str(shared_folder(storage))
    if not folder.isprintable() or re.search(r'["\\%$`]', folder):
        raise StorageError(f"storage: got {storage!r}, of which Slurm's scripts cannot have any of \" \\ % $ `")
    lines = [f"--job-name={job_name(job.header.name)}", *_as_options(options_for(job))]
    lines += ["--ntasks-per-node=1", "--requeue", "--open-mode=append", f'--output="{folder}/%j.out"']
    document = dump_yaml({**job.resolved(), "storage": storage})
    end = f"job-{hashlib.sha256(document.encode()).hexdigest()[:16]}"
    verb, *rest = command
    return _SCRIPT.format(
        options="\n".join(f"#SBATCH {line}" for line in lines),
        python=shlex.quote(sys.executable),
        folder=folder,
        commit=f"{COMMIT_VARIABLE}={shlex.quote(commit_to_send())}",
        job=document,
        end=end,
        verb=verb,
        command=shlex.join(rest),
        interrupted=INTERRUPTED,
    )


def options_for(job: Job) -> dict[str, str | int | bool]:
    """What is asked of sbatch for a job, beside what the launcher sets. Raises SettingsError."""
    return _with_cpus(merged(read_site(), job.header.resources.slurm or {}), job)


def _as_options(options: Mapping[str, str | int | bool]) -> list[str]:
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]


def _with_cpus(options: Mapping[str, str | int | bool], job: Job) -> dict[str, str | int | bool]:
    """The options with processors for as many trials as the GPUs of a node hold; Slurm alone would give one."""
    given = {"cpus-per-task", "cpus-per-gpu", "exclusive", "mincpus"} & options.keys()
    gpus = int(str(options.get("gpus-per-node", 0)).rpartition(":")[2])
    resources = job.header.resources
    if given or not gpus or resources.gpus_per_worker == 0:
        return dict(options)
    workers = gpus * math.floor(1 / (resources.gpus_per_worker or 1.0) + 1e-9)
    return {**options, "cpus-per-task": workers * resources.cpus_per_worker}


_SCRIPT = """\
#!/bin/bash
{options}

# One task on each node brings up Ray among them; the first runs the job. Every attempt has a folder of its own.
folder="{folder}/$SLURM_JOB_ID.${{SLURM_RESTART_COUNT:-0}}"
python={python}
(umask 077 && mkdir "$folder") || {{ echo "error: $(hostname) cannot write $folder"; exit 2; }}
cat >"$folder/job.yaml" <<'{end}'
{job}{end}
export ORCH_ADDRESS=slurm ORCH_SUBMISSION_ID="$SLURM_JOB_ID" {commit}

# Slurm sends USR1 to this script alone, before the time limit; SIGTERM it sends to every process at once.
stop() {{
    until scancel --signal=TERM "$SLURM_JOB_ID.0" || ! kill -0 "$tasks" 2>/dev/null; do sleep 1; done
}}
trap stop USR1
trap : TERM
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpu-bind=none --wait=60 /bin/sh -c '
    [ -x "$0" ] && exec "$0" -P -m orchestrator.runtime.slurm_node "$@"
    echo "error: $(hostname) has no $0: the nodes must see the Python of the login node" | tee "$1/failed" >&2
    exit 2' "$python" "$folder" {verb} "$folder/job.yaml" --address auto {command} &
tasks=$!
while kill -0 "$tasks" 2>/dev/null; do wait "$tasks"; done
wait "$tasks"
code=$?
rm -rf "$folder"
# A job that is cancelled is no longer running, or may not be requeued; not so one near its time limit.
may_go_on() {{ scontrol --oneliner show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING .*Requeue=1 '; }}
if [ "$code" = {interrupted} ] && may_go_on; then
    echo "Slurm: job $SLURM_JOB_ID is requeued and goes on from the trials' last states"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def _read(path: Path, offset: int) -> bytes:
    """A file from ``offset`` bytes on; empty where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ClusterError(f"{path}: cannot be read: {error.strerror or error}") from error


def _marked(data: bytes) -> Iterator[Line]:
    return (part for line in data.decode(errors="replace").splitlines() for part in read_marks(line))
