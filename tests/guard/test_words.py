"""Words and paths that belong to one machine or one way of working, not to the project."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator.data.dataset import Dataset
from orchestrator.models.model import Model
from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.settings import Settings

# Written so that no pattern finds itself.
MACHINE_PATH = re.compile(r"(?<![\w}.*-])/([w]ork|[r]oot|[h]ome/(?!jane\b|ray\b)\w+)/")
PACKAGE_HOST = re.compile(
    r"[p]ypi\.|python[h]osted|arti[f]actory|--[i]ndex-url|[i]ndex-url *=|[t]rusted-host|:[/]/registry"
)
MADE_BY = re.compile(r"\b(a[g]ent|as[s]istant|chat[b]ot|co-?[a]uthored)s?\b", re.IGNORECASE)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST, MADE_BY], ids=["path", "host", "word"])
def test_no_tracked_file_holds(tracked: dict[str, str], pattern: re.Pattern[str]) -> None:
    assert {name: match[0] for name, text in tracked.items() if (match := pattern.search(text))} == {}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "see /{}/main"),
        (MACHINE_PATH, "PATH=/{}/.cache/x"),
        (PACKAGE_HOST, "https://{}.org/simple"),
        (MADE_BY, "Made by an {}."),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    words = {
        MACHINE_PATH: ("wo" + "rk", "ro" + "ot"),
        PACKAGE_HOST: ("py" + "pi",),
        MADE_BY: ("ag" + "ent", "Ag" + "ents"),
    }
    for word in words[pattern]:
        assert pattern.search(text.format(word))


def test_nothing_tracked_is_large(tracked: dict[str, str]) -> None:
    large = {name: len(text) for name, text in tracked.items() if len(text) > 1_000_000}
    assert {name: size for name, size in large.items() if not name.startswith("results/")} == {}


def test_reference_runs_stay_under_five_megabytes(root: Path) -> None:
    for run in (root / "results").glob("*/README.md"):
        command = ["git", "ls-files", "-z", str(run.parent)]
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
        sizes = [(root / name).stat().st_size for name in listed.split("\0") if name]
        assert sizes
        assert sum(sizes) < 5_000_000, run.parent.name


def kinds(base: type[Settings], tag: str) -> list[str]:
    children = base.__subclasses__()
    if children:
        return [kind for child in children for kind in kinds(child, tag)]
    return list(base.model_fields[tag].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        *(("data", kind) for kind in kinds(Dataset, "name")),
        *(("models", kind) for kind in kinds(Model, "kind")),
        *(("objectives", kind) for kind in kinds(Objective, "kind")),
    ],
)
def test_every_kind_is_named_by_a_test_of_its_package(tracked: dict[str, str], folder: str, kind: str) -> None:
    class_name = kind.title().replace("_", "")
    tests = [text for name, text in tracked.items() if name.startswith(f"tests/{folder}/test_")]
    assert any(re.search(rf"\b({kind}|{class_name})\b", text) for text in tests)
