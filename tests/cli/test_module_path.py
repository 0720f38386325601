"""Where ``python -m orchestrator.cli`` finds modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orchestrator

HOME = str(Path(orchestrator.__file__).parents[1])


def run(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "--version"]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_modules_in_the_current_folder_count_only_where_the_user_says_so(tmp_path: Path) -> None:
    for name in ("random", "yaml", "typer", "pathlib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'a stranger was imported: {__file__}')")
    assert run(tmp_path, HOME).stdout == f"orch {orchestrator.__version__}\n"
    assert "a stranger was imported" in run(tmp_path, os.pathsep.join([HOME, str(tmp_path)])).stderr
    assert run(Path(HOME), "").stdout == f"orch {orchestrator.__version__}\n"
