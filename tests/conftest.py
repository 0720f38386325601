"""Fixtures that several packages share: an S3 server in a process of its own, and a proxy that misbehaves."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import botocore.session
import pytest

from orchestrator.store import s3 as s3_module
from tests.s3 import ENVIRONMENT, Proxy, simulated_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: more threads only wait
# A trial of two processors has two threads all the same, which would wait for each other at full speed: where others
# want the same processors, that takes five times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Ray lets its workers give way to whatever else runs, which here are the tests of the other processes: they would wait.
os.environ.setdefault("RAY_worker_niceness", "0")

if threading.current_thread() is threading.main_thread():
    # Where a shell has put the tests into the background, or nohup keeps them from hearing of a closed terminal: what
    # they start would not hear of these signals either.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

gc.disable()  # while tests are collected: what is imported stays, and looking it through takes a fifth of the time


LONGEST = (
    "slurm/",
    *("ray/test_faults", "ray/test_drivers", "ray/test_worker_group", "ray/test_sweep", "ray/test_surroundings"),
    *("ray/test_remote", "ray/test_commands", "ray/test_outage", "ray/test_"),
    *(
        "cli/test_bombs",
        "report/test_hostile",
        "report/test_page",
        "report/test_",
        "training/test_jobs",
        "distributed/",
    ),
)
"""What takes longest begins first, so that at the end no process of several waits long for another's last file."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order in which they are to begin; pytest-xdist hands them out so where it is told not to reorder."""
    items.sort(key=lambda item: next((n for n, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage again, but for what the imports have made."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let Python take down what was frozen: duckdb's nanobind reports whatever is still there at the end as leaked."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _the_same_numbers_each_time() -> Iterator[None]:
    """Each test draws what it drew before; one that computes without denormal numbers leaves none so behind it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


# Each test makes clients of its own; the megabytes of JSON that describe AWS to them are the same.
botocore.session.create_loader = cache(botocore.session.create_loader)

SECRET = "wJalr-hush-hush-9f31"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of a moto_server, over HTTP."""
    with simulated_s3() as url:
        yield url


@pytest.fixture(scope="session")
def s3_admin(s3_server: str) -> Iterator[Any]:
    """A client of the server that no test's settings touch."""
    names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    keys = {name: ENVIRONMENT[variable] for name, variable in names.items()}
    client = boto3.client("s3", endpoint_url=s3_server, region_name=ENVIRONMENT["AWS_DEFAULT_REGION"], **keys)
    yield client
    client.close()


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """AWS settings of this test alone, with a secret that no message may hold."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": f"token-{SECRET}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    forget_clients()
    yield monkeypatch
    forget_clients()


def forget_clients() -> None:
    """Make the next request read the AWS settings again."""
    for client in s3_module._clients.values():
        client.close()
    s3_module._clients.clear()


@pytest.fixture
def s3_bucket(s3_server: str, s3_admin: Any, s3_environment: pytest.MonkeyPatch) -> str:
    """Name of a new, empty bucket; AWS_ENDPOINT_URL leads to its server."""
    s3_environment.setenv("AWS_ENDPOINT_URL", s3_server)
    name = f"bucket-{uuid4().hex[:12]}"
    s3_admin.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_proxy(s3_server: str, s3_bucket: str, s3_environment: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A server that passes requests on to the S3 server, and spoils what a test asks it to spoil."""
    proxy = Proxy(s3_server)
    s3_environment.setenv("AWS_ENDPOINT_URL", proxy.url)
    yield proxy
    proxy.close()
