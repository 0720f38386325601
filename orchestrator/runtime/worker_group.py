"""Warm worker groups: the processes of one Ray Train run train trial after trial on several devices."""

from __future__ import annotations

import ipaddress
import tempfile
import threading
import uuid
from typing import TYPE_CHECKING, Any

import ray
from ray import train, tune
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import OrchError, SurroundingsError
from orchestrator.plan.retry import classify
from orchestrator.runtime.command_channel import Command, CommandChannel, Failure
from orchestrator.runtime.preemption import PreemptedError, being_drained
from orchestrator.runtime.ray_private import without_helpers
from orchestrator.runtime.rendezvous import ProcessGroupConfig
from orchestrator.runtime.trainer import SweepContext, Trainer, describe, failed, measured, trial_of
from orchestrator.state.ledger import FailureKind, Status, record

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from orchestrator.distributed.group import Group
    from orchestrator.plan.placement import Placement
    from orchestrator.spec.job import Trial

_LISTEN_S = 2.0
"""Seconds that a trial waits for a report before it returns to Tune."""
_LEAVE_S = 60.0
"""Seconds that a worker group may take to store its state and end."""

channel_actor = ray.remote(num_cpus=0)(CommandChannel)


class WorkerGroupLostError(OrchError):
    """A process of the worker group, its device or its link to others died: the trial goes on in another group."""


class WorkerGroup:
    """One run of Ray Train, whose processes wait for commands until one of them is to end."""

    def __init__(self, references: list[ray.ObjectRef], placement: Placement) -> None:
        this_node = ray.get_runtime_context().get_node_id()
        self.channel = channel_actor.options(scheduling_strategy=NodeAffinitySchedulingStrategy(this_node, soft=False))
        self.channel = self.channel.remote()
        self.nodes = frozenset([this_node])
        self.error: Exception | None = None
        # Ray Train's own state, from which nothing goes on; its controller runs on this node.
        self._folder = tempfile.TemporaryDirectory(prefix="orch-workers-", ignore_cleanup_errors=True)
        self._trainer = _ray_trainer(references, placement, self.channel, self._folder.name)
        # A daemon: the thread ends with the trainer, and the trainer with this process.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:  # ``poll`` raises it in the trial; an exception of a thread reaches nobody
            self.error = error

    def send(self, trial: Trial) -> None:
        """Have the worker group leave its trial and train this one."""
        ray.get(self.channel.send.remote(trial))

    def poll(self) -> tuple[dict[str, Any] | None, Failure | None]:
        """The latest report and the first failure, as soon as there is either.

        Raises WorkerGroupLostError where the group ended without a failure, PreemptedError where nodes were drained.
        """
        status = ray.get(self.channel.poll.remote(_LISTEN_S))
        self.nodes |= status.nodes
        if status.report is None and status.failure is None and not self._thread.is_alive():
            deaths = getattr(self.error, "worker_failures", {}).values()
            if any(getattr(death, "preempted", False) for death in deaths):
                raise PreemptedError
            raise WorkerGroupLostError(_cause(self.error))
        return status.report, status.failure

    def end(self) -> None:
        """Have the worker group store the state of its trial, and end it."""
        if self._thread.is_alive():
            ray.get(self.channel.send.remote(None))
            self._thread.join(_LEAVE_S)
        ray.kill(self.channel)
        self._folder.cleanup()


def _ray_trainer(
    references: list[ray.ObjectRef], placement: Placement, channel: ActorHandle, folder: str
) -> DataParallelTrainer:
    # Broadcasts of commands go over gloo, so that no GPU waits for them.
    backend = "cpu:gloo,cuda:nccl" if placement.device == "cuda" else "gloo"
    loopback = ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback
    trainer = DataParallelTrainer(
        train_together,
        train_loop_config={"references": references, "channel": channel, "placement": placement},
        scaling_config=train.ScalingConfig(
            num_workers=placement.workers,
            use_gpu=placement.gpus > 0,
            resources_per_worker={"CPU": placement.cpus, "GPU": placement.gpus},
        ),
        # A Ray on the loopback address has no other machine, so that all processes share the folder.
        backend_config=ProcessGroupConfig(backend, folder if loopback else ""),
        run_config=train.RunConfig(
            # Ray Train would go on with an old run of the same name.
            name=uuid.uuid4().hex,
            storage_path=folder,
            # Only Tune retries: if Ray Train did too, a trial would run twice.
            failure_config=train.FailureConfig(max_failures=0, max_preemption_failures=0),
        ),
    )
    without_helpers(trainer)
    return trainer


