"""The warm workers of evaluations: one device each, whatever comes and goes, given back when others want it."""

from __future__ import annotations

import importlib
import os
import time
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
import torch
from ray.util.placement_group import placement_group, remove_placement_group

from orchestrator.evaluations.restoration import compute
from orchestrator.plan.placement import Placement
from orchestrator.runtime import classifiers, evaluation, worker_pool
from orchestrator.runtime.evaluation import EvaluationInputs, Models
from orchestrator.runtime.host_work import HostWork
from orchestrator.runtime.sweep import run_sweep
from orchestrator.runtime.trainer import SweepContext
from orchestrator.runtime.worker_pool import Task, WorkerPool
from orchestrator.state.ledger import provenance
from orchestrator.store.local import LocalStore
from tests.ray.conftest import QUALITY, STUDY, Study, raw_job
from tests.ray.nodes import wait_until
from tests.ray.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.state.due import Due
    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")


class Noted(LocalStore):
    """A store that notes which process reads and writes what, and which GPUs Ray gave it."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Note, and write."""
        self._note("write", key)
        return super().write(key, data, replace=replace)

    def read(self, key: str, most: int | None = None) -> bytes:
        """Note, and read."""
        self._note("read", key)
        return super().read(key, most)

    def _note(self, verb: str, key: str) -> None:
        with (Path(self.uri) / ".noted").open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {verb} {key}\n")


@ray.remote(num_cpus=0)
class Holder:
    """Holds a GPU."""

    def devices(self) -> str:
        """The GPU."""
        return os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize("gpus", [1.0, 0.5])
def test_a_worker_stays_on_its_device_and_loads_a_trial_once(plan_for: Callable, trained: Path, gpus: float) -> None:
    """Where another holds one of the two GPUs, two workers of half a GPU share the other one."""
    qualities = [QUALITY | {"samples": samples, "truncation": []} for samples in (210, 220)]
    plan, store = plan_for(raw_job(**STUDY, evaluate=qualities))
    plan = replace(plan, placements={1: Placement("cpu", workers=1, cpus=1, gpus=gpus, concurrent=2)})
    holder = Holder.options(num_gpus=1).remote() if gpus < 1 else None
    held = set() if holder is None else {ray.get(holder.devices.remote())}
    outcome = run_sweep(plan, Noted(Path(store.uri)), [])
    if holder is not None:
        ray.kill(holder)
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (6, 0)
    devices: dict[str, set[str]] = {}
    loaded: Counter[tuple[str, str]] = Counter()
    written: Counter[str] = Counter()
    for line in (Path(store.uri) / ".noted").read_text().splitlines():
        process, device, verb, key = line.split()
        if (verb, key.partition("/")[0]) == ("read", "checkpoints"):
            loaded[process, key] += 1
        if (verb, key.partition("/")[0]) == ("write", "evaluations"):
            written[key] += 1
            devices.setdefault(process, set()).add(device)
    assert len(devices) == 2
    assert all(len(seen) == 1 for seen in devices.values())
    assert set.union(*devices.values()) == {"0", "1"} - held
    assert set(loaded.values()) == set(written.values()) == {1}
    assert len(written) == 6


def pid_as_classifier(_images: Any, _device: str, _threads: int) -> tuple[bytes, None]:
    return str(os.getpid()).encode(), None


def test_a_process_that_trains_a_classifier_on_a_gpu_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, study: Study, tmp_path: Path
) -> None:
    monkeypatch.setattr(classifiers, "_train", pid_as_classifier)
    plan = replace(study.plan, placements={1: Placement("cuda", workers=1, cpus=1, gpus=1.0, concurrent=2)})
    data = plan.due[0].trial.settings.data
    found = classifiers.classifiers_for({data: data.load()}, plan, LocalStore(tmp_path), print, print)[data]
    assert found is not None
    wait_until(lambda: not is_alive(int(found)), "the end of the process")


class Sleeper:
    """Stands for a worker: sleeps as many seconds as its first shard's number, and never starts where it is to fail."""

    def __init__(self, inputs: list[str], _placement: Placement) -> None:
        assert inputs == ["fine"]

    def node(self) -> str:
        """None that is drained."""
        return ""

    def evaluate(self, _trial: Any, _evaluation: Any, shards: list[int], _on_host: Any) -> None:
        """Sleep."""
        time.sleep(shards[0])


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkerPool]]:
    """Makes a pool of such workers, each with both processors of this Ray."""
    monkeypatch.setattr(worker_pool, "EvaluationWorker", Sleeper)
    pools = []

    def make(word: str = "fine") -> WorkerPool:
        pools.append(WorkerPool([word], Placement("cpu", workers=1, cpus=2, gpus=0, concurrent=1), 2))  # type: ignore[list-item]
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def tasks(plan_for: Callable) -> Callable[..., deque[Task]]:
    """Makes tasks of so many seconds each."""
    (due,) = plan_for(raw_job(evaluate=[QUALITY]))[0].due
    return lambda *seconds: deque(Task(due, [each]) for each in seconds)


