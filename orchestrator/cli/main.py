"""The ``orch`` command: its commands, and how errors reach the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import typer

from orchestrator import __version__
from orchestrator.cli import (
    control,
    diff,
    doctor,
    evaluate,
    export,
    init,
    inspect,
    jobs,
    remove,
    run,
    sample,
    schema,
    serve,
    show,
    transfer,
)
from orchestrator.cli.console import err, print_error
from orchestrator.cli.streams import ReaderGoneError
from orchestrator.cli.usage import Command, Commands, Mistake, explain
from orchestrator.errors import OrchError, StorageError, one_line

app = typer.Typer(
    name="orch",
    cls=Commands,
    help="Run studies of generative adversarial networks as batch jobs: one YAML file in, a table of answers out.",
    epilog="Start with: orch submit jobs/quickstart.yaml. Exit codes: 0 done, 1 some trials failed, 2 a mistake "
    "that one line explains, 124 after resources.max_hours, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        typer.echo(f"orch {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        if text := context.get_help():  # Rich has printed it already
            typer.echo(text)
        raise typer.Exit(2)
    try:
        Path.cwd()
    except OSError as error:
        raise StorageError("the current folder is gone, or cannot be read; change to another") from error


COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Write a job": (init.init, schema.schema, run.validate, run.plan),
    "Run it": (run.submit, run.resume, evaluate.evaluate, control.cancel),
    "Watch": (jobs.list_, inspect.status, control.logs, serve.serve),
    "See results": (inspect.report, show.open_, inspect.results, show.show, diff.diff),
    "Take away": (sample.sample, export.export),
    "Keep house": (transfer.copy, remove.rm, remove.prune, doctor.doctor),
}
for panel, commands in COMMANDS.items():
    for command in commands:  # list_ is list: Python has one already
        app.command(command.__name__.rstrip("_"), cls=Command, rich_help_panel=panel)(command)


def main() -> None:
    """Run the command line; a user's mistake is reported in one line on stderr, with exit code 2.

    Typer handles Ctrl-C (exit code 130). Output ends where the reader has closed its pipe (exit code 1).
    """
    try:
        code = app(prog_name="orch", standalone_mode=False)
        sys.stdout.flush()
    except OrchError as error:
        print_error(str(error))
        code = 2
    except ReaderGoneError:
        code = 1
    except typer.Abort:  # Ctrl-C, or the end of the input, where a question was asked
        err.print()
        code = 130
    except Mistake as error:
        print_error(one_line(explain(error)))
        code = 2
    sys.exit(code)
