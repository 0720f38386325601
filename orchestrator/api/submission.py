"""Runs a job from Python: the same driver as that of ``orch submit``, in a process of its own.

A driver changes its process: it has signals blocked, Ray in it, and ends where Ray dies. None of that is for a
notebook, which outlives its runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.api.opening import read_study
from orchestrator.errors import SettingsError, SurroundingsError
from orchestrator.spec.job import load_job, make_job
from orchestrator.spec.messages import show
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.api.study import Study
    from orchestrator.spec.job import Job

_SOURCE = "job"
"""The name of a job without a file, in errors."""
_ORCH = (sys.executable, "-m", "orchestrator.cli")
_ERROR = "error: "
_STOPPED = (130, 143, 129)
"""Exit codes of a run that was stopped, by ``orch cancel`` or by a signal."""


def submit(
    job: Mapping[str, Any] | str | os.PathLike[str],
    *,
    overrides: Iterable[str] = (),
    storage: str | None = None,
    retry_failed: bool = False,
) -> Study:
    """Run what is missing of a job on this machine, write its report, and return its study, as ``orch submit`` does.

    ``job`` is a job file, or what stands in one as a dict. ``overrides`` are as ``"training.epochs=5"``; ``storage``
    takes the place of the job's own; with ``retry_failed`` trials run again that failed by their own doing. What the
    run says goes to ``sys.stderr``, line by line. Ctrl-C, or a notebook's interrupt, stops the run as it stops the
    command: trials keep their states, KeyboardInterrupt is raised, and another call goes on.

    A mistake in the job is a SettingsError before anything is started. Whatever else ends the run raises
    SurroundingsError with its last line. Trials that failed raise nothing: they are in ``trials`` with their errors.
    """
    changes = tuple(overrides)
    loaded = _loaded(job, changes)
    name, place = loaded.header.name, loaded.header.storage if storage is None else storage
    store = open_store(place).child(name)
    flags = ["--retry-failed"] if retry_failed else []
    options = [*(["--storage", place] if storage is not None else []), *flags]
    if not isinstance(job, Mapping):
        sets = [word for change in changes for word in ("--set", change)]
        code, error = _run(["submit", os.fspath(job), *sets, *options])
    else:
        with tempfile.TemporaryDirectory(prefix="orch-") as folder:
            file = Path(folder) / f"{name}.yaml"
            file.write_text(dump_yaml(loaded.resolved()))
            again = shlex.join(["orch", "resume", name, "--storage", place, *flags])  # the file will be gone
            code, error = _run(["submit", str(file), *options], again)
    if error or code not in (0, 1):
        stopped = "was stopped; every trial keeps its last state, and another submission goes on"
        raise SurroundingsError(
            error or f"{name}: the run {stopped if code in _STOPPED else f'ended with code {code}'}"
        )
    return read_study(store)


def _loaded(job: Mapping[str, Any] | str | os.PathLike[str], overrides: Sequence[str]) -> Job:
    """The job, validated in this process. Raises SettingsError, DataError."""
    if isinstance(job, str | os.PathLike):
        return load_job(Path(job).expanduser(), overrides)
    if not isinstance(job, Mapping):
        raise SettingsError(_SOURCE, "", f"got {show(job)}, expected a dict or the path of a job file")
    try:
        text = dump_yaml(dict(job))
    except yaml.YAMLError as error:
        kind = type(error.args[1]).__name__ if len(error.args) > 1 else type(error).__name__
        problem = f"holds a value of type {kind}, expected text, numbers, true, false, None, lists and dicts"
        raise SettingsError(_SOURCE, "", problem) from error
    except RecursionError as error:
        raise SettingsError(_SOURCE, "", "is nested too deep") from error
    return make_job(parse_yaml(text, _SOURCE), _SOURCE, overrides)


def _run(arguments: Sequence[str], again: str | None = None) -> tuple[int, str | None]:
    """Run ``orch`` and say what it says; returns its exit code, and the text of its last error.

    ``again`` is the command that goes on, where the run's own words would name a file that is gone by then.
    Raises KeyboardInterrupt where it was interrupted, after it has ended.
    """
    own, error, interrupted = shlex.join(["orch", *arguments]), None, False
    home = str(Path(__file__).parents[2])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(  # noqa: S603 - this program itself
        [*_ORCH, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # a terminal's Ctrl-C would come twice: from there and from here
    ) as process:
        assert process.stdout is not None
        while True:
            try:
                for line in process.stdout:
                    said = line if again is None else line.replace(own, again)
                    sys.stderr.write(said)
                    error = said.removeprefix(_ERROR).rstrip("\n") if said.startswith(_ERROR) else error
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
    if interrupted:
        raise KeyboardInterrupt
    return code, error