def test_a_worker_that_idles_gives_its_devices_back(
    sleepers: Callable[..., WorkerPool], tasks: Callable[..., deque[Task]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_IDLE_S", 0.2)
    pool, waiting = sleepers(), tasks(0)
    pool.distribute(waiting)
    wait_until(lambda: pool.distribute(waiting) or pool.collect(waiting, 0.1), "the end of the task")
    assert ray.available_resources().get("CPU", 0) == 0

    def given_back() -> bool:
        pool.distribute(waiting)
        return ray.available_resources().get("CPU", 0) == 2

    wait_until(given_back, "the devices")


def test_who_waits_for_devices_gets_them_after_the_task_and_nothing_is_lost(
    sleepers: Callable[..., WorkerPool], tasks: Callable[..., deque[Task]]
) -> None:
    pool, waiting = sleepers(), tasks(0, 4, 0)
    group, given, done = None, False, 0

    def go_on() -> bool:
        nonlocal group, given, done
        pool.distribute(waiting)
        if group is None and len(waiting) == 1:  # the second task runs
            group = placement_group([{"CPU": 2}])
        done += len(pool.collect(waiting, 0.1))
        if group is not None and not given and group.wait(0):
            assert done == 2
            given = True
            remove_placement_group(group)
        return done == 3

    wait_until(go_on, "all tasks")
    assert given


def test_a_worker_that_never_starts_fails_the_task_that_waits_for_it(
    sleepers: Callable[..., WorkerPool], tasks: Callable[..., deque[Task]]
) -> None:
    pool, waiting = sleepers("broken"), tasks(0)
    pool.distribute(waiting)
    (ended,) = wait_until(lambda: pool.collect(waiting, 0.1), "the failure")
    assert isinstance(ended.error, ray.exceptions.RayActorError)
    assert not waiting


RESTORATION = {
    "kind": "restoration",
    "images": 4,
    "restarts": 1,
    "steps": 1,
    "norms": ["l2"],
    "corruptions": [{"kind": "pepper"}, {"kind": "gaussian_noise"}],
}


def test_what_needs_no_gpu_is_computed_without_one_and_once_for_all_trials(
    plan_for: Callable, trained: Path, classifier: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = plan_for(raw_job(**STUDY, evaluate=[RESTORATION]))
    placement = Placement("cpu", workers=1, cpus=torch.get_num_threads(), gpus=1, concurrent=1)
    first, second, third = plan.due
    inputs = [ray.put(inputs_of(first, store, classifier, placement))]
    holder = Holder.options(num_gpus=2).remote()
    assert ray.get(holder.devices.remote()) == "0,1"
    work = HostWork(inputs, max_retries=0)
    on_host = work.of(first, first.missing)
    assert len(on_host) == 2
    assert work.of(second, second.missing) == on_host
    assert [type(part) for part in ray.get(on_host)] == [dict, dict]
    ray.kill(holder)
    with monkeypatch.context() as patched:
        patched.setattr(compute, "baseline", lambda *_: pytest.fail("the worker makes a baseline"))
        worker = evaluation.EvaluationWorker(inputs, placement)
        assert worker.evaluate(first.trial, first.evaluation, first.missing, on_host) is None
    plan = replace(plan_for(raw_job(**STUDY, evaluate=[RESTORATION]))[0], placements={1: replace(placement, cpus=1)})
    assert [due.trial.id for due in plan.due if due.missing] == [due.trial.id for due in (second, third)]
    outcome = run_sweep(plan, store, [])
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (2, 0)


def inputs_of(due: Due, store: Store, classifier: bytes, placement: Placement) -> EvaluationInputs:
    data = due.trial.settings.data
    context = SweepContext("job", {}, {data: data.load()}, {data: classifier}, store, provenance(), {})
    return EvaluationInputs(ray.put(context), {data: ray.put(data.load("test"))}, None, placement)


COUNTED = (
    "orchestrator.training.checkpoint.load_networks",
    "orchestrator.metrics.classifier.load",
    "orchestrator.metrics.sample_quality.SampleQuality",
)


def test_networks_and_real_features_are_kept_as_long_as_there_is_room(
    study: Study, classifier: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[str] = Counter()

    def count(place: str) -> None:
        module, _, name = place.rpartition(".")
        original = getattr(importlib.import_module(module), name)
        monkeypatch.setattr(place, lambda *given: made.update([name]) or original(*given))

    for place in COUNTED:
        count(place)
    monkeypatch.setattr(evaluation, "_NETWORKS", 2)
    placement = Placement("cpu", workers=1, cpus=1, gpus=0, concurrent=1)
    models = Models(inputs_of(study.plan.due[0], study.store, classifier, placement), torch.device("cpu"))
    first, second, third = study.plan.due
    for due in (first, second, first, second, third, second, first):
        model = models.get(due.trial, due.evaluation)
        assert model.trial_id == due.trial.id
        assert model.sample_quality is model.sample_quality
    assert made == {"load_networks": 4, "load": 1, "SampleQuality": 1}
