"""Tells Ray that this machine is about to be taken away, so that its trials are stored and go on elsewhere.

Nothing in Ray listens to the cloud's notice; a node that is told of it by ``ray drain-node`` takes no new work, and
``orch`` stores the trials on it and starts them again on other nodes without counting a failure. Two ways to call it:

    spot_notice.py watch            on EC2: asks the instance's metadata every 5 s, ends after the notice
    spot_notice.py now --seconds N  where something else heard the notice, such as a pod's preStop hook

Needs Python's standard library, ``ray`` on the PATH, and for a cluster with tokens the same RAY_AUTH_* settings as
``ray start``. The metadata's address can be changed by AWS_EC2_METADATA_SERVICE_ENDPOINT, as in Amazon's own tools.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

METADATA = "http://169.254.169.254"
TOKEN_S = 21_600
"""Seconds that a metadata token holds; six hours are the longest that EC2 gives."""
RESERVE_S = 5
"""Seconds before the end at which a drain that was refused is tried for the last time."""
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Metadata:
    """The instance's metadata, read with session tokens (IMDSv2)."""

    def __init__(self, url: str) -> None:
        self.url, self.token = url.rstrip("/"), ""

    def notice(self) -> dict[str, str] | None:
        """``{"action": ..., "time": ...}`` once EC2 has decided to interrupt this instance, None before."""
        try:
            return self._notice()
        except urllib.error.HTTPError as error:
            if error.code != 401:  # the token has run out
                raise
            self.token = ""
            return self._notice()

    def _notice(self) -> dict[str, str] | None:
        self.token = self.token or self._ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)})
        try:
            text = self._ask("GET", "meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": self.token})
        except urllib.error.HTTPError as error:
            if error.code == 404:  # no notice, or no spot instance
                return None
            raise
        notice: dict[str, str] = json.loads(text)
        return notice

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self.url}/latest/{path}", method=method, headers=headers)  # noqa: S310
        with _NO_PROXY.open(request, timeout=2) as reply:
            text: str = reply.read().decode()
        return text


def watch(metadata: Metadata, every_s: float) -> int:
    """Wait for the notice, then drain this node until the time it names."""
    troubled = False
    while True:
        try:
            notice = metadata.notice()
            troubled = False
        except (OSError, ValueError) as error:
            # Metadata that does not answer must not end the watch; it is said once, not every five seconds.
            if not troubled:
                say(f"cannot read the instance's metadata, trying on: {error}")
            troubled, notice = True, None
        if notice is not None:
            say(f"EC2 will {notice.get('action', 'stop')} this instance at {notice.get('time', 'an unnamed time')}")
            return drain(seconds_until(notice.get("time", "")), f"EC2 spot notice: {notice.get('action')}")
        time.sleep(every_s)


def seconds_until(when: str) -> float:
    """Seconds from now to a time such as 2026-01-31T08:22:00Z; two minutes, EC2's rule, where it cannot be read."""
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        return 120.0
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def drain(seconds: float, message: str) -> int:
    """Tell Ray, again and again until it accepts or the time is up; the exit code."""
    end = time.monotonic() + max(seconds, 0.0)
    while True:
        left = max(int(end - time.monotonic()), 0)
        command = ["ray", "drain-node", "--reason=DRAIN_NODE_REASON_PREEMPTION", f"--reason-message={message}"]
        try:
            done = subprocess.run([*command, f"--deadline-remaining-seconds={left}"], check=False).returncode  # noqa: S603
        except OSError as error:
            say(f"ray cannot be started: {error}")
            return 1
        if done == 0:
            say(f"this node is being drained, {left} s before its end")
            return 0
        if end - time.monotonic() < RESERVE_S:
            say(f"ray drain-node ended with {done}; no time is left")
            return 1
        say(f"ray drain-node ended with {done}; trying again")
        time.sleep(1)


def say(text: str) -> None:
    """One line for the node's log."""
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} spot_notice: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Read the command line and obey it."""
    parser = argparse.ArgumentParser(description="Drain this Ray node before the cloud takes it away.")
    commands = parser.add_subparsers(dest="command", required=True)
    watching = commands.add_parser("watch", help="poll the EC2 metadata until a spot notice comes")
    watching.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="pause between two looks")
    at_once = commands.add_parser("now", help="drain at once")
    at_once.add_argument("--seconds", type=float, default=120.0, help="until this node is gone")
    at_once.add_argument("--message", default="this node is about to be taken away")
    chosen = parser.parse_args()
    if chosen.command == "now":
        return drain(chosen.seconds, chosen.message)
    return watch(Metadata(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA), chosen.every)


if __name__ == "__main__":
    sys.exit(main())
