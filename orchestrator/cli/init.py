"""init: writes a first job file for a question."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.console import err, print_line
from orchestrator.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.draft import Question


def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The job file to write; its name is the job's.", show_default=True)
    ] = Path("study.yaml"),
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME", help="A data set, or a folder of images; digits by default.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="KIND", help="An objective to try; repeatable, and they are compared."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", metavar="PATH[=VALUES]", help="A setting to try several values of, as model.width; repeatable."
        ),
    ] = None,
) -> None:
    """Write a job file with remarks for a question: which data, which objectives, what is swept.

    A terminal is asked what no option says. The schema for editors is written beside the file. Nothing is overwritten
    but a schema of another version.

    Examples: `orch init` · `orch init widths.yaml --objective hinge --sweep model.width=[16,32,64]` ·
    `orch init photos.yaml --data photos --objective hinge --objective rsgan --sweep training.d_steps`
    """
    from orchestrator.spec.draft import draft
    from orchestrator.spec.job import make_job
    from orchestrator.spec.schema_file import FILE_NAME, write_schema
    from orchestrator.spec.yaml_file import parse_yaml

    _check_place(file)
    text = draft(_question(data, objective, sweep), file)
    trials = len(make_job(parse_yaml(text, str(file)), str(file)).trials)
    write_schema(file.parent / FILE_NAME)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise StorageError(f"{file}: cannot write: {error.strerror}") from error
    print_line(f"{file}: {trials} trials; next: orch plan {shlex.quote(str(file))}")


def _check_place(file: Path) -> None:
    """Raise SettingsError where the file cannot be a new job file. Checked before anything is asked."""
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.spec.job import Name
    from orchestrator.spec.yaml_file import SUFFIXES

    if file.suffix not in SUFFIXES:
        raise SettingsError("FILE", "", f"got {str(file)!r}, expected a name that ends in {' or '.join(SUFFIXES)}")
    try:
        TypeAdapter(Name).validate_python(file.stem)
    except ValidationError as error:
        problem = f"got {str(file)!r}, whose stem is to be the job's name: 1 to 63 of a-z, 0-9, _ and -"
        raise SettingsError("FILE", "", problem) from error
    if file.exists() or file.is_symlink():
        raise SettingsError("FILE", "", f"got {str(file)!r}, which is there; choose another name, or move it away")
    if not file.parent.is_dir():
        raise SettingsError("FILE", "", f"got {str(file)!r}, but there is no folder {file.parent}; make it first")


def _question(data: str | None, objectives: list[str] | None, sweeps: list[str] | None) -> Question:
    """What the options say, and a terminal where they do not; without one the usual. Raises SettingsError."""
    from orchestrator.data import DATASETS
    from orchestrator.objectives import FAMILIES
    from orchestrator.spec import draft

    known = ", ".join(name for name in DATASETS if name != draft.FOLDER)
    section = _asked(f"Data ({known}, or a folder of images)", data, "digits", draft.read_data)
    kinds = _asked(
        f"Objectives to compare ({', '.join(FAMILIES)})",
        objectives,
        " ".join(draft.OBJECTIVES),
        lambda given: draft.read_objectives(_words(given)),
    )
    usual = draft.usual_sweeps(kinds)
    swept = _asked(
        f"Settings to sweep ({', '.join(usual)}, or PATH=[value,...])",
        sweeps,
        usual[0],
        lambda given: draft.read_sweeps(_words(given), kinds),
    )
    return draft.Question(section, kinds, swept)


def _words(given: str | list[str]) -> list[str]:
    return given.split() if isinstance(given, str) else given


def _asked(text: str, option: Any, default: str, read: Callable[[Any], Any]) -> Any:
    """What ``read`` makes of the option; where there is none, of the answer of a terminal, or of the default."""
    if option:
        return read(option)
    if not (sys.stdin.isatty() and err.is_terminal):
        return read(default)

    def answer(given: str) -> Any:
        try:
            return read(given)
        except SettingsError as error:
            raise typer.BadParameter(error.problem) from error

    return typer.prompt(text, default=default, value_proc=answer, err=True)
