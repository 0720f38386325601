"""Ray on this machine, for the time of one command, and quiet."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.plan.gpus import visible_devices
from orchestrator.runtime.interrupt import interrupts_deferred

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.plan.placement import Cluster

_ENVIRONMENT = {
    # Tune's own files of each trial's results would double metrics/.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A trial's first reports may come before its first logged measure.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Tune's state is not what a job goes on from (the ledger is): writing it often only costs time.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextlib.contextmanager
def local_ray(cluster: Cluster, *, gangs: bool) -> Iterator[None]:
    """Start a Ray of its own with this machine's processors and GPUs, and end it on the way out.

    ``gangs`` tells that some trials train on several devices.
    """
    (machine,) = cluster.nodes
    set_environment()
    if machine.gpus and (devices := visible_devices()):
        os.environ["CUDA_VISIBLE_DEVICES"] = devices  # Ray gives each worker entries of it
    import ray

    # Ray prints what it has to say of dead workers to stdout, which is for results; its own logs have it too.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            with interrupts_deferred() as check:
                ray.init(
                    address="local",
                    num_cpus=machine.cpus,
                    num_gpus=machine.gpus,
                    # Ray Train asks the dashboard whether a gang has died, and frees its devices only then.
                    include_dashboard=gangs,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
                silence_loggers()
                check()
            yield
        finally:
            ray.shutdown()


def set_environment() -> None:
    """Tell Ray, before it is imported, to leave to us what is ours; what a user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def silence_loggers() -> None:
    """Leave what is said on the terminal to us; Ray must be up."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def ray_version() -> str:
    """The installed Ray's version."""
    import ray

    return str(ray.__version__)
