"""A process that reads results and draws pages, so that the server answers meanwhile and stays small."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from orchestrator.errors import NotFoundError, OrchError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Given = ParamSpec("Given")

T = TypeVar("T")
IDLE_S = 300.0
"""A process that has had nothing to do for so long is ended, and started again when there is."""
_LOG = logging.getLogger(__name__)
_PARENT_S = 1.0


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """What a call came to: its value, or the line of its error, as not every error can be sent from a process."""

    value: T | None
    error: str = ""
    kind: type[OrchError] = OrchError


class Worker:
    """Calls functions one after the other in a process of its own, which a later call starts anew where it has ended.

    ``executor`` takes its place in tests.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._given, self._pool = executor, executor
        self._used, self._at_work = time.monotonic(), 0

    async def call(self, function: Callable[Given, T], *arguments: Given.args, **named: Given.kwargs) -> T:
        """The value of a function of a module. Raises its OrchError, or one that says that the process was lost."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # this process has threads, which a fork would not have
            self._pool = ProcessPoolExecutor(1, context, _begin, (os.getpid(),))
        pool, self._at_work = self._pool, self._at_work + 1
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(pool, _outcome, function, arguments, named)
        except BrokenExecutor:
            if self._pool is pool:
                self._pool = self._given
            raise OrchError("the process that reads results has ended, as for want of memory; try again") from None
        finally:
            self._at_work -= 1
            self._used = time.monotonic()
        if outcome.error:
            raise outcome.kind(outcome.error)
        return cast("T", outcome.value)

    def rest(self) -> None:
        """End the process where it has long had nothing to do."""
        if not self._at_work and time.monotonic() - self._used > IDLE_S:
            self.end()

    def end(self) -> None:
        """End the process, whatever it does."""
        pool, self._pool = self._pool, self._given
        if isinstance(pool, ProcessPoolExecutor):
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


def _outcome(function: Callable[..., T], arguments: tuple[Any, ...], named: dict[str, Any]) -> _Outcome[T]:
    try:
        return _Outcome(function(*arguments, **named))
    except NotFoundError as error:
        return _Outcome(None, str(error), NotFoundError)
    except StorageError as error:
        return _Outcome(None, str(error), StorageError)
    except OrchError as error:
        return _Outcome(None, str(error))


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the server, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_S)
    os._exit(0)
