"""The project's own files, as the guards read them."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> dict[str, str]:
    """The text of every file that git tracks, by its path; pictures and tables are left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    texts = {}
    for name in listed.decode().split("\0"):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            texts[name] = content.decode()
    assert len(texts) > 100
    return texts


@pytest.fixture(scope="session")
def modules() -> dict[str, ast.Module]:
    """Every Python file of the package and its tests, parsed, by its path."""
    paths = sorted(path for folder in ("orchestrator", "tests") for path in (ROOT / folder).rglob("*.py"))
    assert len(paths) > 100
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}
