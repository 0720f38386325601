"""orch init: a job file with remarks, which is valid whatever was chosen."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import init
from orchestrator.cli.console import err
from orchestrator.data import DATASETS
from orchestrator.objectives import FAMILIES
from orchestrator.spec.draft import FOLDER, Question, draft, read_data, read_sweeps, usual_sweeps
from orchestrator.spec.job import Job, load_job, make_job
from orchestrator.spec.schema_file import FIRST_LINE, schema_notes, schema_text
from orchestrator.spec.yaml_file import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def drafted(data: dict[str, Any], kinds: Sequence[str], sweep: str, folder: Path) -> Job:
    text = draft(Question(data, kinds, read_sweeps([sweep], kinds)), folder / "study.yaml")
    assert text.splitlines()[0] == FIRST_LINE
    return make_job(parse_yaml(text, "study.yaml"), "study.yaml")


@pytest.mark.parametrize("name", DATASETS)
def test_each_objective_with_each_sweep_on_each_data_set(tmp_path: Path, name: str) -> None:
    data = read_data(str(tmp_path)) if name == FOLDER else read_data(name)
    for kind in FAMILIES:
        for sweep in usual_sweeps([kind]):
            job = drafted(data, [kind], sweep, tmp_path)
            assert {trial.settings.objective.kind for trial in job.trials} == {kind}
            assert len(job.trials) == (3 if sweep == "training.seed" else 6), (kind, sweep)
            assert len(job.header.claims) == (sweep != "training.seed")


def test_each_pair_of_objectives() -> None:
    """Whatever networks they need: where these differ, the grid links them."""
    for number, kinds in enumerate(itertools.permutations(FAMILIES, 2)):
        sweeps = usual_sweeps(kinds)
        sweep = sweeps[number % len(sweeps)]
        job = drafted({"name": "digits"}, kinds, sweep, init.Path("here"))
        assert {trial.settings.objective.kind for trial in job.trials} == set(kinds)
        assert len(job.trials) == (6 if sweep == "training.seed" else 12)
        (claim,) = job.header.claims
        assert claim.group == {"objective.kind": kinds[0]}


@pytest.mark.parametrize(
    ("options", "trials"),
    [
        ((), 12),
        (("--data", "procedural_fish", "--objective", "began"), 6),
        (("--objective", "ebgan", "--objective", "hinge", "--objective", "wgan_gp"), 18),
        (("--sweep", "model.width=[8,16,32]", "--sweep", "training.seed=[0,1,2,3,4]"), 30),
        (("--sweep", "training.g_optimizer.betas=[[0.0,0.9],[0.5,0.9]]", "--objective", "hinge"), 6),
        (("--sweep", "training.schedule.kind=[constant,cosine]"), 12),
    ],
)
def test_what_is_written_passes_validate(
    orch: Callable[..., Any], folder: Path, options: tuple[str, ...], trials: int
) -> None:
    ran = orch("init", "first.yaml", *options)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"first.yaml: {trials} trials; next: orch plan first.yaml\n"
    assert orch("validate", "first.yaml").out == f"first.yaml: first is valid and makes {trials} trials\n"
    assert (folder / "orch.schema.json").read_text() == schema_text()
    assert list(schema_notes(folder / "first.yaml")) == []
    assert load_job(folder / "first.yaml").header.description


def test_a_folder_of_images_is_data(orch: Callable[..., Any], folder: Path) -> None:
    (folder / "my #photos: 1").mkdir()
    assert orch("init", "--data", "my #photos: 1").code == 0
    job = load_job(folder / "study.yaml")
    assert job.sections["data"]["root"] == "my #photos: 1"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("job.yaml",), "FILE: got 'job.yaml', which is there; choose another name, or move it away"),
        (("there/a.yaml",), "FILE: got 'there/a.yaml', but there is no folder there; make it first"),
        (("a.txt",), "FILE: got 'a.txt', expected a name that ends in .yaml or .yml"),
        (("My Job.yaml",), "FILE: got 'My Job.yaml', whose stem is to be the job's name: 1 to 63 of a-z, 0-9, _ and -"),
        (
            ("--data", "digit"),
            "--data: got 'digit', expected a folder of images or a data set; did you mean 'digits'? ",
        ),
        (("--objective", "hing"), "--objective: got 'hing'; did you mean 'hinge'? allowed: "),
        (("--sweep", "model.widht"), "--sweep: got 'model.widht', expected PATH=[value, ...]; without values did you "),
        (("--sweep", "training.d_steps", "--objective", "glo"), "--sweep: got 'training.d_steps', expected PATH=["),
        (("--sweep", "model.widht=[1]"), "study.yaml: grid.model.widht: unknown key; did you mean 'width'? "),
        (("--sweep", "model.width=8"), "study.yaml: grid.model.width: got 8, expected a list with at least one value"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    orch: Callable[..., Any], folder: Path, arguments: tuple[str, ...], line: str
) -> None:
    before = (folder / "job.yaml").read_text()
    assert orch("init", *arguments).mistake.startswith(line)
    assert [path.name for path in folder.iterdir()] == ["job.yaml"]
    assert (folder / "job.yaml").read_text() == before


def test_ctrl_c_at_a_question(orch: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(*_: object, **__: object) -> None:
        raise init.typer.Abort

    monkeypatch.setattr(init.typer, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(type(err), "is_terminal", True)
    ran = orch("init")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "")
    assert [path.name for path in folder.iterdir()] == ["job.yaml"]


def test_a_terminal_is_asked(orch: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["digitz", "digits", "hinge rsgan", "model.width=[8,16]"])
    asked: list[str] = []

    def prompt(text: str, *, default: str, value_proc: Callable[[str], Any], err: bool) -> Any:
        assert err
        asked.append(text)
        try:
            return value_proc(next(answers))
        except init.typer.BadParameter as error:
            assert str(error).startswith("got 'digitz', expected a folder of images or a data set; ")  # noqa: PT017
            return prompt(text, default=default, value_proc=value_proc, err=err)

    monkeypatch.setattr(init.typer, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(type(err), "is_terminal", True)
    assert orch("init").code == 0
    assert [text.split(" (")[0] for text in asked] == ["Data", "Data", "Objectives to compare", "Settings to sweep"]
    job = load_job(folder / "study.yaml")
    assert {(one.settings.objective.kind, one.settings.model.width) for one in job.trials} == {
        (kind, width) for kind in ("hinge", "rsgan") for width in (8, 16)
    }
