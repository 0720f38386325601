"""export: a trained generator as a file that other programs load."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import typer

from orchestrator.cli.console import print_line, spinner
from orchestrator.cli.options import JobName, NamedJob, Storage, name_job
from orchestrator.errors import SettingsError

_Form = Literal["safetensors", "onnx", "torchscript"]


def export(
    job: JobName,
    trial: Annotated[
        str | None,
        typer.Argument(
            metavar="TRIAL", help="The beginning of a trial's id; needless where there is one.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="safetensors, onnx or torchscript.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="A new folder for the files.")] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", metavar="WHICH", help="last, or best: of the lowest FID while it trained."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Write a trained generator as a file that other programs load, and a page on how.

    The file is read back, and its images are compared with those of the trained network.

    Examples: `orch export quickstart 1f3a --format onnx --out generator` ·
    `orch export quickstart 1f3a --format torchscript --checkpoint best --out best`
    """
    named = name_job(job, storage)
    named.require()
    chosen: _Form = _one_of("--format", form, get_args(_Form))
    which: Literal["last", "best"] = _one_of("--checkpoint", checkpoint or "last", ("last", "best"))
    _export_model(named, trial or "", chosen, which, out)


def _export_model(named: NamedJob, trial: str, form: _Form, which: Literal["last", "best"], out: str | None) -> None:
    from orchestrator.export.folders import check_new
    from orchestrator.export.generator import read_generator
    from orchestrator.export.models import export_generator

    folder = check_new("--out", _needed("--out", out, "a new folder for the files"))
    with spinner("writing the generator, and comparing its images"):
        generator = read_generator(named.store, trial, which, named.from_file)
        path, difference = export_generator(generator, form, folder)
    compared = (
        "not compared, for want of onnxruntime" if difference is None else f"images differ by at most {difference:.1e}"
    )
    print_line(f"{path}: trial {generator.trial_id}; {compared}")


def _needed(option: str, value: str | None, expected: str) -> str:
    if value is None:
        raise SettingsError(option, "", f"is missing, expected {expected}")
    return value


def _one_of(option: str, value: str | None, allowed: tuple[Any, ...]) -> Any:
    """``value``, which is one of those that the option allows. Raises SettingsError."""
    from orchestrator.spec.messages import show
    from orchestrator.text import listing

    expected = listing(allowed, "or")
    if _needed(option, value, expected) not in allowed:
        raise SettingsError(option, "", f"got {show(value)}, expected {expected}")
    return value
