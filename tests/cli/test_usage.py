"""Mistakes in a command itself: one line each, in the style of all other mistakes, with the nearest name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer

from orchestrator.cli.main import app
from orchestrator.spec.job import load_job
from orchestrator.state.files import write_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--")
]
ALL = ", ".join(COMMANDS)

MISTAKES = [
    (("sumbit", "job.yaml"), f"orch: got 'sumbit'; did you mean 'submit'? allowed: {ALL}"),
    (("Plan", "job.yaml"), f"orch: got 'Plan'; did you mean 'plan'? allowed: {ALL}"),
    (("frobnicate",), f"orch: got 'frobnicate'; allowed: {ALL}"),
    (("",), f"orch: got ''; allowed: {ALL}"),
    (("--storge", "x", "plan"), "orch: there is no option --storge; see 'orch --help'"),
    (("--verion",), "orch: there is no option --verion; did you mean --version? see 'orch --help'"),
    (("plan",), "orch plan: JOB is missing, expected a job's name, or its job file; see 'orch plan --help'"),
    (("plan", "job.yaml", "-x"), "orch plan: there is no option -x; see 'orch plan --help'"),
    (("plan", "job.yaml", "--retry_failed"), "orch plan: there is no option --retry_failed; did you mean "),
    (("evaluate", "study", "--retry-failed"), "orch evaluate: there is no option --retry-failed; "),
    (("plan", "job.yaml", "\x1b[31m"), "orch plan: got '\\x1b[31m', expected nothing after JOB; see "),
    (("plan", "job.yaml", "--\x1b[31m"), r"orch plan: there is no option --\x1b[31m; see 'orch plan --help'"),
    (("results", "study", "--json", "rows"), "orch results: got 'rows', expected nothing after JOB; "),
    (("plan", "job.yaml", "--json=yes"), "--json: takes no value"),
    (("plan", "job.yaml", "--storage"), "--storage: expected a value after it"),
    (("logs", "study", "--lines", "-3"), "--lines: got '-3', expected a whole number >= 0"),
    (("logs", "study", "--lines", "x"), "--lines: got 'x', expected a whole number >= 0"),
    (("logs", "study", "--lines", "0"), "--lines: got 0, expected a number > 0, or --follow with it"),
    (("evaluate", "study", "--kind", "Qualty"), "--kind: got 'Qualty'; did you mean 'quality'? allowed: "),
    (("plan", "job.yaml", "--set", "trainng.epochs=3"), "--set: trainng.epochs: unknown key; did you mean 'training'"),
    (("plan", "job.yaml", "--set", "model.kind=DCGAN"), "--set: model.kind: got 'DCGAN'; did you mean 'dcgan'"),
    (("plan", "job.yaml", "--set", "epochs"), "--set: epochs: expected path=value, such as training.epochs=5"),
    (("plan", "study", "--set", "name=b"), "--set: name: cannot be set of a job that is in storage; name its "),
    (("plan", "study", "--set", "storage=b"), "--set: storage: cannot be set of a job that is in storage; name its "),
    (("results",), "JOB: is missing, expected a job's name or its job file, or --schema alone"),
    (("results", "study", "--sql", " "), "--sql: is empty, expected a query, such as 'select * from trials'"),
    (("results", "study", "--sql", "\udce9"), "SQL: holds characters that are not UTF-8 text"),
    (("results", "study", "--evaluation", "\udce9"), r"--evaluation: got '\udce9'; "),
    (("results", "study", "--evaluation", ""), "--evaluation: got ''; "),
]  # fmt: skip

DETACH = "--detach: needs --address with the URL of a cluster, to which the job is left"
NO_EFFECT = [
    (("submit", "job.yaml", "--json"), "--json: has no effect without --dry-run"),
    (("submit", "job.yaml", "--dry-run", "--detach"), "--detach: has no effect with --dry-run; leave one of them out"),
    (("submit", "job.yaml", "--detach"), DETACH),
    (("resume", "study", "--detach"), DETACH),
    (("evaluate", "study", "--set", "samples=9"), "--set: has no effect without --kind"),
    (("evaluate", "study", "--kind", "quality", "--json"), "--json: has no effect without --dry-run"),
    (("evaluate", "study", "--dry-run", "--detach"), "--detach: has no effect with --dry-run; leave one of them out"),
    (("doctor", "--set", "training.epochs=1"), "--set: has no effect without JOB"),
    *(
        (("results", "--schema", *more), f"{more[0]}: has no effect with --schema; leave one of them out")
        for more in (
            ("--storage", "there"),
            ("--sql", "select 1"),
            ("--evaluation", "quality"),
            ("--claims",),
            ("--csv", "rows"),
            ("--parquet", "rows"),
            ("--json",),
        )
    ),
    (("results", "study", "--schema"), "JOB: has no effect with --schema; leave one of them out"),
    (("results", "study", "--csv", "a", "--json"), "--json: has no effect with --csv; leave one of them out"),
    (("results", "--csv", "a", "x", "--parquet", "b"), "--parquet: has no effect with --csv; leave one of them out"),
    (("results", "study", "--json", "--parquet", "b"), "--json: has no effect with --parquet; leave one of them out"),
    (("results", "study", "--sql", "x", "--claims"), "--claims: has no effect with --sql; leave one of them out"),
    (("results", "study", "--sql", "", "--claims"), "--claims: has no effect with --sql; leave one of them out"),
    (
        ("results", "study", "--evaluation", "quality", "--sql", "select 1"),
        "--evaluation: has no effect with --sql; leave one of them out",
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def submitted(folder: Path, store: LocalStore) -> None:
    write_job(store, load_job(folder / "job.yaml"))
    store.write("trials/x.parquet", (folder / "job.yaml").read_bytes())


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("arguments", "line"), MISTAKES)
def test_a_mistake_in_a_command(orch: Callable[..., Any], arguments: tuple[str, ...], line: str) -> None:
    assert orch(*arguments).mistake.startswith(line)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("arguments", "line"), NO_EFFECT)
def test_an_option_without_effect(orch: Callable[..., Any], arguments: tuple[str, ...], line: str) -> None:
    assert orch(*arguments).mistake == line


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_that_is_nearly_right(orch: Callable[..., Any], command: str, option: str) -> None:
    wrong = f"{option[:-1]}{'y' if option.endswith('x') else 'x'}"
    mistake = orch(command, wrong).mistake
    assert mistake.startswith(f"orch {command}: there is no option {wrong}; did you mean --")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_told_too_much(orch: Callable[..., Any], command: str) -> None:
    taken = [one for one in COMMANDS[command].params if one.param_type_name == "argument"]
    expected = "nothing after " if taken else "no argument"
    mistake = orch(command, *("study" for _ in taken), "more").mistake
    assert mistake.startswith(f"orch {command}: got 'more', expected {expected}")
