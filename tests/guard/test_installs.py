"""No instruction in the repository installs anything but this project and what it declares to need."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from orchestrator.runtime.preflight import OLDEST

if TYPE_CHECKING:
    from pathlib import Path

INSTALLER = r"\b(?:pip3?|pipx|uv|uv pip|uv tool|conda|mamba|poetry)(?: -[-\w=]+)* +(?:install|add|download|wheel)\b"
WORD = r"'[^'\n]*'|\"[^\"\n]*\"|[^\s'\"`&;|#\\()]+"
INSTRUCTION = re.compile(rf"{INSTALLER}((?:(?: |\\\n)+(?:{WORD}))*)")
CODE_SPAN = re.compile(r"(?<!`)`(?!`)[^`]+`(?!`)")
FILE_OPTIONS = {"-c", "--constraint", "-r", "--requirement"}


def instructions(text: str) -> list[tuple[str, list[str]]]:
    """Every instruction to install something, with its words; one in backticks may go over the end of a line."""
    joined = CODE_SPAN.sub(lambda span: re.sub(r"\s+", " ", span[0]), text)
    return [
        (match[0], [word.strip("'\"") for word in re.findall(WORD, match[1].replace("\\\n", " "))])
        for match in INSTRUCTION.finditer(joined)
    ]


def mistake(words: list[str], root: Path) -> str | None:
    """What an instruction of these words installs that it should not; None where nothing is wrong."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    extras = project["optional-dependencies"]
    declared = [Requirement(line) for lines in (project["dependencies"], *extras.values()) for line in lines]
    known = {canonicalize_name(one.name): one.extras for one in declared}
    known[canonicalize_name(project["name"])] = set(extras)
    versions[canonicalize_name(project["name"])] = project["version"]
    wanted, rest = [], iter(words)
    for word in rest:
        if word in FILE_OPTIONS:
            file = next(rest, "")
            if not (root / file).is_file():
                return f"no such file: {file}"
        elif not word.startswith("-"):
            wanted.append(word)
    for word in wanted:
        checkout = re.fullmatch(r"\.(\[.*\])?", word)
        try:
            one = Requirement(f"{project['name']}{checkout[1] or ''}" if checkout else word)
        except InvalidRequirement:
            return f"not the name of a package: {word}"
        name = canonicalize_name(one.name)
        if name not in known or not one.extras <= known[name]:
            return f"not declared in pyproject.toml: {word}"
        if one.url or not one.specifier.contains(versions[name]):
            return f"another version than was tested: {word}"
    return None if wanted else "nothing to install"


def test_instructions_install_what_is_declared(tracked: dict[str, str], root: Path) -> None:
    """In documents, messages, images, make targets and job files; only tests may speak of other names."""
    found = {
        name: instructions(text)
        for name, text in tracked.items()
        if not name.startswith("tests/") and "install" in text
    }
    for place in ("README.md", "docs/job-file.md", "Makefile", "cluster/Dockerfile", "orchestrator/cli/doctor.py"):
        assert found[place], f"{place}: its instructions are not seen"
    mistakes = [
        f"{name}: {line}: {wrong}"
        for name, lines in found.items()
        for line, words in lines
        if (wrong := mistake(words, root))
    ]
    assert mistakes == []


def test_the_projects_name_is_nobody_elses(root: Path) -> None:
    """A name among the pinned packages would be taken from an index; so would ``orch``, which is another project."""
    name = canonicalize_name(tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"])
    lines = (root / "constraints.txt").read_text().splitlines()
    assert name not in {"orch", *(canonicalize_name(line.split("==")[0]) for line in lines)}


def test_every_place_names_the_same_pythons(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    project, tools = settings["project"], settings["tool"]
    tested = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    *others, newest = tested
    assert f"Python {', '.join(others)} or {newest}" in (root / "README.md").read_text()
    oldest = tested[0]
    assert project["requires-python"] == f">={oldest}"
    assert tools["mypy"]["python_version"] == oldest
    assert tools["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert ".".join(map(str, OLDEST)) == oldest
    assert f"orch needs Python {oldest} or newer" in (root / "Makefile").read_text()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip {} .", None),
        ("python -m pip {} -c constraints.txt -e '.[dev]'", None),
        ("RUN pip {} --no-cache-dir \\\n    torch==2.14.1 && true", None),
        ("in a checkout (`pip {}\n  '.[inception]'`), then go on", None),
        ("pip {} 'gan-orch[inception]'", None),
        ("pip {} gan_orch", None),
        ("pip {} 'orch[inception]'", "not declared"),
        ("pip --quiet {} orch", "not declared"),
        ("pip3 {} \\\n  orch", "not declared"),
        ("`pip {}\n  'orch[inception]'`", "not declared"),
        ("pipx {} orchestrator", "not declared"),
        ("uv tool {} orch", "not declared"),
        ("uv pip {} pillow", None),
        ("pip {} pillow-simd", "not declared"),
        ("pip {} '.[gpu]'", "not declared"),
        ("pip {} 'ray[serve]'", "not declared"),
        ("pip {} 'torch-fidelity>=0.5'", "another version"),
        ("pip {} 'torch @ https://example.org/torch.whl'", "another version"),
        ("pip {} -r requirements.txt .", "no such file"),
        ('f"pip {} {{name}}"', "not the name"),
        ("pip {}\n\nand so on", "nothing to install"),
    ],
)
def test_the_guard_reads_instructions_as_people_write_them(text: str, wrong: str | None, root: Path) -> None:
    verb = "install"
    ((_, words),) = instructions(text.format(verb))
    found = mistake(words, root)
    assert (found or "nothing is wrong").startswith(wrong or "nothing is wrong")
