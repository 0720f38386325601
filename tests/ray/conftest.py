"""One warm Ray for all tests of this folder that run in this process, and the jobs they run on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from orchestrator.cli.main import main
from orchestrator.data.digits import Digits
from orchestrator.metrics.classifier import content_key, dump, train_classifier
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.survey import checkpointed_in
from orchestrator.runtime import local
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import Outcome, run_sweep
from orchestrator.spec.job import Job, make_job
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store
from tests import jobs
from tests.figures import unlaid

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.runtime.events import Event
    from orchestrator.state.files import EvaluationProgress
    from orchestrator.store.location import Store

HERE = Cluster((Machine(2, 0),))
DIGITS = Digits(max_images=160)
STUDY = {"data": {"name": "digits", "max_images": 160}, "grid": {"training.seed": [0, 1, 2]}}
"""What the trials are of that most tests of evaluations look at."""
QUALITY = {"kind": "quality", "samples": 200, "truncation": [0.5]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts Ray is slow."""
    for item in items:
        if "/ray/" in str(item.path):
            item.add_marker(pytest.mark.slow)


STARTED: list[subprocess.Popen[str]] = []
"""Drivers that a test has started, each the leader of a group; what a failed test leaves would disturb the next."""


@pytest.fixture(autouse=True)
def ended_drivers() -> Iterator[None]:
    """Kill drivers that are still there after the test."""
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stderr is not None:
            process.stderr.close()
    STARTED.clear()


@pytest.fixture(scope="package")
def ray_here() -> Iterator[None]:
    """A Ray of two logical processors, and of two GPUs that exist for its scheduler only.

    It ends with the tests of this folder: those of other folders start Rays of their own, or count on none.
    """
    with local_ray(Cluster((Machine(cpus=2, gpus=2),))):
        yield


class Recorder:
    """A watcher that keeps what it hears and can do something on the way."""

    def __init__(self, on_event: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self.tallies: list[EvaluationProgress] = []
        self.on_event = on_event

    def update(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)
        self.on_event(event)

    def evaluated(self, tally: EvaluationProgress) -> None:
        """Keep where the evaluations stand."""
        self.tallies.append(tally)

    def tick(self) -> None:
        """Nothing to do between events."""

    def ends(self) -> dict[str, Status]:
        """How each trial ended; a trial that ended twice fails the test."""
        ended = [event for event in self.events if event.ended is not None]
        assert len({event.trial.id for event in ended}) == len(ended)
        return {event.trial.id: event.ended for event in ended if event.ended is not None}


def kill(event: Event) -> None:
    """Kill -9 the worker that reported the event."""
    os.kill(event.measures["pid"], signal.SIGKILL)


def raw_job(**changes: Any) -> dict[str, Any]:
    """A job of tiny networks and few steps; ``changes`` take the place of whole sections.

    Its trials take turns in one process, which takes longer to start than they all to train.
    """
    tiny = jobs.raw_job(
        "tiny",
        data={"name": "digits", "max_images": 64},
        objective={"kind": "non_saturating"},
        training={"epochs": 4, "batch_size": 8, "log_every": 3, "samples_every": 2},
        resources={"cpus_per_worker": 2},
    )
    return tiny | changes


def planner(folder: Path) -> Callable[..., tuple[Plan, Store]]:
    """Makes the plan of a raw job as a submission would, with the store of its results, which lie in ``folder``."""

    def make(raw: dict[str, Any], **options: Any) -> tuple[Plan, Store]:
        job: Job = make_job({"storage": str(folder / "results"), **raw}, "test.yaml")
        store = open_store(job.header.storage).child(job.header.name)
        evaluated = store.keys("evaluations")
        kept = checkpointed_in(store)
        return make_plan(job, read_ledger(store), kept, HERE, store.uri, evaluated=evaluated, **options), store

    return make


def classifier_key() -> str:
    """Where a storage keeps the classifier of the study's digits."""
    return f"_classifiers/{content_key(DIGITS.load())}.pt"


@pytest.fixture
def plan_for(tmp_path: Path) -> Callable[..., tuple[Plan, Store]]:
    """A planner whose results lie in the test's own folder."""
    return planner(tmp_path)


class Ran(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def orch(
    ray_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs a command in this process, beside the job file; what starts a Ray of its own gets the one that is here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "local_ray", lambda *_, **__: contextlib.nullcontext())

    def orch(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["orch", *arguments])
        capsys.readouterr()
        with unlaid(), pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return orch


class Study(NamedTuple):
    """A sweep whose trials were evaluated as they ended; what was said, and where its results lie."""

    folder: Path
    plan: Plan
    store: Store
    recorder: Recorder
    said: list[str]
    outcome: Outcome


@pytest.fixture(scope="session")
def classifier() -> bytes:
    """One of the study's digits, trained for less long than a run would."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.metrics.classifier._EPOCHS", 3)
        return dump(train_classifier(DIGITS.load()))


@pytest.fixture(scope="package")
def study(ray_here: None, classifier: bytes, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Run once for all tests of evaluations; an earlier job has left the classifier."""
    folder = tmp_path_factory.mktemp("study")
    LocalStore(folder / "results").write(classifier_key(), classifier)
    plan, store = planner(folder)(raw_job(**STUDY, evaluate=[QUALITY]))
    recorder = Recorder()
    said: list[str] = []
    outcome = run_sweep(plan, store, [recorder], said.append)
    return Study(folder, plan, store, recorder, said, outcome)


@pytest.fixture
def kept(classifier: bytes, tmp_path: Path) -> Path:
    """A storage in which an earlier job has left the classifier."""
    LocalStore(tmp_path / "results").write(classifier_key(), classifier)
    return tmp_path / "results" / classifier_key()


@pytest.fixture
def trained(study: Study, tmp_path: Path) -> Path:
    """The results of the study in the test's own folder, its trials not evaluated yet; the classifier's path."""
    shutil.copytree(study.folder / "results", tmp_path / "results", ignore=shutil.ignore_patterns("evaluations"))
    return tmp_path / "results" / classifier_key()


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a job file; the commands run beside it."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(raw_job(**changes)))
        return path

    return write
