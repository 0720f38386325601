"""Makes the plan of a job: reads its results in storage and the fingerprints of its images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import FOLDER as EVALUATIONS
from orchestrator.plan.checks import without_value
from orchestrator.plan.known import with_known
from orchestrator.plan.plan import CellState, Plan, make_plan, without_lost
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.state.copies import refuse_unfinished
from orchestrator.state.held_out import read_held_out, with_other_images
from orchestrator.state.ledger import read_ledger
from orchestrator.state.replaced import REPLACED
from orchestrator.state.stored import describe_versions, stored_job
from orchestrator.store.tables import left_out_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from orchestrator.data import Dataset
    from orchestrator.plan.placement import Cluster
    from orchestrator.spec.job import Job
    from orchestrator.state.due import Due
    from orchestrator.store.location import Store


def survey(job: Job, store: Store, cluster: Cluster, retry_failed: bool = False) -> Plan:
    """The plan of the job, whose results are below ``store``.

    The images' fingerprints are compared with those of the results; images are not decoded for that. Raises
    PlacementError, StorageError.
    """
    refuse_unfinished(store)
    stored = stored_job(with_known(job, store), store)
    if stored.left_out:
        raise left_out_error(store, stored.left_out)
    ended = read_ledger(store)
    checkpointed = checkpointed_in(store)
    evaluated = store.keys(EVALUATIONS) if job.header.evaluate else ()
    rows = ((trial.settings.data, ended.get(trial.id)) for trial in stored.today.trials)
    compared = {data for data, row in rows if row is not None and row.data_fingerprint}
    plan = make_plan(
        stored.today, ended, checkpointed, cluster, store.uri, retry_failed, evaluated, fingerprints_of(compared)
    )
    evaluations = with_other_images(plan.evaluations, read_held_out(store) if plan.evaluations else {})
    evaluations, lost = without_lost(job, evaluations, plan.cells, checkpointed)
    notes = (
        *plan.notes,
        *lost,
        *_of_evaluations(evaluations),
        *_of_versions(stored.versions.values()),
        *_of_data(plan),
        *without_value(job),
    )
    return replace(plan, evaluations=evaluations, notes=notes)


def checkpointed_in(store: Store) -> set[str]:
    """The checkpoints in storage, as ``make_plan`` takes them. Raises StorageError."""
    return {key.rpartition("/")[2].removesuffix(".pt") for key in store.keys("checkpoints")}


def fingerprints_of(data_sets: Iterable[Dataset]) -> dict[Dataset, str]:
    """Fingerprints of the training images, of data sets that are present."""
    fingerprints = {}
    for data in data_sets:
        try:
            fingerprints[data] = data.fingerprint()
        except DataError:  # reported where a trial is to be run
            continue
    return fingerprints


def _of_evaluations(dues: Iterable[Due]) -> Iterator[str]:
    if count := sum(due.other_images is not None for due in dues):
        are = "evaluation is" if count == 1 else "evaluations are"
        yield f"{count} {are} new: those in storage are of other held-out images; they are kept in {REPLACED}/"


def _of_versions(versions: Collection[int]) -> Iterator[str]:
    if versions:
        yield (
            f"storage has {describe_versions(versions)}, which count as new: under the present one, {SPEC_VERSION}, "
            "the same settings give other numbers; their rows stay"
        )


def _of_data(plan: Plan) -> Iterator[str]:
    """Notes on images that are left out, of the data sets of new trials."""
    for data in dict.fromkeys(cell.trial.settings.data for cell in plan.having(CellState.NEW)):
        try:
            yield from data.notes()
        except DataError:  # the plan's problem names it
            continue
