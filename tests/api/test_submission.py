"""Jobs from Python: what is refused before anything starts, what the driver is told, how it is heard and stopped."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import orchestrator as orch
from orchestrator.api import submission
from orchestrator.errors import SettingsError, SurroundingsError
from orchestrator.spec.job import load_job
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.state.files import read_job
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.local import LocalStore

    Pretend = Callable[[str], Path]


@pytest.fixture
def driver(stored: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Has a script take the place of ``orch``; returns where that writes its arguments and its job file."""

    def pretend(script: str) -> Path:
        heard = tmp_path / "heard.json"
        code = (
            "import json, pathlib, signal, sys, time\n"
            f"told = {{'arguments': sys.argv[1:], 'job': pathlib.Path(sys.argv[2]).read_text()}}\n"
            f"pathlib.Path({str(heard)!r}).write_text(json.dumps(told))\n{script}"
        )
        monkeypatch.setattr(submission, "_ORCH", (sys.executable, "-c", code))
        return heard

    monkeypatch.chdir(tmp_path)
    return pretend


def job_of(stored: LocalStore) -> dict[str, Any]:
    return {**read_job(stored).resolved(), "storage": str(Path(stored.uri).parent)}


def test_a_dict_is_run_as_its_file_would_be(
    stored: LocalStore, driver: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = driver(
        "print('trained', flush=True)\nprint('go on with: orch', *sys.argv[1:], file=sys.stderr)\nsys.exit(1)"
    )
    study = orch.submit(job_of(stored), retry_failed=True)
    assert len(study.trials) == 4
    told = json.loads(heard.read_text())
    command, file, *options = told["arguments"]
    assert (command, options) == ("submit", ["--retry-failed"])
    (tmp_path / "same.yaml").write_text(told["job"])
    assert load_job(tmp_path / "same.yaml").trials == read_job(stored).trials
    assert not Path(file).exists()
    storage = Path(stored.uri).parent
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("trained\n")
    assert f"go on with: orch submit {file}" not in captured.err
    assert captured.err.endswith(f"go on with: orch resume quickstart --storage {storage} --retry-failed\n")


def test_a_file_stays_where_it_is(stored: LocalStore, driver: Pretend, tmp_path: Path) -> None:
    heard = driver("")
    (tmp_path / "my.yaml").write_text(dump_yaml({**job_of(stored), "storage": "elsewhere"}))
    storage = str(Path(stored.uri).parent)
    study = orch.submit(tmp_path / "my.yaml", overrides=["training.checkpoint_every=2"], storage=storage)
    assert study.uri == stored.uri
    expected = ["submit", str(tmp_path / "my.yaml"), "--set", "training.checkpoint_every=2", "--storage", storage]
    assert json.loads(heard.read_text())["arguments"] == expected


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("print('error: resources: too large', file=sys.stderr)\nsys.exit(2)", "resources: too large"),
        ("print('error: Ray died', file=sys.stderr)\nsys.exit(1)", "Ray died"),
        ("sys.exit(130)", "quickstart: the run was stopped; every trial keeps its last state, and another submission"),
        ("import os\nos.kill(os.getpid(), signal.SIGKILL)", "quickstart: the run ended with code -9"),
    ],
)
def test_a_run_that_ends_otherwise_is_one_line(stored: LocalStore, driver: Pretend, script: str, line: str) -> None:
    driver(script)
    with pytest.raises(SurroundingsError) as error:
        orch.submit(job_of(stored))
    assert str(error.value).startswith(line)


def test_an_interrupt_reaches_the_run_once_and_is_waited_for(
    stored: LocalStore, driver: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = driver(
        "count = []\n"
        "signal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
        "pathlib.Path('ready').write_text('')\n"
        "deadline = time.monotonic() + 120\n"
        "while not count and time.monotonic() < deadline: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "print('stored after', len(count), flush=True)\n"
        "sys.exit(130)"
    )

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        orch.submit(job_of(stored))
    thread.join()
    assert heard.exists()
    assert capfd.readouterr().err.endswith("stored after 1\n")


@pytest.mark.parametrize(
    ("job", "line"),
    [
        ({"nam": "x"}, "job: nam: unknown key; did you mean 'name'? "),
        (raw_job(training={"epochs": -1}), "job: training.epochs: got -1, expected "),
        (raw_job(training={"epochs": np.float64(3)}), "job: holds a value of type float64, expected text, numbers, "),
        (raw_job(training={"epochs": print}), "job: "),
        ({1: "x"}, "job: line 1, column 1: not valid YAML: key 1 is not text"),
        ({}, "job: "),
        ("no.yaml", "no.yaml: cannot be read: No such file or directory"),
        (7, "job: got 7, expected a dict or the path of a job file"),
        (None, "job: got null, expected a dict or the path of a job file"),
    ],
)
def test_what_is_no_job_starts_nothing(driver: Pretend, job: Any, line: str) -> None:
    heard = driver("")
    with pytest.raises(SettingsError) as error:
        orch.submit(job)
    assert str(error.value).startswith(line)
    assert str(error.value).isprintable()
    assert not heard.exists()


def test_a_job_within_itself_is_one_line(driver: Pretend) -> None:
    heard = driver("")
    job = raw_job()
    job["training"] = job
    with pytest.raises(SettingsError, match=r"job: .*nested deeper than 50 levels, or within itself"):
        orch.submit(job)
    assert not heard.exists()
