"""Whatever lies in a job's folder, each command that reads it answers, or says in one line why it does not."""

from __future__ import annotations

import io
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.cli.main import main
from orchestrator.state import liveness
from orchestrator.store.local import LocalStore
from tests.cli import hostile

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ["file"] * 7 + ["folder", "pipe", "link"]
PHASES = [phase for phase in Phase if phase is not Phase.shrink]
"""A smaller example would take minutes to find, and this one tells its file."""
CANARY = "canary-5f2c"
KEYS = ("job.yaml", "run.json", "run.log", "handover.json", "evaluated.json", "cancel.json", "lease/00000001.json")
FAST = [
    ("list",),
    ("status", "study"),
    ("status", "study", "--json"),
    ("results", "study"),
    ("results", "study", "--json"),
    ("results", "study", "--csv", "-"),
    ("results", "study", "--evaluation", "quality"),
    ("results", "study", "--claims"),
    ("results", "study", "--sql", "select * from trials join metrics using (trial_id)"),
    ("logs", "study"),
    ("plan", "study"),
]
SELDOM = [
    ("show", "study", "{0}"),
    ("diff", "study/{0}", "{1}"),
    ("diff", "study", "whole"),
    ("copy", "study", "results", "elsewhere"),
    ("prune", "study", "--keep", "best", "--yes"),
    ("rm", "study", "--trials", "{0}", "--yes"),
    ("rm", "study", "--yes"),
]
"""Of these one is drawn each time; ``{0}`` and ``{1}`` are the trials."""


class Folder:
    """A whole job's folder, of which a copy is spoiled each time, beside a file that no command may show."""

    def __init__(self, where: Path) -> None:
        self.outside = where / "outside"
        self.outside.write_text(f"{CANARY}\n")
        self.whole, self.root = where / "whole", where / "results" / "study"
        self.trials = [trial.id for trial in hostile.whole_job(LocalStore(self.whole)).trials]
        self.keys = sorted({*KEYS, *(str(p.relative_to(self.whole)) for p in self.whole.rglob("*") if p.is_file())})

    def spoil(self, key: str, kind: str, data: bytes) -> None:
        """Lay out the job anew, with something else in one place."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.whole, self.root)
        hostile.place(self.root / key, kind, data, self.outside)

    def spoil_one(self, data: Any) -> None:
        """The same with a file, and what is in its place, drawn at random."""
        key = data.draw(st.sampled_from(self.keys))
        kind = data.draw(st.sampled_from(KINDS))
        self.spoil(key, kind, data.draw(hostile.contents(key, self.original(key))) if kind == "file" else b"")

    def original(self, key: str) -> bytes:
        """What a run writes there, nothing where it would write nothing."""
        path = self.whole / key
        return path.read_bytes() if path.exists() else b""


@pytest.fixture(autouse=True)
def no_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run elsewhere that is said to be at work is not waited for."""
    monkeypatch.setattr(liveness, "LISTEN_S", 0.0)


@pytest.fixture(scope="module")
def job_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("hostile"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and all that it printed. What is no exit is a defect, and is raised."""
    monkeypatch.setattr(sys, "argv", ["orch", *arguments])
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main()
    said.flush()
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return code, said.buffer.getvalue().decode()  # type: ignore[attr-defined]


def check(code: int, printed: str, arguments: tuple[str, ...]) -> None:
    """One line where it failed; nothing from elsewhere, and nothing that a terminal would obey."""
    assert code in (0, 2), (arguments, code, printed)
    assert "Traceback" not in printed, (arguments, printed)
    assert CANARY not in printed, (arguments, printed)
    raw = [c for c in printed if c != "\n" and not c.isprintable()]
    assert not raw or ("--csv" in arguments and set(raw) <= {"\r", "\t"}), (arguments, raw)
    if code == 2:
        assert [line for line in printed.splitlines() if line.startswith("error: ")][-1:] == printed.splitlines()[-1:]


@given(data=st.data())
@settings(max_examples=20, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_every_command_answers(job_folder: Folder, monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    monkeypatch.chdir(job_folder.outside.parent)
    job_folder.spoil_one(data)
    shutil.rmtree(job_folder.outside.parent / "elsewhere", ignore_errors=True)
    last = tuple(word.format(*job_folder.trials) for word in data.draw(st.sampled_from(SELDOM)))
    for arguments in [*FAST, last]:
        check(*run(monkeypatch, *arguments), arguments)
    assert job_folder.outside.read_text() == f"{CANARY}\n"


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=10, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_the_report_is_written_or_not(job_folder: Folder, monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    monkeypatch.chdir(job_folder.outside.parent)
    job_folder.spoil_one(data)
    arguments = ("report", "study")
    code, printed = run(monkeypatch, *arguments)
    check(code, printed, arguments)
    page = job_folder.root / "report" / "index.html"
    assert page.exists() == (code == 0)
    assert code == 2 or CANARY not in page.read_text()
