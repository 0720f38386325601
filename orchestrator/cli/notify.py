"""Tells a command or a webhook how a run has ended.

Whom is said by an environment variable, not by the job file: a job file may be a stranger's, and is stored beside its
results, while the URL of a webhook is as good as a password. For the same reason no option says it: options are seen by
all users of a machine, and stand in the run's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.cli.console import err
from orchestrator.cli.streams import OutputError, ReaderGoneError
from orchestrator.durations import duration
from orchestrator.errors import SettingsError, one_line
from orchestrator.text import plural

if TYPE_CHECKING:
    from orchestrator.state.files import RunState

VARIABLE = "ORCH_NOTIFY"
"""An environment variable with the URL of a webhook, or with a command and its arguments."""
_LIMIT_S = 20.0
"""How long a webhook or a command may take."""


class _FailedError(Exception):
    """Why nobody was told; the text holds nothing of the variable's value."""


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """Makes an error of a redirection, which would turn the request into one without content."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


@dataclass(frozen=True)
class Notice:
    """Who is told; ``name`` is what may be shown of it: a host, or a program without its arguments."""

    name: str
    url: str | None = None
    command: tuple[str, ...] = ()
    began: float = field(default_factory=time.monotonic)

    def tell(self, job: str, folder: str, state: RunState) -> None:
        """Tell how a run has ended, for at most _LIMIT_S; a failure is a line, and nothing else."""
        content = told_of(job, folder, state, time.monotonic() - self.began)
        problems: list[str] = []

        def send() -> None:
            try:
                _post(self.url, content) if self.url else _run(self.command, content)
            except _FailedError as error:
                problems.append(str(error))

        # A server that answers byte by byte would take longer than any limit of a single request to it.
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(_LIMIT_S + 1)
        if thread.is_alive():
            problems.append(f"no answer in {_LIMIT_S:.0f} s")
        if problems:
            line = f"note: {self.name} was not told that the run has ended: {problems[0]}"
            with contextlib.suppress(OutputError, ReaderGoneError):
                err.print(one_line(line), soft_wrap=True)


def read_notice() -> Notice | None:
    """Whom the environment names, if anybody; the processes of the run do not inherit it. Raises SettingsError.

    The errors hold nothing of the value but a scheme or the name of a program.
    """
    value = os.environ.pop(VARIABLE, "").strip()
    if not value:
        return None
    if "://" in value.partition(" ")[0]:
        return _webhook(value)
    try:
        command = tuple(shlex.split(value))
    except ValueError as error:
        raise SettingsError(VARIABLE, "", f"is no command: {str(error).lower()}") from error
    if not command or shutil.which(command[0]) is None:
        raise SettingsError(VARIABLE, "", f"there is no program {command[0] if command else ''!r}; name one, or a URL")
    return Notice(command[0], command=command)


def _webhook(url: str) -> Notice:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(VARIABLE, "", "is no URL of a webhook, expected https://host/path") from error
    if parts.scheme not in ("http", "https"):
        raise SettingsError(VARIABLE, "", f"got a URL of {parts.scheme}, expected https://host/path or a command")
    if not host or not url.isprintable() or " " in url:
        raise SettingsError(VARIABLE, "", "is no URL of a webhook, expected https://host/path")
    return Notice(host, url=url)


def told_of(job: str, folder: str, state: RunState, seconds: float) -> dict[str, Any]:
    """What is told of a run that has ended. ``text`` is a line on the whole, which chats show."""
    counts = {"to_run": state.to_run, "ended": state.ended, "failed": state.failed}
    if state.evaluations is not None:
        counts |= {f"evaluations_{name}": getattr(state.evaluations, name) for name in ("total", "done", "failed")}
    failed = f", {plural(state.failed, 'trial')} failed" if state.failed else ""
    text = f"{job}: {state.state}; {state.ended} of {plural(state.to_run, 'trial')} ended{failed}; {duration(seconds)}"
    return {
        "text": text,
        "job": job,
        "state": state.state,
        "counts": counts,
        "seconds": round(seconds, 3),
        "folder": folder,
    }


def _post(url: str, content: dict[str, Any]) -> None:
    """Send it as JSON. Raises _FailedError."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers, method="POST")  # noqa: S310 - checked
    try:
        with urllib.request.build_opener(_Unfollowed).open(request, timeout=_LIMIT_S):
            pass
    except urllib.error.HTTPError as error:
        raise _FailedError(f"HTTP {error.code}") from error
    except Exception as error:  # errors of urllib and http.client quote the URL
        reason = getattr(error, "reason", error)
        why = (isinstance(reason, OSError) and reason.strerror) or type(reason).__name__
        raise _FailedError(str(why)) from error


def _run(command: tuple[str, ...], content: dict[str, Any]) -> None:
    """Run it with the content as JSON on its standard input; nothing of its output is kept. Raises _FailedError."""
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError as error:
        raise _FailedError(error.strerror or type(error).__name__) from error
    try:
        process.communicate(json.dumps(content).encode(), timeout=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise _FailedError(f"it did not end in {_LIMIT_S:.0f} s") from error
    if process.returncode:
        raise _FailedError(f"exit code {process.returncode}")
