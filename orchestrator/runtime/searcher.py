"""The Tune searcher of a search with an algorithm: it hands out a proposer's trials and tells it their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from orchestrator.errors import OrchError
from orchestrator.plan.plan import CellState, decide_cell
from orchestrator.runtime.events import SweepStoppedError
from orchestrator.runtime.proposer import Proposer
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.state.measured import measured, read_measured
from orchestrator.state.proposals import write_proposals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.events import Reporter
    from orchestrator.runtime.trainer import SweepContext
    from orchestrator.state.measured import Measured
    from orchestrator.store.location import Store


class TrialSearcher(Searcher):  # type: ignore[misc]
    """Tune asks it for a trial whenever there is room for one."""

    def __init__(self, proposer: Proposer, reporter: Reporter, measure: str) -> None:
        super().__init__()
        self.proposer, self.reporter, self.by = proposer, reporter, measure
        self.handed_out: dict[str, str] = {}
        """Ids of trials by those that Tune gives them."""

    def __len__(self) -> int:
        """Number of trials that it has handed out."""
        return len(self.handed_out)

    def __bool__(self) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The configuration of the next trial. Raises SweepStoppedError where storage does not take its proposal."""
        try:
            trial = self.proposer.next()
        except OrchError as error:
            self.reporter.error = self.reporter.error or error
            raise SweepStoppedError from error
        if trial is None:
            return str(Searcher.FINISHED)
        self.handed_out[trial_id] = trial.id
        self.reporter.context.trials[trial.id] = trial
        return {"trial_id": trial.id, "proposed": trial}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the proposer how a trial ended, whether by itself, by the scheduler, or by an error."""
        result = result or {}
        status = Status.FAILED if error else Status(result.get("ended") or Status.STOPPED)
        self.proposer.tell(self.handed_out[trial_id], measured(status, result.get(self.by), result.get("epoch")))

    def save(self, checkpoint_path: str) -> None:
        """Store nothing: what a search goes on from is the ledger and its proposals."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, likewise."""


def searcher_of(plan: Plan, store: Store, context: SweepContext, reporter: Reporter) -> TrialSearcher | None:
    """The searcher of a plan's search; None where the job has none with an algorithm. Raises StorageError."""
    search, job = plan.job.header.search, plan.job
    if search is None or job.space is None:
        return None
    from orchestrator.runtime.tpe import propose

    def keep(proposals: Sequence[dict[str, Any]]) -> None:
        write_proposals(store, proposals)

    known = _known(plan, store, context, search.measure)
    return TrialSearcher(Proposer(job, known, list(context.trials), keep, propose), reporter, search.measure)


def _known(plan: Plan, store: Store, context: SweepContext, measure: str) -> dict[str, Measured]:
    """The trials in storage that would not be trained again: of the present images, and not to be tried anew."""
    ends, present = read_measured(store, measure), set(context.fingerprints.values())
    kept = {
        trial_id
        for trial_id, past in read_ledger(store).items()
        if decide_cell(past, searching=plan.job.stops, retry_failed=False) is not CellState.NEW
        and past.data_fingerprint in (None, *present)
    }
    return {trial_id: end for trial_id, end in ends.items() if trial_id in kept}
