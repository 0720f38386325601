"""A Ray cluster elsewhere, reached over HTTP: jobs handed to it, followed and stopped with Ray Jobs."""

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
from orchestrator.runtime.runtime_env import entrypoint, environment, staged
from orchestrator.state.marks import Kind, Line, read_marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.runtime.runtime_env import Upload

_CONNECT_S, _ANSWER_S = 5.0, 60.0
_PATIENCE_S = 120.0
"""How long a lost connection is tried again before following ends; the job does not depend on it."""
_QUIET_S = 10.0
"""After so long without a word the cluster is asked whether the job still runs."""
_AGAIN_S = 1.0

_RAY_SAYS = re.compile(r"Running entrypoint for job |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\s+INFO ")
"""How lines of a job's log begin that are Ray's own."""
_RAY_VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Ray's client would let these take the place of the address that it is given."""
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
    "ray._private.runtime_env.working_dir",
)
EVERYTHING_TRAVELS = ["!*"]
"""Ray by itself leaves out folders of some names, such as venv, which may be a class of images."""
_EXIT_CODES = (0, 1, 2, 129, 130, 143)
_INTERRUPTED = 130


class ConnectionLostError(ClusterError):
    """The cluster does not answer, or no longer."""


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client, which by itself waits for an answer for ever."""

    answer_s = _ANSWER_S

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, timeout=(_CONNECT_S, self.answer_s), **options)


class RemoteCluster:
    """The Jobs API of the cluster whose dashboard is at ``address``. Every method raises ClusterError.

    ``answer_s`` is how long each answer may take.
    """

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
        with self._explained(), _without(_RAY_VARIABLES):
            self._client = _Client(self.address, headers=headers)
        self._client.answer_s = answer_s

    def submit(self, upload: Upload, command: Sequence[str] = ("submit",), *, runs: bool = True) -> str:
        """Have a command of ``orch`` that takes a job file run on the cluster, with its options; the submission's id.

        ``runs`` tells that it is no mere look at the plan. Raises DataError where what travels was changed meanwhile.
        """
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
        """The id of the last submission of the job of that name; None where the cluster knows of none."""
        with self._explained():
            found = [each for each in self._client.list_jobs() if (each.metadata or {}).get("orch_job") == job]
        latest = max(found, key=lambda each: each.start_time or 0, default=None)
        return None if latest is None else str(latest.submission_id)

    def ended(self, submission_id: str) -> bool:
        """Whether the submission has come to an end, whichever."""
        with self._explained():
            return bool(self._client.get_job_status(submission_id).is_terminal())

    def queued(self, submission_id: str) -> bool:
        """Whether Ray has not started the submission's driver yet."""
        with self._explained():
            return bool(self._client.get_job_status(submission_id) == JobStatus.PENDING)

    def log(self, submission_id: str) -> list[Line]:
        """What the driver has said so far, without what Ray adds."""
        with self._explained():
            return list(_lines([self._client.get_job_logs(submission_id)]))

    def follow(self, submission_id: str) -> Iterator[Line]:
        """The same line by line as it comes, until the submission has ended.

        A connection that is lost is tried again for two minutes: then ConnectionLostError.
        """
        return _lines(self._insist(submission_id))

    def result(self, submission_id: str) -> int:
        """The exit code of the driver of a submission that has ended. Where it has none to tell, a ClusterError."""
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
        """Ask the driver to end as on Ctrl-C; Ray kills it where it takes longer than two minutes."""
        with self._explained():
            self._client.stop_job(submission_id)

    def _insist(self, submission_id: str) -> Iterator[str]:
        """The log in pieces, none twice, whatever the connection does."""
        given, last_heard = 0, time.monotonic()
        while True:
            try:
                for piece in self._tail(submission_id, given):
                    given, last_heard = given + len(piece), time.monotonic()
                    yield piece
                if self.ended(submission_id):
                    with self._explained():
                        yield self._client.get_job_logs(submission_id)[given:]
                    return
                last_heard = time.monotonic()
            except ConnectionLostError:
                if time.monotonic() - last_heard > _PATIENCE_S:
                    raise
            time.sleep(_AGAIN_S)

    def _tail(self, submission_id: str, given: int) -> Iterator[str]:
        """The log from its character ``given`` on, until the connection ends or the job is found to have ended."""
        with self._explained(), asyncio.Runner() as runner:
            pieces = self._client.tail_job_logs(submission_id)
            while True:
                waiting = runner.get_loop().create_task(anext(pieces, None))
                while not runner.run(asyncio.wait({waiting}, timeout=_QUIET_S))[0]:
                    if self.ended(submission_id):
                        return
                piece = waiting.result()
                if piece is None:
                    return
                yield piece[given:]
                given = max(0, given - len(piece))

    def _version(self, headers: dict[str, str]) -> str:
        """Ray's version on the cluster, which tells at once whether there is one and whether it lets us in."""
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
        except RuntimeError as error:  # what Ray's client makes of any other reply
            if "WebSocket" in str(error):
                raise ConnectionLostError(f"{self.address}: no answer") from error
            raise ClusterError(f"{self.address}: {' '.join(str(error).split())[:300]}") from error


def _checked(address: str) -> str:
    """The URL without what follows its host; ClusterError for anything else."""
    expected = "expected auto, or the URL of a Ray dashboard, such as http://head:8265"
    try:
        parts = urlsplit(address)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = None
    if not whole:
        shown = "a URL with a user's name" if "@" in address else repr(address)
        raise ClusterError(f"--address: got {shown}, {expected}")
    if "@" in parts.netloc:
        raise ClusterError(f"--address: takes no user's name or password, {expected}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _authorization() -> tuple[dict[str, str], str | None]:
    """The header that lets us in, and where its token is from: the places that Ray looks in, in its order."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return {}, None
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path("~/.ray/auth_token").expanduser()
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        source = "RAY_AUTH_TOKEN"
    elif path.is_file() or named:
        try:
            token, source = path.read_text().strip(), str(path)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ClusterError(f"the token in {path} cannot be read: {why}") from error
    else:
        return {}, None
    if not token.isascii() or not token.isprintable():
        raise ClusterError(f"the token from {source} holds characters that no token has")
    return {"Authorization": f"Bearer {token}"}, source


@contextlib.contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """The environment without some variables."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _lines(pieces: Iterable[str]) -> Iterator[Line]:
    """Whole lines out of pieces of text; those that are Ray's own are left out."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            yield from _without_ray(line)
    if rest:
        yield from _without_ray(rest)


def _without_ray(line: str) -> Iterator[Line]:
    return (each for each in read_marks(line) if each.kind is not Kind.NOTE or not _RAY_SAYS.match(each.text))
