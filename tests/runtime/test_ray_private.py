"""Ray's private names stand in one module, which says with which Ray they were checked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import ray
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from orchestrator.runtime import ray_private

PACKAGE = Path(ray_private.__file__).parents[1]
PRIVATE = re.compile(r"(^|\.)_(?!_)")


def private_names(code: str) -> list[str]:
    """Modules and attributes of Ray with a part that begins with an underscore."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("ray")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("ray."):
            names.append(ast.unparse(node))
    return [name for name in names if PRIVATE.search(name)]


def test_they_are_found() -> None:
    code = "import ray._private\nfrom ray.x import _y\nfrom ray import z\nray._a.b\nray.get(1)"
    assert set(private_names(code)) == {"ray._private", "ray.x._y", "ray._a.b", "ray._a"}


def test_they_stand_in_one_module() -> None:
    found = {path.name: names for path in PACKAGE.rglob("*.py") if (names := private_names(path.read_text()))}
    assert set(found) == {"ray_private.py"}, found


def test_they_were_checked_with_the_installed_ray() -> None:
    assert ray.__version__.split(".")[:2] == ray_private.CHECKED_WITH.split(".")


def test_the_helpers_that_a_worker_group_goes_without_have_these_names() -> None:
    trainer = DataParallelTrainer(lambda: None)
    before = {type(callback).__name__ for callback in trainer._create_default_callbacks()}
    ray_private.without_helpers(trainer)
    after = {type(callback).__name__ for callback in trainer._create_default_callbacks()}
    assert before - after == set(ray_private._UNUSED_CALLBACKS)
