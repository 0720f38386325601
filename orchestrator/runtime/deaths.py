"""What has come of a task or of an actor that Ray says is lost, in a few words of ours."""

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
    # What Ray says, and what that is to a user; the first that fits.
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
    return next((words for said, words in _DIED if re.search(said, text)), text[:300])


def last_error(trial: Trial) -> BaseException | None:
    """The exception by which Tune's trial failed last; None where Tune has kept none."""
    path = Path(trial.pickled_error_file or "")
    if not path.is_file():
        return None
    error: Any = cloudpickle.loads(path.read_bytes())  # Tune wrote it, in this run's own folder
    return error if isinstance(error, BaseException) else None


def inner(error: BaseException) -> BaseException:
    """What a worker raised, without what Ray puts around it."""
    return error.cause if isinstance(error, RayTaskError) else error
