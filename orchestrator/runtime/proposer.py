"""A search, step by step: which trial is trained next, from all that is known; it knows neither Ray nor Optuna."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Protocol

from orchestrator.errors import SettingsError
from orchestrator.state.ledger import Status
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from orchestrator.spec.job import Job, Trial
    from orchestrator.spec.search import Space
    from orchestrator.state.measured import Measured

MOST_TRIES = 100
"""So many proposals in a row that are known already, or cannot be trained, end a search."""


State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Heard:
    """What is known of an earlier proposal: its values of the dimensions, and how it did.

    ``value`` is the mean over its seeds, and ``epochs`` the fewest that one of them trained. A proposal is pruned where
    the scheduler has stopped any of its trials, and failed where one failed or has no value of the measure.
    """

    values: Mapping[str, float]
    state: State
    value: float | None = None
    epochs: float = 0.0


class Algorithm(Protocol):
    """Chooses the values of the dimensions that are tried next; see ``tpe.propose``."""

    def __call__(self, space: Space, mode: str, heard: Iterable[Heard], seed: int) -> dict[str, float]:
        """The values of each dimension of the space, from what is heard of earlier proposals."""
        ...


class Proposer:
    """Hands out the trials of a search: first those that are proposed and not done, then those of new proposals.

    A proposal is trained once for each seed, but for trials that ``known`` tells the end of; its value is the mean. One
    that was made before is answered by what is known of it: the algorithm is asked again, and nothing is trained.
    """

    def __init__(
        self,
        job: Job,
        known: Mapping[str, Measured],
        new: Collection[str],
        keep: Callable[[Sequence[dict[str, Any]]], None],
        algorithm: Algorithm,
    ) -> None:
        """``known`` has ended trials by id, ``new`` the ids of the job's own trials that are to be trained.

        ``keep`` stores all proposals; it is called before the first trial of a new one is handed out.
        """
        assert job.space is not None
        assert job.header.search is not None
        self.job, self.space, self.mode = job, job.space, job.header.search.mode
        self.keep, self.algorithm = keep, algorithm
        self.known = {trial_id: end for trial_id, end in known.items() if trial_id not in set(new)}
        self.proposals = list(job.proposals)
        each = self.space.each
        ids = [trial.id for trial in job.trials]
        self.groups = [tuple(ids[first : first + each]) for first in range(0, len(ids), each)]
        self.made = set(ids)
        self.queue = deque(trial for trial in job.trials if trial.id in set(new))
        self.over = False
        self.exhausted = False
        """Whether it ended before its cap, because proposals only repeated what is known or could not be trained."""
        self._refused = ""
        """Why the last of the proposals that could not be trained could not."""
        self._misses = 0

    def next(self) -> Trial | None:
        """The next trial to train; None where there is none any more."""
        while not self.queue:
            if len(self.proposals) >= self.job.most_proposals:
                self.over = True
                return None
            if (trials := self._new()) is None:
                self.over = self.exhausted = True
                return None
            self.queue.extend(trial for trial in trials if trial.id not in self.known)
        return self.queue.popleft()

    def tell(self, trial_id: str, end: Measured) -> None:
        """Take note of the end of a trial."""
        self.known[trial_id] = end

    @property
    def why_exhausted(self) -> str:
        """One line on a search that ended before its cap."""
        refused = f"; {self._refused}" if self._refused else ""
        return (
            f"note: the search ends with {plural(len(self.proposals), 'proposal')} of at most "
            f"{self.job.most_proposals}: "
            f"{MOST_TRIES} in a row were known already or cannot be trained{refused}"
        )

    def heard(self) -> list[Heard]:
        """What is known of each proposal so far."""
        return [self._heard(*one) for one in zip(self.proposals, self.groups, strict=True)]

    def _new(self) -> tuple[Trial, ...] | None:
        """The trials of a proposal that was not made before, which is kept; None where there is none."""
        for _ in range(MOST_TRIES):
            seed = len(self.proposals) + self._misses  # another for each draw, and for the first one of a later run
            proposal = self.space.proposal(self.algorithm(self.space, self.mode, self.heard(), seed))
            trials = self._trials_of(proposal)
            if trials is None or trials[0].id in self.made:
                self._misses += 1
                continue
            self.proposals.append(proposal)
            self.groups.append(tuple(trial.id for trial in trials))
            self.made |= {trial.id for trial in trials}
            self.keep(self.proposals)
            return trials
        return None

    def _trials_of(self, proposal: dict[str, Any]) -> tuple[Trial, ...] | None:
        try:
            return self.job.trials_of(proposal)
        except SettingsError as error:
            self._refused = f"{error.key}: {error.problem}"
            return None

    def _heard(self, proposal: dict[str, Any], trials: Sequence[str]) -> Heard:
        values = self.space.values(proposal)
        assert values is not None, proposal
        ends = [self.known[trial] for trial in trials if trial in self.known]
        if len(ends) < len(trials):
            return Heard(values, "running")
        stopped = any(end.status is Status.STOPPED for end in ends)
        numbers = [end.value for end in ends if end.value is not None and end.status is not Status.FAILED]
        epochs = min(end.epochs for end in ends)
        if any(end.status is Status.FAILED for end in ends) or (len(numbers) < len(ends) and not stopped):
            return Heard(values, "failed")
        value = fmean(numbers) if numbers else None
        return Heard(values, "pruned" if stopped else "complete", value, epochs)
