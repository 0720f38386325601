"""Runs the new trials of a plan with Ray Tune on warm workers, and the evaluations that are due."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.errors import DataError, SurroundingsError
from orchestrator.plan.plan import CellState, Plan
from orchestrator.plan.retry import classify
from orchestrator.runtime.classifiers import classifiers_for
from orchestrator.runtime.deaths import inner
from orchestrator.runtime.evaluation import EvaluationInputs
from orchestrator.runtime.evaluator import Evaluator
from orchestrator.runtime.events import Reporter, SweepStoppedError, Watcher
from orchestrator.runtime.interrupt import interrupts_deferred
from orchestrator.runtime.orphans import OrphanedGroups
from orchestrator.runtime.privacy import keep_credentials
from orchestrator.runtime.searcher import TrialSearcher, searcher_of
from orchestrator.runtime.trainable import TrialWorker
from orchestrator.runtime.trainer import SweepContext, describe
from orchestrator.runtime.worker_group import WorkerGroupTrainable
from orchestrator.state.due import find_due
from orchestrator.state.held_out import record_held_out
from orchestrator.state.ledger import FailureKind, provenance
from orchestrator.state.replaced import set_aside, set_evaluations_aside
from orchestrator.store.retrying import RetryingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orchestrator.data import Dataset, Split
    from orchestrator.data.images import ImageSet
    from orchestrator.plan.placement import Placement
    from orchestrator.spec.job import Header, Trial
    from orchestrator.spec.search import Search
    from orchestrator.state.due import Due
    from orchestrator.state.files import EvaluationProgress
    from orchestrator.store.location import Store


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: numbers of trials and evaluations, and whether it was interrupted before all had ended."""

    ended: int
    failed: int
    interrupted: bool
    evaluations: EvaluationProgress


def _quiet(_line: str) -> None:
    """Report nothing."""


def run_sweep(
    plan: Plan,
    store: Store,
    watchers: Sequence[Watcher],
    notify: Callable[[str], None] = _quiet,
    stage: Callable[[str], None] = _quiet,
) -> Outcome:
    """Train every new cell of the plan until it ends, or the scheduler or the user stops it; evaluate what is due.

    ``store`` is the job's root. Ray must be up. Every result is in storage before a watcher is called with it. The data
    sets are loaded here, once, and shared through Ray's object store. Trials with the same number of devices run
    together, those with most first, so that none holds devices that one of another size waits for. A search proposes
    trials as others end, until its cap. ``notify`` reports what no watcher is called with, ``stage`` what is done
    before the first trial starts. Raises DataError, StorageError, and SurroundingsError where the disk or the system
    stopped trials.
    """
    trials = {cell.trial.id: cell.trial for cell in plan.having(CellState.NEW)}
    inception = _inception(plan)
    images = load_images([*plan.to_train, *(due.trial for due in plan.due)], stage, notify)
    held_out = _load_held_out(plan, images, stage)
    set_aside(store, {cell.trial.id: cell.other_images for cell in plan.cells if cell.other_images})
    set_evaluations_aside(store, plan.due)
    record_held_out(store, plan.due)
    context = _sweep_context(plan, trials, images, store, notify, stage)
    if max(plan.placements, default=1) > 1:
        watchers = [*watchers, OrphanedGroups()]
    stage("starting workers")
    # A run waits for storage that is down, but not once it is to end: Tune checks only between its callbacks.
    hurry = store.hurry if isinstance(store, RetryingStore) else lambda: None
    with (
        interrupts_deferred(hurry) as check,
        tempfile.TemporaryDirectory(prefix="orch-tune-") as folder,
        Evaluator(
            plan,
            _evaluation_inputs(plan, context, held_out, inception),
            watchers,
            notify,
            partial(_expect, plan, store),
        ) as evaluator,
    ):
        references = [evaluator.inputs.context]
        reporter = Reporter(context, [*watchers, evaluator], check, notify)
        interrupted = _train_all(plan, store, references, reporter, folder)
        if not interrupted:
            evaluator.drain(check)
    return Outcome(reporter.ended, reporter.failed, interrupted, evaluator.progress)


def _train_all(plan: Plan, store: Store, references: list[Any], reporter: Reporter, folder: str) -> bool:
    """Run what the plan has to train, or its search proposes, size after size; whether it was interrupted."""
    new = [cell.trial for cell in plan.having(CellState.NEW)]
    searcher = searcher_of(plan, store, reporter.context, reporter) if plan.to_run else None
    expected = 0
    for placement in plan.placements.values():
        source = searcher or [trial.id for trial in new if trial.workers == placement.workers]
        if not source:
            continue
        tuner = _tuner(plan.job.header, placement, source, references, reporter, folder)
        reporter.check()
        _fit(tuner, reporter)
        expected += len(source)
        if reporter.ended < expected or (searcher is not None and not searcher.proposer.over):
            return True
    if searcher is not None and searcher.proposer.exhausted:
        reporter.notify(searcher.proposer.why_exhausted)
    return False


def _evaluation_inputs(
    plan: Plan, context: SweepContext, held_out: Mapping[Dataset, ImageSet], inception: bytes | None
) -> EvaluationInputs:
    """What evaluations share, in Ray's object store, with the devices of an evaluation: those of a trial's worker."""
    return EvaluationInputs(
        ray.put(context),
        {data: ray.put(image_set) for data, image_set in held_out.items()},
        None if inception is None else ray.put(inception),
        next(iter(plan.placements.values())),
    )


def _fit(tuner: tune.Tuner, reporter: Reporter) -> None:
    """Run Tune until all its trials have ended or the sweep is to stop; every trial has then stored its state."""
    try:
        tuner.fit()
    except Exception as error:
        if reporter.error is not None:
            raise reporter.error from error
        if isinstance(error, SweepStoppedError):
            return
        if classify(inner(error)) is FailureKind.SURROUNDINGS:  # Tune has files of its own
            raise SurroundingsError(describe(inner(error))) from error
        raise


