"""A remote Ray cluster over HTTP: submit jobs to it, follow and stop them with Ray Jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from orchestrator.errors import ClusterError
from orchestrator.runtime.interrupt import TIMEOUT
from orchestrator.runtime.launchers import ConnectionLostError
from orchestrator.runtime.ray_private import CHATTY_LOGGERS
from orchestrator.runtime.runtime_env import check_storage_is_shared, entrypoint, environment, pack, staged
from orchestrator.state.marks import Kind, Line, read_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orchestrator.spec.job import Job

_CONNECT_S, _ANSWER_S = 5.0, 60.0
_PATIENCE_S = 120.0
"""How long a lost connection is retried before following ends; the job does not depend on it."""
_QUIET_S = 10.0
"""After this time without output, ask the cluster whether the job still runs."""
_RETRY_S = 1.0

_RAY_LINE = re.compile(r"Running entrypoint for job |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\s+INFO ")
"""The beginnings of Ray's own lines in a job's log."""
_RAY_VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Variables that Ray's client would use instead of the address that it is given."""
_CHATTY = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", *CHATTY_LOGGERS)
EVERYTHING_TRAVELS = ["!*"]
"""An excludes list that excludes nothing: by default Ray omits folders such as venv, which may be a class of images."""
_EXIT_CODES = (0, 1, 2, TIMEOUT, 129, 130, 143)
_INTERRUPTED = 130


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client with a timeout: without one it waits for an answer forever."""

    answer_s = _ANSWER_S

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, timeout=(_CONNECT_S, self.answer_s), **options)


class RemoteCluster:
    """The Jobs API of the cluster whose dashboard is at ``address``. Every method raises ClusterError.

    ``answer_s`` is how long each answer may take.
    """

    queues = False

    def __init__(self, address: str, answer_s: float = _ANSWER_S) -> None:
        self.address, self._answer_s = _checked(address), answer_s
        headers, self._token_from = _authorization()
        version = self._version(headers)
        if version.split(".")[:2] != ray.__version__.split(".")[:2]:
            raise ClusterError(
                f"{self.address}: the cluster runs Ray {version}, this machine has Ray {ray.__version__}; "
                "both must be of the same minor version"
            )
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._explained(), _unset(_RAY_VARIABLES):
            self._client = _Client(self.address, headers=headers)
        self._client.answer_s = answer_s

    def place(self, storage: str) -> str:
        """See Launcher."""
        check_storage_is_shared(storage)
        return storage

    def submit(
        self, job: Job, storage: str, command: Sequence[str], notify: Callable[[str], None], *, runs: bool = True
    ) -> str:
        """See Launcher. Raises DataError for what cannot be sent, and where a file was changed meanwhile."""
        upload = pack(job, storage)
        for line in upload.describe():
            notify(line)
        verb, *options = command
        submission_id = f"orch-{upload.name}-{secrets.token_hex(4)}"
        with staged(upload) as (working, package), self._explained():
            self._client.submit_job(
                entrypoint=entrypoint(ray.__version__, [verb, "job.yaml", "--address", "auto", *options]),
                submission_id=submission_id,
                runtime_env={
                    "working_dir": str(working),
                    "py_modules": [str(package)],
                    "env_vars": environment(submission_id, self.address),
                    "excludes": EVERYTHING_TRAVELS,
                },
                metadata={"orch_job": upload.name, "orch_storage": upload.storage} if runs else {},
            )
        return submission_id

    def newest(self, job: str) -> str | None:
        """The id of the last submission of the job of that name; None where the cluster has none."""
        with self._explained():
            submissions = [item for item in self._client.list_jobs() if (item.metadata or {}).get("orch_job") == job]
        latest = max(submissions, key=lambda item: item.start_time or 0, default=None)
        return None if latest is None else str(latest.submission_id)

    def ended(self, submission_id: str) -> bool:
        """Whether the submission has ended, in whatever way."""
        with self._explained():
            return bool(self._client.get_job_status(submission_id).is_terminal())

    def waits(self, submission_id: str) -> str | None:
        """See Launcher."""
        with self._explained():
            return "is queued there" if self._client.get_job_status(submission_id) == JobStatus.PENDING else None

    def standing(self, job: str, submission_id: str) -> None:
        """See Launcher. Ray's queue says no more than ``waits`` does."""

    def log(self, submission_id: str) -> list[Line]:
        """The driver's output so far, without Ray's own lines."""
        with self._explained():
            return list(_lines([self._client.get_job_logs(submission_id)]))

    def follow(self, submission_id: str) -> Iterator[Line]:
        """The driver's output line by line as it comes, until the submission has ended.

        A lost connection is retried for two minutes. Then it raises ConnectionLostError.
        """
        return _lines(self._tail_until_ended(submission_id))

    def result(self, submission_id: str) -> int:
        """The exit code of the driver of a submission that has ended. Raises ClusterError where it has none."""
        with self._explained():
            details = self._client.get_job_info(submission_id)
        if details.status == JobStatus.STOPPED:
            return _INTERRUPTED
        code = 0 if details.status == JobStatus.SUCCEEDED else details.driver_exit_code
        if code in _EXIT_CODES:
            return int(code)
        cause = " ".join((details.message or "no cause is known").split())[:300]
        raise ClusterError(f"{submission_id} failed on the cluster: {cause}")

    def stop(self, submission_id: str) -> None:
        """Have the driver end as on Ctrl-C; Ray kills it where that takes longer than two minutes."""
        with self._explained():
            self._client.stop_job(submission_id)

    def _tail_until_ended(self, submission_id: str) -> Iterator[str]:
        """The log in pieces, each once, also where the connection is lost in between."""
        offset, connected_at = 0, time.monotonic()
        while True:
            try:
                for piece in self._tail(submission_id, offset):
                    offset, connected_at = offset + len(piece), time.monotonic()
                    yield piece
                if self.ended(submission_id):
                    with self._explained():
                        yield self._client.get_job_logs(submission_id)[offset:]
                    return
                connected_at = time.monotonic()
            except ConnectionLostError:
                if time.monotonic() - connected_at > _PATIENCE_S:
                    raise
            time.sleep(_RETRY_S)

    def _tail(self, submission_id: str, offset: int) -> Iterator[str]:
        """The log from its character ``offset`` on, until the connection or the job has ended."""
        with self._explained(), asyncio.Runner() as runner:
            pieces = self._client.tail_job_logs(submission_id)
            while True:
                pending = runner.get_loop().create_task(anext(pieces, None))
                while not runner.run(asyncio.wait({pending}, timeout=_QUIET_S))[0]:
                    if self.ended(submission_id):
                        return
                piece = pending.result()
                if piece is None:
                    return
                yield piece[offset:]
                offset = max(0, offset - len(piece))

    def _version(self, headers: dict[str, str]) -> str:
        """Ray's version on the cluster: this first request also checks the address and the token."""
        try:
            with self._explained():
                url, timeout = f"{self.address}/api/version", (_CONNECT_S, self._answer_s)
                reply = requests.get(url, headers=headers, timeout=timeout, allow_redirects=False)
        except ConnectionLostError as error:
            raise ClusterError(f"{error}; is it the dashboard's address, and can this machine reach it?") from error
        if reply.status_code in (401, 403) and "authentication token" in reply.text:
            raise ClusterError(self._refused())
        try:
            return str(reply.json()["ray_version"])
        except (ValueError, KeyError, TypeError):
            problem = f"answers (HTTP {reply.status_code}), but not as the dashboard of a Ray cluster does"
            raise ClusterError(f"{self.address}: {problem}; expected a URL such as http://head:8265") from None

    def _refused(self) -> str:
        if self._token_from is None:
            problem = "the cluster wants a token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it"
        else:
            problem = f"the cluster refuses the token from {self._token_from}: it is another cluster's, or out of date"
        return f"{self.address}: {problem} (on the cluster RAY_AUTH_MODE is token)"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise ClusterError(self._refused()) from error
        except requests.exceptions.SSLError as error:
            raise ClusterError(f"{self.address}: its certificate is not trusted, or it speaks no TLS") from error
        except (requests.RequestException, aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"{self.address}: no answer") from error
        except RuntimeError as error:  # Ray's client raises it for any other reply
            if "WebSocket" in str(error):
                raise ConnectionLostError(f"{self.address}: no answer") from error
            raise ClusterError(f"{self.address}: {' '.join(str(error).split())[:300]}") from error