def train_together(config: dict[str, Any]) -> None:
    """Run in each process of a worker group: train the trial of each command with the others, until the end."""
    import torch
    from ray.train.torch import get_device

    from orchestrator.distributed.group import current_group

    placement: Placement = config["placement"]
    device = torch.device("cpu")
    if placement.device == "cuda":
        torch.cuda.set_device(device := get_device())
    group, channel = current_group(), config["channel"]
    trainer = Trainer(ray.get(config["references"][0]), device, placement, group)
    ray.get(channel.join.remote(ray.get_runtime_context().get_node_id()))
    number = 0
    while True:
        command: Command | None = group.broadcast(
            ray.get(channel.next_command.remote(number)) if group.is_leader else None
        )
        if command is None:  # no command yet: poll again, so that the others' broadcast does not time out
            continue
        if command.trial is None:
            group.disband()
            return
        number = command.number
        try:
            _train(trainer, command, channel, group)
        except Exception as error:
            ray.get(channel.fail.remote(Failure(number, describe(error), str(classify(error)))))
            raise


def _train(trainer: Trainer, command: Command, channel: ActorHandle, group: Group) -> None:
    """Train until the trial has ended or the command is no longer the latest; then store the trial's state."""
    assert command.trial is not None
    trainer.take(command.trial)
    running = True
    while running:
        report = trainer.advance()
        current: bool = ray.get(channel.report.remote(command.number, report)) if group.is_leader else True
        running = group.broadcast(current) and not report[tune.result.DONE]
    trainer.leave()


class WorkerGroupTrainable(tune.Trainable):  # type: ignore[misc]
    """A trial that a worker group trains: it passes commands and reports on, and requests almost no resources."""

    def setup(self, config: dict[str, Any], *, references: list[ray.ObjectRef], placement: Placement) -> None:
        """Store what a worker group needs; the first step starts it, and does not wait for its devices."""
        self.references, self.placement = references, placement
        self.context: SweepContext = ray.get(references[0])
        self.worker_group: WorkerGroup | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial: the worker group leaves the previous one when it receives the command."""
        self.trial = trial_of(new_config, self.context)
        self.last: dict[str, Any] = {}
        if self.worker_group is not None:
            self.worker_group.send(self.trial)
        return True

    def step(self) -> dict[str, Any]:
        """Report the trial's progress; only Tune's own values while the worker group waits for devices."""
        if self.worker_group is None:
            self.worker_group = WorkerGroup(self.references, self.placement)
            self.worker_group.send(self.trial)
        if being_drained(self.worker_group.nodes):
            self.cleanup()
            raise PreemptedError
        report, failure = self.worker_group.poll()
        if failure is not None:
            return self._fail(failure)
        if report is None:
            return {}
        self.last = report
        return report

    def _fail(self, failure: Failure) -> dict[str, Any]:
        """End the group of the failed process, and the trial only where another run would fail the same way."""
        self.cleanup()
        kind = FailureKind(failure.kind)
        if kind is FailureKind.SURROUNDINGS:
            raise SurroundingsError(failure.error)
        if kind.may_pass:
            raise WorkerGroupLostError(failure.error)
        measures = {**measured(self.last), "error": failure.error, "error_kind": failure.kind}
        provenance = self.context.provenance_of(self.trial)
        record(self.context.store, self.context.job, self.trial, Status.FAILED, measures, provenance)
        return failed(failure.error)

    def cleanup(self) -> None:
        """Have the worker group store the state of a trial that was interrupted, and end the group."""
        if self.worker_group is not None:
            self.worker_group.end()
            self.worker_group = None


def _cause(error: Exception | None) -> str:
    deaths = getattr(error, "worker_failures", {})
    if not deaths:
        return f"its worker group ended: {describe(error)}" if error else "its worker group ended"
    rank, death = next(iter(deaths.items()))
    return f"worker {rank}: {describe(death)}"