def _sweep_context(
    plan: Plan,
    trials: dict[str, Trial],
    images: Mapping[Dataset, ImageSet],
    store: Store,
    notify: Callable[[str], None],
    stage: Callable[[str], None],
) -> SweepContext:
    """What trials and evaluations share, with the classifiers that some of them need."""
    data_sets = {due.trial.settings.data for due in _to_evaluate(plan) if due.evaluation.uses_classifier}
    data_sets = {data for data in data_sets if images[data].has_classes}
    data_sets |= {trial.settings.data for trial in plan.to_train if trial.settings.training.measure_every}
    classifiers = classifiers_for(
        {data: images[data] for data in images if data in data_sets}, plan, store, notify, stage
    )
    fingerprints = {data: data.fingerprint() for data in images}
    return SweepContext(plan.job.header.name, trials, images, classifiers, store, provenance(), fingerprints)


def _expect(plan: Plan, store: Store, trial: Trial) -> Sequence[Due]:
    """The evaluations of a trial that a search has just proposed."""
    dues = find_due([trial], plan.job.header.evaluate, ())
    record_held_out(store, dues)
    return dues


def _to_evaluate(plan: Plan) -> list[Due]:
    """The evaluations that are due and, of a search with trials to propose, what stands for those of these."""
    return [*plan.due, *(find_due(plan.job.ends, plan.job.header.evaluate, ()) if plan.to_propose else ())]


def _inception(plan: Plan) -> bytes | None:
    """Inception's weights, where an evaluation uses its features. Raises DataError where they are lost or damaged."""
    if not any(due.evaluation.feature_extractor == "inception" for due in _to_evaluate(plan)):
        return None
    from orchestrator.metrics.inception import load_inception
    from orchestrator.metrics.inception_weights import read_weights

    weights = read_weights()
    load_inception(weights)
    return weights


def _load_held_out(
    plan: Plan, images: Mapping[Dataset, ImageSet], stage: Callable[[str], None]
) -> dict[Dataset, ImageSet]:
    """The held-out images that evaluations use. Raises DataError, also where they do not suit an evaluation."""
    dues = _to_evaluate(plan)
    data_sets = {due.trial.settings.data for due in dues if "test" in due.evaluation.splits}
    data_sets |= {other for due in dues for other in due.evaluation.others}
    held_out = {}
    for data in data_sets:
        stage(f"loading held-out images of {data.name}")
        held_out[data] = data.load("test")
    for due in dues:
        data = due.trial.settings.data
        splits: dict[Split, ImageSet] = {"train": images[data]}
        if "test" in due.evaluation.splits:
            splits["test"] = held_out[data]
        problems = [due.evaluation.reject_images(data, splits)]
        problems += [due.evaluation.reject_images(other, {"test": held_out[other]}) for other in due.evaluation.others]
        if problem := next(filter(None, problems), None):
            raise DataError(f"{due.evaluation.kind}: {problem}")
    return held_out


def _tuner(
    header: Header,
    placement: Placement,
    source: TrialSearcher | list[str],
    references: list[Any],
    reporter: Reporter,
    folder: str,
) -> tune.Tuner:
    """Tune's view of the trials with one number of workers, which ``source`` names or hands out.

    Tune writes its state to ``folder`` of this machine.
    """
    keep_credentials()
    single = placement.workers == 1
    worker = tune.with_parameters(
        TrialWorker if single else WorkerGroupTrainable, references=references, placement=placement
    )
    # A worker group requests its devices by Ray Train, all or none. The trial that waits for them requests one byte of
    # memory, since Tune allows no empty request.
    request = {"cpu": placement.cpus, "gpu": placement.gpus} if single else {"memory": 1}
    searches = isinstance(source, TrialSearcher)
    return tune.Tuner(
        tune.with_resources(worker, request),
        param_space={} if searches else {"trial_id": tune.grid_search(source)},
        tune_config=tune.TuneConfig(
            search_alg=source if searches else None,
            num_samples=-1 if searches else 1,
            scheduler=_scheduler(header.search),
            max_concurrent_trials=placement.concurrent,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=f"sweep-{placement.workers}",
            storage_path=folder,
            failure_config=tune.FailureConfig(max_failures=header.resources.max_retries),
            # Trials write their own checkpoints to the job's storage, where the next submission finds them.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[reporter],
            verbose=0,
        ),
    )


def load_images(
    trials: Iterable[Trial], stage: Callable[[str], None] = _quiet, notify: Callable[[str], None] = _quiet
) -> dict[Dataset, ImageSet]:
    """Every data set that the trials have, decoded once. Raises DataError."""
    images = {}
    for data in dict.fromkeys(trial.settings.data for trial in trials):
        stage(f"loading images of {data.name}")
        images[data] = data.load()
        if images[data].all_alike:
            notify(f"note: the {len(images[data])} training images of {data.name} are all the same")
    return images


def _name(trial: Any) -> str:
    return str(trial.config["trial_id"])


def _scheduler(search: Search | None) -> TrialScheduler:
    if search is None or search.scheduler is None:
        return FIFOScheduler()
    if search.scheduler == "asha":
        return ASHAScheduler(
            time_attr="epochs_done",
            metric=search.measure,
            mode=search.mode,
            grace_period=search.grace_epochs or 1,
            reduction_factor=search.reduction_factor or 3,
            max_t=1_000_000,
        )
    return MedianStoppingRule(
        time_attr="epochs_done", metric=search.measure, mode=search.mode, grace_period=search.grace_epochs or 1
    )
