"""Why a task or an actor that Ray reports as lost has failed, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError

from orchestrator.runtime.trainer import describe

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

_DIED = (
    # A pattern of Ray's messages, and its meaning to a user; the first that matches counts.
    (r"low on memory|OutOfMemoryError|memory usage threshold", "Ray ended its process: its node ran out of memory"),
    (r"node has died|node is dead|NodeDiedError", "its node died"),
    (r"worker process has died|WorkerCrashedError", "its worker process died (killed, out of memory, or crashed)"),
    (r"OwnerDiedError", "the process that held its data died"),
)


def cause_of(error: BaseException) -> str:
    """One line on an exception that Ray raised: the error in it, or what has died."""
    if isinstance(error, RayTaskError):
        return describe(error.cause)
    if not isinstance(error, RayError):
        return describe(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return next((meaning for pattern, meaning in _DIED if re.search(pattern, text)), text[:300])


def last_error(trial: Trial) -> BaseException | None:
    """The exception of the last failure of Tune's trial; None where Tune has stored none."""
    path = Path(trial.pickled_error_file or "")
    if not path.is_file():
        return None
    error: Any = cloudpickle.loads(path.read_bytes())  # Tune wrote it, in this run's own folder
    return error if isinstance(error, BaseException) else None


def inner(error: BaseException) -> BaseException:
    """The exception that a worker raised, without Ray's wrapper."""
    return error.cause if isinstance(error, RayTaskError) else error
