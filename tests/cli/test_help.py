"""--help, --version, and how numbers and errors are put into words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import typer

from orchestrator import __version__
from orchestrator.cli.main import app
from orchestrator.durations import duration

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = [*typer.main.get_command(app).commands]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_s_help_has_examples_of_it(orch: Callable[..., Any], command: str) -> None:
    ran = orch(command, "--help")
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert re.search(rf"Examples: orch {command}\b", text)
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", text))
    for example in re.findall(rf"orch {command}[^·╭]*", text.split("Examples:")[1]):
        assert set(re.findall(r"--[a-z-]+", example)) <= options


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_the_help_names_every_command_and_where_to_start(orch: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ran = orch(*arguments)
    assert ran.code == 0
    assert all(f" {command} " in ran.out for command in COMMANDS)
    assert "orch submit jobs/quickstart.yaml" in ran.out


def test_without_arguments_there_is_help(orch: Callable[..., Any]) -> None:
    ran = orch()
    assert (ran.code, ran.err) == (2, "")
    assert "Usage: " in ran.out


def test_version(orch: Callable[..., Any]) -> None:
    ran = orch("--version")
    assert (ran.code, ran.out) == (0, f"orch {__version__}\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d 0 h"),
        (3 * 86400 + 4 * 3600 + 59 * 60, "3 d 4 h"),
        (float("nan"), "unknown"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
