"""export: a trained generator as a file that other programs load; trials in an experiment tracker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from orchestrator.cli.completion import trial_argument
from orchestrator.cli.console import err, print_line, shown, spinner
from orchestrator.cli.options import JobName, NamedJob, Storage, name_job
from orchestrator.cli.usage import one_of, refuse_beside, refuse_together, refuse_without
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from orchestrator.export.trackers import Name

_Form = Literal["safetensors", "onnx", "torchscript"]
_TRACKERS = ("tensorboard", "mlflow", "wandb")


_Trial = Annotated[
    str | None, trial_argument("With --format: the beginning of a trial's id; needless where there is one.")
]
_Format = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="A generator as safetensors, onnx or torchscript.")
]
_To = Annotated[str | None, typer.Option("--to", metavar="TRACKER", help="All trials to tensorboard, mlflow or wandb.")]
_Out = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="DIR", help="The folder: a new one with --format; with --to mlflow a server's URL too."
    ),
]
_Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", metavar="WHICH", help="With --format: last, or best: of the lowest FID while it trained."
    ),
]
_Track = Annotated[
    bool, typer.Option("--track", help="With --to: go on with what is new until the job's run has ended.")
]


def export(
    job: JobName,
    trial: _Trial = None,
    form: _Format = None,
    to: _To = None,
    out: _Out = None,
    checkpoint: _Checkpoint = None,
    track: _Track = False,
    storage: Storage = None,
) -> None:
    """Write a trained generator for other programs, or every trial to an experiment tracker.

    A generator's file is read back, its images are compared with those of the trained network, and a page beside it
    says how it is loaded. A tracker gets what it lacks: doing it twice changes nothing. Nothing is sent anywhere.

    Examples: `orch export quickstart 1f3a --format onnx --out generator` ·
    `orch export quickstart 1f3a --format torchscript --checkpoint best --out best` ·
    `orch export quickstart --to tensorboard --out runs` · `orch export quickstart --to mlflow --out mlflow --track`
    """
    named = name_job(job, storage)
    named.require()
    refuse_together(("--format", form), ("--to", to))
    if form is None and to is None:
        formats, trackers = ", ".join(get_args(_Form)), ", ".join(_TRACKERS)
        raise SettingsError("--format", "", f"is missing, expected one of {formats}; or --to with one of {trackers}")
    refuse_without(("--to", to), ("--track", track))
    if to is not None:
        refuse_beside("--to", ("TRIAL", trial), ("--checkpoint", checkpoint))
        _track(named, one_of("--to", to, _TRACKERS), _needed(out), follow=track)
        return
    chosen: _Form = one_of("--format", form, get_args(_Form))
    which: Literal["last", "best"] = one_of("--checkpoint", checkpoint or "last", ("last", "best"))
    _export_model(named, trial or "", chosen, which, _needed(out))


def _export_model(named: NamedJob, trial: str, form: _Form, which: Literal["last", "best"], out: str) -> None:
    from orchestrator.export.folders import check_new
    from orchestrator.export.generator import read_generator
    from orchestrator.export.models import export_generator

    folder = check_new("--out", out)
    with spinner("writing the generator, and comparing its images"):
        generator = read_generator(named.store, trial, which, named.from_file)
        path, difference = export_generator(generator, form, folder)
    compared = (
        "not compared, for want of onnxruntime" if difference is None else f"images differ by at most {difference:.1e}"
    )
    print_line(f"{path}: trial {generator.trial_id}; {compared}")


def _track(named: NamedJob, name: Name, out: str, *, follow: bool) -> None:
    from orchestrator.export.trackers import open_tracker
    from orchestrator.export.tracking import Export
    from orchestrator.text import plural

    tracker = open_tracker(name, out, named.name)
    export = Export(named.store, tracker, named.from_file)
    if follow:
        trials = export.follow(lambda line: err.print(shown(line), soft_wrap=True))
        print_line(f"{tracker.where}: {plural(trials, 'trial')}; no run of {named.name} is at work")
        return
    with spinner("writing the trials"):
        trials, changed = export.once()
    print_line(f"{tracker.where}: {plural(trials, 'trial')}, {changed} of them with something new")


def _needed(out: str | None) -> str:
    if out is None:
        raise SettingsError("--out", "", "is missing, expected a folder for the files")
    return out
