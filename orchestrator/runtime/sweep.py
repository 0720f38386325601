"""Runs the new trials of a plan with Ray Tune on warm workers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.plan.ledger import provenance
from orchestrator.plan.plan import CellState, Plan
from orchestrator.runtime.events import Reporter, Watcher
from orchestrator.runtime.interrupt import interrupts_deferred
from orchestrator.runtime.trainable import TrialWorker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.spec.job import Search, Trial
    from orchestrator.store.location import Store


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: numbers of trials, and whether it was interrupted before all had ended."""

    ended: int
    failed: int
    interrupted: bool


def run_sweep(plan: Plan, store: Store, watchers: Sequence[Watcher]) -> Outcome:
    """Train every new cell of the plan to its end, or to the scheduler's or the user's.

    ``store`` is the job's root. Ray must be up. Every result is in storage before a watcher hears of it. The data
    sets are loaded here, once, and shared through Ray's object store. Raises DataError, StorageError.
    """
    trials = {cell.trial.id: cell.trial for cell in plan.having(CellState.NEW)}
    reporter = Reporter(plan.job.header.name, trials, store, watchers)
    with interrupts_deferred() as check, tempfile.TemporaryDirectory(prefix="orch-tune-") as folder:
        tuner = _tuner(plan, trials, store, reporter, folder)
        check()
        try:
            tuner.fit()
        except Exception as error:
            if reporter.error is not None:
                raise reporter.error from error
            raise
    return Outcome(reporter.ended, reporter.failed, interrupted=reporter.ended < len(trials))


def _tuner(plan: Plan, trials: dict[str, Trial], store: Store, reporter: Reporter, folder: str) -> tune.Tuner:
    """The sweep as Tune sees it; Tune keeps its own state in ``folder`` of this machine."""
    header = plan.job.header
    worker = tune.with_parameters(
        TrialWorker,
        job=header.name,
        trials=trials,
        images=load_images(trials.values()),
        store=store,
        placement=plan.placement,
        provenance=provenance(),
    )
    return tune.Tuner(
        tune.with_resources(worker, {"cpu": plan.placement.cpus, "gpu": plan.placement.gpus}),
        param_space={"trial_id": tune.grid_search(list(trials))},
        tune_config=tune.TuneConfig(
            scheduler=_scheduler(header.search),
            max_concurrent_trials=plan.placement.concurrent,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=folder,
            failure_config=tune.FailureConfig(max_failures=header.resources.max_retries),
            # Trials keep their own checkpoints: in the job's storage, where the next submission finds them.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[reporter],
            verbose=0,
        ),
    )


def load_images(trials: Iterable[Trial]) -> dict[Dataset, ImageSet]:
    """Every data set that the trials train on, decoded once. Raises DataError."""
    return {data: data.load() for data in {trial.settings.data for trial in trials}}


def _name(trial: Any) -> str:
    return str(trial.config["trial_id"])


def _scheduler(search: Search | None) -> TrialScheduler:
    if search is None:
        return FIFOScheduler()
    if search.scheduler == "asha":
        return ASHAScheduler(
            time_attr="epochs_done",
            metric=search.measure,
            mode=search.mode,
            grace_period=search.grace_epochs,
            reduction_factor=search.reduction_factor,
            max_t=1_000_000,
        )
    return MedianStoppingRule(
        time_attr="epochs_done", metric=search.measure, mode=search.mode, grace_period=search.grace_epochs
    )
