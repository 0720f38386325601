"""Who may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

HEAVY = ("torch", "torchvision", "ray", "sklearn", "matplotlib", "scipy.stats", "duckdb", "boto3")
TRAINERS = ("torch", "torchvision", "sklearn", "skimage", "scipy.stats")


def imported(module: ast.Module) -> set[str]:
    """Top-level names of all modules imported anywhere in a file, by statement or by function call."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return {name.split(".")[0] for name in names if isinstance(name, str)}


def test_ray_is_imported_in_the_runtime_only(modules: dict[str, ast.Module]) -> None:
    package = {name: module for name, module in modules.items() if name.startswith("orchestrator/")}
    users = {name for name, module in package.items() if "ray" in imported(module)}
    assert users
    assert all(name.startswith("orchestrator/runtime/") for name in users), users


def test_the_guard_sees_every_form_of_import() -> None:
    for line in (
        "import ray",
        "from ray.tune import X",
        "def f():\n import ray.train",
        "importlib.import_module('ray')",
    ):
        assert imported(ast.parse(line)) == {"ray"}
    assert imported(ast.parse("from orchestrator.runtime import local\nimport x.ray")) == {"orchestrator", "x"}


LIGHT = [
    ["--help"],
    ["plan", "--help"],
    ["validate", "job.yaml"],
    ["plan", "job.yaml"],
    ["plan", "job.yaml", "--json"],
    ["submit", "job.yaml", "--dry-run"],
    ["plan", "no.yaml"],
    ["status", "quickstart"],
]


def test_what_only_looks_starts_light(tmp_path: Path, root: Path) -> None:
    """One process runs all, since what none has imported each has not."""
    (tmp_path / "job.yaml").write_bytes((root / "jobs" / "quickstart.yaml").read_bytes())  # which has claims
    code = (
        "import sys\n"
        "from orchestrator.cli.main import main\n"
        f"for arguments in {LIGHT!r}:\n"
        "    sys.argv = ['orch', *arguments]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        f"        print('loaded', arguments, *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = [line for line in ran.stdout.splitlines() if line.startswith("loaded ")]
    assert loaded == [f"loaded {arguments}" for arguments in LIGHT]


def test_a_plan_without_claims_needs_no_statistics(tmp_path: Path, root: Path) -> None:
    job = yaml.safe_load((root / "jobs" / "quickstart.yaml").read_text())
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**job, "claims": []}))
    code = (
        "import sys\n"
        "from orchestrator.cli.main import main\n"
        "sys.argv = ['orch', 'plan', 'job.yaml']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print('loaded', *[name for name in sys.modules if name.split('.')[0] == 'scipy'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "loaded"


def test_what_drives_and_draws_needs_nothing_that_trains() -> None:
    """A driver and a report start in half the time without: torch alone takes seconds."""
    code = (
        "import sys\n"
        "import orchestrator.report.page, orchestrator.server.app\n"
        "print('ray' in sys.modules)\n"
        "import orchestrator.runtime.remote, orchestrator.runtime.sweep\n"
        f"print([name for name in {TRAINERS!r} if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n[]\n"


def test_what_trains_and_measures_needs_neither_a_compiler_nor_torchvision(tmp_path: Path) -> None:
    """Each takes every worker as long to import as torch itself."""
    code = (
        "import pathlib, sys\n"
        "from orchestrator.data.batches import to_device\n"
        "from orchestrator.metrics.classifier import train_classifier\n"
        "from orchestrator.spec.job import make_job\n"
        "from orchestrator.store.local import LocalStore\n"
        "from orchestrator.training.session import Session\n"
        "from tests.jobs import raw_job\n"
        "training = {'epochs': 1, 'batch_size': 16, 'samples_every': 1}\n"
        "raw = raw_job('light', data={'max_images': 16}, training=training)\n"
        "trial = make_job(raw, 'job.yaml').trials[0].settings\n"
        "images = trial.data.load()\n"
        f"session = Session('0', trial, to_device(images, 'cpu'), LocalStore(pathlib.Path({str(tmp_path)!r})))\n"
        "session.advance(60)\n"
        "assert session.progress.done\n"
        "train_classifier(images)\n"
        "print([name for name in ('torch._dynamo', 'torchvision') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_imports_point_down(root: Path) -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "2 kept, 0 broken" in ran.stdout


def test_every_package_has_its_layer(root: Path) -> None:
    linter = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layered = {name.strip() for layer in linter["contracts"][0]["layers"] for name in layer.split("|")}
    package = root / "orchestrator"
    there = {path.parent.name for path in package.glob("*/__init__.py")} | {
        path.stem for path in package.glob("*.py") if path.stem != "__init__"
    }
    assert layered == {f"orchestrator.{name}" for name in there}
    rayless = {f"orchestrator.{path.parent.name}" for path in package.glob("*/__init__.py")} - {"orchestrator.runtime"}
    assert set(linter["contracts"][1]["source_modules"]) == rayless
