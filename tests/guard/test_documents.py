"""What the documents promise is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.cli.main import app
from orchestrator.data.corruptions import Corruption
from orchestrator.data.dataset import Dataset
from orchestrator.evaluations import Evaluation
from orchestrator.evaluations.encoder_inversion.settings import EncoderTraining
from orchestrator.models.model import Model
from orchestrator.objectives.labels import GeneratorLabels
from orchestrator.objectives.objective import Objective
from orchestrator.spec.claims import Claim
from orchestrator.spec.job import Header, Resources, Search, load_job, make_job
from orchestrator.training.lr_schedule import Schedule
from orchestrator.training.optimizers import Optimizer
from orchestrator.training.settings import AugmentationSettings, TrainingSettings
from tests.jobs import raw_job

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Fenced blocks of code."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def code(text: str) -> list[str]:
    """Lines of fenced blocks, and what stands in backticks elsewhere."""
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    return [line for block in blocks(text) for line in block.splitlines()] + inline


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def headings(text: str) -> set[str]:
    """Anchors that a page's headings make."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_documents_are_there() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/architecture.md"} <= set(names(DOCUMENTS))


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text()):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), link
        assert path.is_relative_to(ROOT), link
        assert not anchor or anchor in headings(path.read_text()), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_commands_and_their_options_exist(document: Path) -> None:
    lines = [line.split("#")[0] for line in code(document.read_text()) if re.match(r"\s*(\$ )?orch ", line)]
    for line in lines:
        _, command, *rest = line.replace("$ ", "").split()
        assert command in COMMANDS or command.startswith("-"), line
        if command in COMMANDS:
            known = {option for parameter in COMMANDS[command].params for option in parameter.opts} | {"--help", "-h"}
            assert {word.split("=")[0] for word in rest if word.startswith("-") and len(word) > 1} <= known, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_job_files_and_make_targets_exist(document: Path) -> None:
    text = document.read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.M))
    for line in code(text):
        for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", line.split("#")[0]):
            assert target in targets, line
        for path in re.findall(r"\bjobs/[\w.-]+", line):
            assert (ROOT / path).is_file(), line


def test_the_readme_shows_every_command() -> None:
    shown = {line.split()[1] for line in code((ROOT / "README.md").read_text()) if line.startswith("orch ")}
    assert set(COMMANDS) <= shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_yaml_in_the_documents_is_right(document: Path) -> None:
    minimal = raw_job("a")
    for block in blocks(document.read_text(), "yaml"):
        raw = yaml.safe_load(block)
        grid = raw.get("grid", {})
        base = {key: section for key, section in minimal.items() if key not in grid}
        if any(path.startswith("objective") for path in grid):
            base.pop("objective", None)
        assert make_job({**base, **raw}, document.name).examples


def test_the_readme_counts_the_trials_of_each_job_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    rows = re.findall(r"^\| \[(jobs/[\w.]+)\].*?\b(\d+) trials?\b", (ROOT / "README.md").read_text(), flags=re.M)
    assert {path for path, _ in rows} == {f"jobs/{path.name}" for path in (ROOT / "jobs").glob("*.yaml")}
    jobs = {path: load_job(ROOT / path) for path, _ in rows}
    assert {path: int(count) for path, count in rows} == {
        path: len(job.trials) + job.to_propose for path, job in jobs.items()
    }


def kinds(base: type[BaseModel]) -> list[type[BaseModel]]:
    below = [kind for child in base.__subclasses__() for kind in kinds(child)]
    return below or [base]


SECTIONS: list[type[BaseModel]] = [
    Claim,
    Header,
    Resources,
    Search,
    TrainingSettings,
    Optimizer,
    Schedule,
    GeneratorLabels,
    AugmentationSettings,
    *kinds(Dataset),
    *kinds(Model),
    *kinds(Objective),
    *kinds(Evaluation),
    *kinds(Corruption),
    EncoderTraining,
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_and_kind_is_documented(section: type[BaseModel]) -> None:
    words = set(re.findall(r"[\w.]+", " ".join(code((ROOT / "docs" / "job-file.md").read_text()))))
    expected = set(section.model_fields)
    for tag in {"kind", "name"} & expected:
        expected |= set(get_args(section.model_fields[tag].annotation) if section is not Header else ())
    assert expected - words == set()


def test_settings_that_are_documented_exist() -> None:
    """First columns of the tables of docs/job-file.md."""
    fields: set[Any] = {"grid", "data", "model", "objective", "training"}
    for section in SECTIONS:
        fields |= set(section.model_fields)
        fields |= {value for field in section.model_fields.values() for value in get_args(field.annotation)}
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "job-file.md").read_text(), flags=re.M)
    shown = {word for cell in table for word in re.findall(r"`(\w+)`", cell)}
    assert shown
    assert shown - fields <= {"kind", "name"}


def test_pinned_versions_are_within_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    asked = [one for one in map(Requirement, texts) if one.name != project["name"]]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([\w.-]+)==([\w.+!]+)", line).groups()  # type: ignore[union-attr]
            assert canonicalize_name(name) not in pins, line
            pins[canonicalize_name(name)] = version
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        assert name in pins, requirement
        assert requirement.specifier.contains(pins[name]), requirement
