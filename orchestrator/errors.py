"""Every error a user can meet.

    OrchError                     one line: what is wrong, and what to do about it
    ├── SettingsError             a job file or an override: file, key, value, what is allowed
    ├── DataError                 a data set that is missing, unreadable or too small
    ├── PlacementError            a request that the cluster can never hold
    ├── StorageError              storage that is missing or damaged, or a name that it cannot have
    │   ├── NotFoundError         no object under that key
    │   ├── StorageUnavailable    storage that cannot be used for now: down, full, or its credentials have expired
    │   │   └── StorageMovedError  a folder that was there is gone; it may come back
    │   └── StorageRefused        storage that cannot be used as things stand: no rights, read-only, no such bucket
    ├── SurroundingsError         what ends a run though no trial is to blame
    ├── CheckpointError           a checkpoint that is missing, damaged or of other settings
    ├── EvaluationError           a generator that an evaluation cannot make use of
    ├── ExportError               a model or results that cannot be written in the form asked for
    ├── QueryError                SQL that the results cannot answer
    ├── ClusterError              a Ray cluster that does not answer, refuses, or cannot run the job
    ├── LeaseError                another run of the job is at work on the same storage
    │   └── LeaseLostError        another run has taken this run's place
    └── NonFiniteLossError        training left the range of numbers at a step

The command line prints the message and nothing else. An error that is not an OrchError is a defect of ours.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    """``text`` with line breaks and all else that cannot be printed written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class OrchError(Exception):
    """The root of what users meet; its text is one line, whatever names and values it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class SettingsError(OrchError):
    """A mistake in a job file or an override: ``file: key: got value, expected what is allowed``."""

    def __init__(self, source: str, key: str, problem: str) -> None:
        self.source, self.key, self.problem = source, key, problem
        shown = key if len(key) <= 200 else f"{key[:197]}..."
        super().__init__(f"{source}: {shown}: {problem}" if key else f"{source}: {problem}")


class DataError(OrchError):
    """A data set that is missing, unreadable or too small for what is asked of it."""


class PlacementError(OrchError):
    """A request for devices that the cluster can never meet."""


class StorageError(OrchError):
    """Storage that is missing or damaged, or a name that it cannot have."""


class NotFoundError(StorageError):
    """No object under that key."""


class StorageUnavailable(StorageError):  # noqa: N818 - names a state, as in HTTP's 503
    """Storage that cannot be used for now, whatever the blob: what is waited for may pass, or a user mends it."""


class StorageMovedError(StorageUnavailable):
    """A folder that was there while it was in use is gone."""


class StorageRefused(StorageError):  # noqa: N818 - as above
    """Storage that cannot be used as things stand, whatever the blob: waiting does not help, a user's hand does."""


class SurroundingsError(OrchError):
    """The disk, storage or the system keeps a run from going on: no trial is to blame, and another run can go on."""


class CheckpointError(OrchError):
    """A checkpoint that is missing, damaged or belongs to other settings."""


class EvaluationError(OrchError):
    """A generator that an evaluation cannot make use of."""


class ExportError(OrchError):
    """A model or results that cannot be written in the form asked for."""


class QueryError(OrchError):
    """SQL that the results cannot answer."""


class ClusterError(OrchError):
    """A Ray cluster that does not answer, refuses, or cannot run the job."""


class LeaseError(OrchError):
    """Another run of the job is at work on the same storage, or may be."""


class LeaseLostError(LeaseError):
    """Another run has taken this run's place."""


class NonFiniteLossError(OrchError):
    """A loss became NaN or infinite; ``step`` is the first step at which it did."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"loss is not finite at step {step}")

    def __reduce__(self) -> tuple[type[NonFiniteLossError], tuple[int]]:
        return (NonFiniteLossError, (self.step,))