def _checked(address: str) -> str:
    """The URL without query and fragment. Raises ClusterError where it is no URL of a dashboard."""
    expected = "expected auto, or the URL of a Ray dashboard, such as http://head:8265"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = None
    if not valid:
        shown = "a URL with a user's name" if "@" in address else repr(address)
        raise ClusterError(f"--address: got {shown}, {expected}")
    if "@" in parts.netloc:
        raise ClusterError(f"--address: takes no user's name or password, {expected}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _authorization() -> tuple[dict[str, str], str | None]:
    """The header with the token, and the token's source: Ray's own sources, in its order. Raises ClusterError."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return {}, None
    configured = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(configured) if configured else Path("~/.ray/auth_token").expanduser()
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        source = "RAY_AUTH_TOKEN"
    elif path.is_file() or configured:
        try:
            token, source = path.read_text().strip(), str(path)
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not text"
            raise ClusterError(f"the token in {path} cannot be read: {cause}") from error
    else:
        return {}, None
    if not token.isascii() or not token.isprintable():
        raise ClusterError(f"the token from {source} holds characters that no token has")
    return {"Authorization": f"Bearer {token}"}, source


@contextlib.contextmanager
def _unset(names: Iterable[str]) -> Iterator[None]:
    """Unset environment variables, and restore them afterwards."""
    previous = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(previous)


def _lines(pieces: Iterable[str]) -> Iterator[Line]:
    """The whole lines of a text that comes in pieces, without Ray's own lines."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            yield from _without_ray(line)
    if rest:
        yield from _without_ray(rest)


def _without_ray(line: str) -> Iterator[Line]:
    return (part for part in read_marks(line) if part.kind is not Kind.NOTE or not _RAY_LINE.match(part.text))
