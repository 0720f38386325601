"""A user's mistake is one line on stderr and exit code 2; nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from orchestrator.cli import run
from orchestrator.cli.main import app
from orchestrator.errors import StorageError, one_line
from orchestrator.state.files import NO_SUCH_JOB

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OF_A_JOB = [name for name, command in COMMANDS.items() if any(argument.name == "job" for argument in command.params)]
ORCH = str(Path(sys.executable).with_name("orch"))
pytestmark = pytest.mark.usefixtures("untouched")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("validate", "job.yaml", "--set", "training.epoch=5"), "--set: training.epoch: unknown key; did you mean "),
        (("submit", "job.yaml", "--set", "resources.cpus_per_worker=1000"), "resources.cpus_per_worker: got 1000, "),
    ],
)
def test_the_installed_command(folder: Path, arguments: tuple[str, ...], line: str) -> None:
    ran = subprocess.run([ORCH, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {line}")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
def test_a_mistake_in_the_file_or_an_override(orch: Callable[..., Any], command: str) -> None:
    assert orch(command, "job.yaml", "--set", "training.batch_size=0").mistake == (
        "--set: training.batch_size: got 0, expected a number >= 2"
    )
    assert orch(command, "no.yaml").mistake == "no.yaml: cannot be read: No such file or directory"


@pytest.mark.parametrize("command", ["plan", "submit"])
def test_devices_that_are_not_here(orch: Callable[..., Any], command: str) -> None:
    mistake = orch(command, "job.yaml", "--set", "resources.cpus_per_worker=1024").mistake
    assert mistake.startswith("resources.cpus_per_worker: got 1024, but there are ")


@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--storage", ""), "storage: got an empty name or one that cannot be printed, expected a folder such as "),
        (("--storage", "caf\udce9"), "storage: got an empty name or one that cannot be printed, expected a folder "),
        (("--storage", "gs://bucket"), "storage: gs:// is not supported, expected a folder such as results or "),
        (("--storage", "a\nb"), "storage: got an empty name or one that cannot be printed, expected a folder such as "),
    ],
)
def test_what_only_shows_beyond_the_file(
    orch: Callable[..., Any], command: str, arguments: tuple[str, ...], line: str
) -> None:
    assert orch(command, "job.yaml", *arguments).mistake.startswith(line)


NO_DATA = [
    (("--set", "training.batch_size=1501"), "training.batch_size: got 1501, but the data set holds only 1500 images"),
    (("--set", "data={name: mnist, root: nowhere}"), "mnist: neither train-images-idx3-ubyte nor "),
]


@pytest.mark.parametrize(("arguments", "line"), NO_DATA)
def test_a_plan_without_its_data_is_shown_all_the_same(
    orch: Callable[..., Any], arguments: tuple[str, ...], line: str
) -> None:
    assert orch("submit", "job.yaml", *arguments).mistake.startswith(line)
    assert orch("validate", "job.yaml", *arguments).mistake.startswith(line)
    for command in (("plan", "job.yaml"), ("submit", "job.yaml", "--dry-run")):
        ran = orch(*command, *arguments)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert ran.err.startswith(f"error: {line}")
        assert "study: 4 trials: 4 new, 0 cached, 0 failed; " in ran.out
        assert "estimate unknown device-hours" in ran.out
        plan = json.loads(orch(*command, *arguments, "--json").out)
        assert plan["problem"].startswith(line)
        assert (plan["device_hours"], plan["wall_s"], plan["trials"][0]["device_s"]) == (None, None, None)


@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
def test_a_storage_that_is_a_file(orch: Callable[..., Any], folder: Path, command: str) -> None:
    for storage in ("job.yaml", "job.yaml/below"):
        assert orch(command, "job.yaml", "--storage", storage).mistake.startswith(
            f"{folder}/{storage}/study: cannot write: {folder}/job.yaml is not a folder; move it away, "
        )


@pytest.mark.parametrize(
    "command", ["status", "resume", "results", "report", "sample", "export", "evaluate", "logs", "cancel"]
)
def test_a_job_that_was_never_submitted(orch: Callable[..., Any], folder: Path, command: str) -> None:
    assert orch(command, "study").mistake == f"{folder}/results/study: {NO_SUCH_JOB}"
    assert orch(command, "job.yaml").mistake == f"{folder}/results/study: {NO_SUCH_JOB}"
    assert orch(command, "other", "--storage", "there").mistake == f"{folder}/there/other: {NO_SUCH_JOB}"


@pytest.mark.parametrize("command", OF_A_JOB)
@pytest.mark.parametrize("name", ["../up", "a/b", "./study", "Study", "", ".", "~", "[red]", "a\x1b[31m"])
def test_what_is_no_job_s_name(orch: Callable[..., Any], command: str, name: str) -> None:
    further = [one for one in COMMANDS[command].params if one.param_type_name == "argument" and one.required][1:]
    assert orch(command, name, *("x" for _ in further)).mistake == one_line(
        f"JOB: got {name!r}, expected a job's name or its job file"
    )


def test_markup_and_control_characters_reach_the_terminal_as_text(orch: Callable[..., Any]) -> None:
    assert orch("validate", "[red]x[/nothing].yaml").mistake == (
        "[red]x[/nothing].yaml: cannot be read: No such file or directory"
    )
    assert orch("validate", ":warning:\x1b[2J\r.yaml").mistake == (
        r":warning:\x1b[2J\r.yaml: cannot be read: No such file or directory"
    )
    assert orch("plan", "job.yaml", "--set", "name=[bold]x").mistake.startswith(
        "--set name: line 1, column 7: not valid"
    )
    assert orch("plan", "job.yaml", "--set", "model.kind='[red]'").mistake.startswith(
        "--set: model.kind: got '[red]'; "
    )


def test_a_current_folder_that_is_gone(orch: Callable[..., Any], folder: Path) -> None:
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for command in ("status", "plan", "submit", "results"):
        assert orch(command, str(folder / "job.yaml")).mistake.startswith("the current folder is gone, ")


def test_a_file_name_that_is_not_utf_8(folder: Path) -> None:
    ran = subprocess.run([ORCH, "validate", b"caf\xe9.yaml"], cwd=folder, capture_output=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == b"error: caf\\udce9.yaml: cannot be read: No such file or directory\n"


def test_an_error_of_ours_is_not_hidden(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "name_job", fail)
    with pytest.raises(ZeroDivisionError):
        orch("plan", "job.yaml")


def test_ctrl_c(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "name_job", interrupt)
    ran = orch("plan", "job.yaml")
    assert ran.code == 130
    assert "Traceback" not in ran.err


def test_an_error_with_line_breaks_is_still_one_line(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("first\nsecond\ttab \x1b[31mred")

    monkeypatch.setattr(run, "name_job", fail)
    assert orch("plan", "job.yaml").mistake == r"first\nsecond\ttab \x1b[31mred"


def test_nothing_is_said_to_a_reader_that_has_enough(folder: Path) -> None:
    """As ``orch plan --json | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        ran = subprocess.run(
            [ORCH, "plan", "job.yaml", "--json"], cwd=folder, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (ran.returncode, ran.stderr) == (1, b"")
