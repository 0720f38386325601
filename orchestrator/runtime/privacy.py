"""Closes a Ray to others: it wants a token of its own, and on one machine it listens on loopback only."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_NO_PORT = "65536"
"""The port of Ray's pages that need no token: Ray cannot open it, notes that in its log, and goes on."""
TOKEN_ONLY: dict[str, str | None] = {
    # A user's own token is for a cluster elsewhere.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": None,
    "RAY_REDIS_ADDRESS": None,  # its state is not for a database that others share
    "DASHBOARD_METRIC_PORT": _NO_PORT,
    "AUTOSCALER_METRIC_PORT": _NO_PORT,
}
"""Variables under which Ray accepts the token in RAY_AUTH_TOKEN_PATH only, and has no page without one."""
_LOOPBACK_ONLY: dict[str, str | None] = {
    # No other machine can join, so that Ray uses 127.0.0.1 as its address.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # gloo and NCCL need no token.
    "GLOO_SOCKET_IFNAME": _LOOPBACK,
    "NCCL_SOCKET_IFNAME": _LOOPBACK,
    "NCCL_RAS_ENABLE": "0",
}
SYSTEM_CONFIG = {"enable_metrics_collection": False}
"""Ray's page of metrics needs no token either."""


@contextlib.contextmanager
def closed_to_others(folder: Path) -> Iterator[None]:
    """Have a Ray that is started here listen on loopback only, and accept the token in ``folder/token`` only.

    ``folder`` must be one that only this user can enter.
    """
    from orchestrator.runtime.ray_private import loopback_only

    token = folder / "token"
    token.touch(mode=0o600, exist_ok=False)
    token.write_text(secrets.token_hex(32))
    # The environment is restored before Ray reads it again.
    with (
        contextlib.ExitStack() as stack,
        variables({**TOKEN_ONLY, **_LOOPBACK_ONLY, "RAY_AUTH_TOKEN_PATH": str(token)}),
    ):
        stack.enter_context(loopback_only())
        yield


def keep_credentials() -> None:
    """Have Tune pass on none of this process's credentials, which would appear in logs and on command lines.

    Workers do not need that: on this machine they inherit the credentials, on a cluster each node has its own.
    """
    from orchestrator.runtime.ray_private import propagated_variables

    passed_on = propagated_variables()
    passed_on -= {name for name in passed_on if name.startswith("AWS_")}


@contextlib.contextmanager
def variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, or unset those that are None, and restore them afterwards."""
    previous = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(previous)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
