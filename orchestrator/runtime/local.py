"""A quiet Ray on this machine, for the time of one command."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ClusterError
from orchestrator.plan.gpus import visible_devices
from orchestrator.runtime.interrupt import children_block_signals, interrupts_deferred
from orchestrator.runtime.privacy import SYSTEM_CONFIG, closed_to_others, variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psutil

    from orchestrator.plan.placement import Cluster

_ENVIRONMENT = {
    # Tune's own files of each trial's results would double metrics/.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A trial's first reports may come before its first logged measure.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # We handle Ctrl-C: Tune would end at a second one while trials store their state.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A job goes on from the ledger, not from Tune's state: writing that often only costs time.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Worker groups look at drained nodes themselves: Ray Train would start an actor for that with each.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_STARTED_WHEN_NEEDED = {"prestart_worker_first_driver": False}
"""Ray would start a process for each processor at once; Tune's workers, which have variables of their own, use none."""
_INNER = "r"
"""The folder within the private one that Ray gets: Ray opens the folder that it gets to everyone."""
_SOCKET = f"/{_INNER}/session_2000-01-01_00-00-00_000000_{{pid}}/sockets/dash_MetricsHead"
"""The longest name of a socket that Ray makes below the private folder."""
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
_START_S = 120.0
STARTS, TOO_SLOW = 3, "timed out during startup"
"""How often Ray is started where it did not come up within the 30 s that it gives itself, and what it says then."""
_END_S = 5.0


@contextlib.contextmanager
def local_ray(cluster: Cluster) -> Iterator[None]:
    """Start a Ray of its own with this machine's processors and GPUs, and end it on the way out.

    Everything that Ray writes goes into a folder of this run's own. Raises ClusterError where Ray cannot be started.
    """
    (machine,) = cluster.nodes
    set_environment()
    if machine.gpus and (devices := visible_devices()):
        os.environ["CUDA_VISIBLE_DEVICES"] = devices  # Ray gives each worker entries of it
    import ray  # noqa: F401 - where it is not installed, nothing below makes sense

    options = {
        "address": "local",
        "num_cpus": machine.cpus,
        "num_gpus": machine.gpus,
        "include_dashboard": False,
        "_system_config": {**SYSTEM_CONFIG, **_STARTED_WHEN_NEEDED},
        # What goes wrong is reported in one line, by the error that is raised.
        "logging_level": logging.CRITICAL,
        "log_to_driver": False,
    }
    # Ray prints messages about dead workers to stdout, which is for results; its own logs have them too.
    with (
        ray_folder() as folder,
        closed_to_others(Path(folder).parent),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        options["_temp_dir"] = folder
        _try_in_subprocess(options)
        try:
            with interrupts_deferred() as check:
                _start(options, folder)
                check()
            yield
        finally:
            with interrupts_deferred():
                _end()


@contextlib.contextmanager
def private_folder(base: str | None = None) -> Iterator[str]:
    """A temporary folder that only this user can enter, of a name that nobody can guess, which is removed afterwards.

    It is made in ``base``, or where this system has its temporary files. Raises ClusterError.
    """
    where = None if base is None else str(Path(base).absolute())
    try:
        folder = tempfile.TemporaryDirectory(prefix="orch-", dir=where, ignore_cleanup_errors=True)
    except OSError as error:
        raise ClusterError(
            f"cannot start Ray: no folder can be made in {where or 'any of the folders for temporary files'}: "
            f"{error.strerror or error}; set {'TMPDIR' if base is None else 'RAY_TMPDIR'} to one that can be written"
        ) from error
    with folder as path:
        yield path


@contextlib.contextmanager
def ray_folder() -> Iterator[str]:
    """A folder for Ray within a private one; its path leaves room for the sockets that Ray makes below it."""
    default = "/tmp" if sys.platform == "darwin" else None  # noqa: S108 - TMPDIR is too deep there, always
    with private_folder(os.environ.get("RAY_TMPDIR") or default) as folder:
        base = str(Path(folder).parent)
        variable, size = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR", len(os.fsencode(base))
        limit = _SOCKET_BYTES - len(os.fsencode(folder + _SOCKET.format(pid=os.getpid()))) + size
        if size > limit:
            raise ClusterError(
                f"cannot start Ray: {variable}: got {base!r} ({size} bytes), expected at most {limit}: below it Ray "
                f"makes sockets, whose paths may have {_SOCKET_BYTES}; set RAY_TMPDIR to a shorter folder, such as /tmp"
            )
        inner = Path(folder) / _INNER
        inner.mkdir()
        yield str(inner)


def _try_in_subprocess(options: dict[str, Any]) -> None:
    """Where the address space is limited, try to start Ray in another process first: its native code may crash."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    program = f"import ray; ray.init(**{options!r}); ray.shutdown()"
    try:
        result = subprocess.run(  # noqa: S603 - it is this Python
            [sys.executable, "-c", program],
            cwd=options["_temp_dir"],
            capture_output=True,
            check=False,
            timeout=_START_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        cause: BaseException | None = error
    else:
        if result.returncode == 0:
            return
        cause = None
    raise ClusterError(
        f"cannot start Ray: it does not come up with {limit / 2**30:.1f} GiB of address space (ulimit -v); "
        "lift that limit, or limit the memory by other means"
    ) from cause


def _start(options: dict[str, Any], folder: str) -> None:
    """Start Ray, whose processes import what this one does, and keep their temporary files in ``folder``."""
    entries = [Path(entry).absolute() for entry in sys.path if Path(entry).exists()]
    modules = os.pathsep.join(dict.fromkeys(map(str, entries)))
    import psutil
    import ray

    for attempt in range(1, STARTS + 1):
        before = psutil.Process().children()
        try:
            # Ray's workers search modules in the current folder first, before the standard library.
            with (
                children_block_signals(),
                variables({"PYTHONPATH": modules, "TMPDIR": folder}),
                contextlib.chdir(folder),
            ):
                ray.init(**options)
        except Exception as error:
            _kill(child for child in psutil.Process().children() if child not in before)
            text = " ".join(str(error).split())[:300] or type(error).__name__
            if TOO_SLOW not in text or attempt == STARTS:
                raise ClusterError(f"cannot start Ray on this machine: {text}") from error
        else:
            break
    silence_loggers()


def _end() -> None:
    """End Ray and the processes it has started, which block the SIGTERM by which Ray would end them."""
    import psutil
    import ray

    from orchestrator.runtime.ray_private import started_processes

    started = [info.process for infos in started_processes().values() for info in infos]
    children = []
    for process in started:
        process.terminate = process.kill
        with contextlib.suppress(psutil.NoSuchProcess):
            children += psutil.Process(process.pid).children(recursive=True)
    with uncollected():
        ray.shutdown()
    _kill(children)


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Kill them, and wait a moment for their end."""
    import psutil

    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + _END_S
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Leave no garbage to other threads in this context.

    A reference of Ray's that another thread drops while Ray shuts down ends the process.
    """
    enabled = gc.isenabled()
    gc.disable()
    gc.collect()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs; a zombie does not."""
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def set_environment() -> None:
    """Set Ray's environment variables before it is imported; those that a user has set stay."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def silence_loggers() -> None:
    """Keep Ray's loggers off the terminal; Ray must be up."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def ray_version() -> str:
    """The installed Ray's version."""
    import ray

    return str(ray.__version__)
