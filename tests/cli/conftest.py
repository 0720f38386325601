"""The command line called in this process, in an empty folder, and a small job to call it with."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.main import main
from orchestrator.runtime import slurm
from orchestrator.state import liveness
from orchestrator.store.local import LocalStore
from tests.cli.fake_slurm import Fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB = """\
name: study
data: {name: digits}
model: {kind: dcgan, latent_dim: 8, width: 4}
objective: {kind: non_saturating}
training: {epochs: 2, batch_size: 100}
grid:
  training.d_steps: [1, 3]
  training.seed: [0, 1]
"""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs elsewhere are listened to for a moment."""
    monkeypatch.setattr(liveness, "POLL_S", 0.01)
    monkeypatch.setattr(liveness, "LISTEN_S", 0.05)


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line on stderr, of a command that ended with exit code 2 and said nothing else."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.startswith("error: "), self.err
        assert self.err.endswith("\n"), self.err
        line = self.err[:-1]
        assert line.isprintable(), self.err
        return line.removeprefix("error: ")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds job.yaml and nothing else."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "job.yaml").write_text(JOB)
    return tmp_path / "here"


@pytest.fixture
def store(folder: Path) -> LocalStore:
    """The root of the job's results, in which nothing is yet."""
    return LocalStore(folder / "results" / "study")


@pytest.fixture
def orch(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def orch(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["orch", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Ran(code, captured.out, captured.err)

    return orch


@pytest.fixture
def untouched(folder: Path) -> Iterator[None]:
    """Fails a test that wrote, changed or removed a file."""

    def files() -> dict[str, bytes | None]:
        return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

    before = files()
    yield
    assert files() == before


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Ahead of the PATH; sbatch gives job 12, and sinfo knows no partition, so that nothing is refused."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("ORCH_SITE", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(slurm, "_POLL_S", 0.01)
    fake = Fake(tmp_path / "bin")
    fake.answers("sbatch", "12\n")
    fake.answers("sinfo", "")
    return fake
