"""The ``orch`` command: its commands, and how errors reach the terminal."""

from __future__ import annotations

import sys

import typer

from orchestrator import __version__
from orchestrator.cli import control, doctor, evaluate, inspect, run
from orchestrator.cli.console import complain
from orchestrator.errors import OrchError

app = typer.Typer(
    name="orch",
    help="Run studies of generative adversarial networks as batch jobs: one YAML file in, a table of answers out.",
    epilog="Start with: orch submit jobs/quickstart.yaml. Exit codes: 0 done, 1 some trials failed, 2 a mistake "
    "that one line explains, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"orch {__version__}")
        raise typer.Exit


for command in (
    run.validate,
    run.plan,
    run.submit,
    run.resume,
    evaluate.evaluate,
    inspect.status,
    control.logs,
    control.cancel,
    inspect.results,
    inspect.report,
    doctor.doctor,
):
    app.command()(command)


def main() -> None:
    """Run the command line; every mistake of the user's is one line on stderr and exit code 2.

    Typer itself answers Ctrl-C (exit code 130) and a reader that closed its pipe (1), without a word.
    """
    try:
        app()
    except OrchError as error:
        complain(str(error))
        sys.exit(2)
