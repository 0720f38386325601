"""A search without training: what is proposed, what of it costs nothing, when it ends, and how it goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from orchestrator.runtime.proposer import MOST_TRIES, Algorithm, Heard, Proposer
from orchestrator.runtime.tpe import propose
from orchestrator.spec.job import Job, make_job
from orchestrator.state.ledger import Status
from orchestrator.state.measured import Measured
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator.spec.job import Trial
    from orchestrator.spec.search import Space

LR, WIDTH, SEED = "training.g_optimizer.lr", "model.width", "training.seed"
GRID = {
    LR: {"low": 1e-6, "high": 1.0, "log": True},
    WIDTH: {"low": 1, "high": 64},
    "objective.kind": ["hinge", "non_saturating"],
}


def job_of(trials: int, mode: str = "min", **grid: Any) -> Job:
    search = {"algorithm": "tpe", "trials": trials, "measure": "g_loss", "mode": mode}
    return make_job(raw_job(search=search, grid=GRID | grid), "job.yaml")


def bowl(changes: dict[str, Any]) -> float:
    """A smooth objective in closed form: 0 at a rate of 10^-3.7 and a width of 17 under hinge."""
    return (
        (math.log10(changes[LR]) + 3.7) ** 2
        + ((changes[WIDTH] - 17) / 16) ** 2
        + (changes["objective.kind"] != "hinge")
        + 0.1 * changes.get(SEED, 0)
    )


@dataclass
class Searched:
    """A search with its trials trained in no time; ``at_once`` of them are handed out before the first one ends."""

    job: Job
    known: dict[str, Measured] = field(default_factory=dict)
    algorithm: Algorithm = propose
    at_once: int = 1
    objective: Callable[[dict[str, Any]], Measured] = lambda changes: Measured(Status.FINISHED, bowl(changes), 3.0)
    trained: list[Trial] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)

    def run(self, most: int | None = None) -> Proposer:
        """Train until the search is over, or as many trials as ``most``; a trial that is handed out once more fails."""
        new = [trial.id for trial in self.job.trials if trial.id not in self.known]
        proposer = Proposer(self.job, self.known, new, self.keep, self.algorithm)
        running: list[Trial] = []
        while most is None or len(self.trained) < most:
            while len(running) < self.at_once and (trial := proposer.next()) is not None:
                assert trial.id not in {one.id for one in (*self.trained, *running)}
                assert any(trial.changes.items() >= proposal.items() for proposal in (*self.job.proposals, *self.kept))
                running.append(trial)
            if not running:
                break
            trial = running.pop(0)
            self.trained.append(trial)
            proposer.tell(trial.id, self.objective(trial.changes))
        return proposer

    def keep(self, proposals: Sequence[dict[str, Any]]) -> None:
        """What storage would have."""
        self.kept = list(proposals)

    def go_on(self, trials: int) -> Searched:
        """The same search, submitted again with another cap."""
        known = self.known | {trial.id: self.objective(trial.changes) for trial in self.trained}
        seeds = {SEED: list(self.job.space.seeds)} if self.job.space and self.job.space.seeds else {}
        return Searched(job_of(trials, **seeds).proposing(self.kept), known, self.algorithm, self.at_once)

    @property
    def best(self) -> float:
        """The least value of a proposal."""
        return min(one.value for one in self.run(0).heard() if one.value is not None)


def drawn(space: Space, mode: str, heard: Iterable[Heard], seed: int) -> dict[str, float]:
    """Random search."""
    rng = np.random.default_rng(seed)
    numbers = {one.name: rng.uniform(one.low, one.high) for one in space.ranges if not one.log}
    logs = {one.name: 10 ** rng.uniform(math.log10(one.low), math.log10(one.high)) for one in space.ranges if one.log}
    return {axis.name: int(rng.integers(len(axis.entries))) for axis in space.axes} | numbers | logs


@pytest.mark.parametrize("at_once", [1, 4])
def test_tpe_finds_a_better_optimum_than_random_search(at_once: int) -> None:
    by_tpe, by_chance = (Searched(job_of(60), algorithm=how, at_once=at_once) for how in (propose, drawn))
    found = [min(map(bowl, (trial.changes for trial in one.trained))) for one in (by_tpe, by_chance) if one.run()]
    assert len(by_tpe.trained) == len(by_chance.trained) == 60
    assert found[0] < 0.5 * found[1]
    late = fmean(bowl(trial.changes) for trial in by_tpe.trained[30:])
    assert late < 0.5 * fmean(bowl(trial.changes) for trial in by_tpe.trained[:10])


def test_the_greater_value_is_the_better_one_where_the_mode_says_so() -> None:
    upside = Searched(job_of(40, "max"), objective=lambda changes: Measured(Status.FINISHED, -bowl(changes), 3.0))
    upside.run()
    downside = Searched(job_of(40))
    downside.run()
    assert [trial.id for trial in upside.trained] == [trial.id for trial in downside.trained]


def test_a_search_that_is_interrupted_goes_on_as_if_it_had_not_been() -> None:
    whole, first = Searched(job_of(30)), Searched(job_of(30))
    whole.run()
    first.run(17)
    second = first.go_on(30)
    second.run()
    trained = [*first.trained, *second.trained]
    assert [trial.id for trial in trained] == [trial.id for trial in whole.trained]
    assert second.kept == whole.kept


def test_a_higher_cap_counts_what_is_known_and_a_lower_one_trains_nothing() -> None:
    first = Searched(job_of(12))
    assert first.run().over
    more = first.go_on(20)
    assert more.job.to_propose == 8
    assert more.run().over
    assert len(more.trained) == 8
    less = first.go_on(5)
    assert (less.run().over, less.trained, len(less.job.trials)) == (True, [], 5)


def test_trials_that_were_handed_out_and_did_not_end_come_first() -> None:
    first = Searched(job_of(12), at_once=3)
    first.run(4)
    unfinished = [trial for trial in first.go_on(12).job.trials if trial.id not in {one.id for one in first.trained}]
    assert unfinished
    second = first.go_on(12)
    second.run()
    assert [trial.id for trial in second.trained[: len(unfinished)]] == [trial.id for trial in unfinished]
    assert len(first.trained) + len(second.trained) == 12


def test_each_seed_is_trained_and_the_mean_is_heard() -> None:
    searched = Searched(job_of(11, **{SEED: [0, 1, 2]}))
    proposer = searched.run()
    assert len(proposer.proposals) == 3  # 11 are not enough for a fourth
    assert [trial.changes[SEED] for trial in searched.trained] == [0, 1, 2] * 3
    for proposal, heard in zip(proposer.proposals, proposer.heard(), strict=True):
        assert (heard.state, heard.value) == ("complete", pytest.approx(bowl(proposal) + 0.1))


FINISHED, FAILED = Measured(Status.FINISHED, 2.0, 9.0), Measured(Status.FAILED)
HEARD: dict[tuple[Measured, ...], tuple[str, float | None, float]] = {
    (FINISHED, Measured(Status.FINISHED, 4.0, 9.0)): ("complete", 3.0, 9.0),
    (FINISHED, Measured(Status.COLLAPSED, 4.0, 5.0)): ("complete", 3.0, 5.0),
    (FINISHED, Measured(Status.STOPPED, 4.0, 2.0)): ("pruned", 3.0, 2.0),
    (FINISHED, Measured(Status.STOPPED, None, 2.0)): ("pruned", 2.0, 2.0),
    (Measured(Status.STOPPED), Measured(Status.STOPPED)): ("pruned", None, 0.0),
    (FINISHED, FAILED): ("failed", None, 0.0),
    (Measured(Status.STOPPED, 1.0, 2.0), FAILED): ("failed", None, 0.0),
    (FINISHED, Measured(Status.FINISHED, None, 9.0)): ("failed", None, 0.0),
    (FINISHED, Measured(Status.DIVERGED, None, 1.0)): ("failed", None, 0.0),
    (FINISHED,): ("running", None, 0.0),
    (): ("running", None, 0.0),
}


@pytest.mark.parametrize(("ends", "state"), HEARD.items(), ids=lambda value: str(value)[:50])
def test_what_is_heard_of_a_proposal_follows_from_the_ends_of_its_seeds(
    ends: tuple[Measured, ...], state: tuple[str, float | None, float]
) -> None:
    job = job_of(2, **{SEED: [0, 1]}).proposing([{LR: 0.1, WIDTH: 3, "objective.kind": "hinge"}])
    known = dict(zip((trial.id for trial in job.trials), ends, strict=False))
    (heard,) = Proposer(job, known, [], list, propose).heard()
    assert (heard.state, heard.value, heard.epochs) == state
    propose(job.space, "min", [heard], 0)  # type: ignore[arg-type] # Optuna takes all of them


def test_what_is_known_is_answered_and_not_trained() -> None:
    """Storage has the first of two seeds of whatever is proposed."""
    alone = Searched(job_of(6))
    alone.run()
    known = {trial.id: Measured(Status.FINISHED, 0.0, 1.0) for trial in alone.trained}  # seed 0, which is the default
    both = Searched(job_of(12, **{SEED: [0, 1]}), known, algorithm=lambda *_: next(values))
    space = both.job.space
    assert space is not None
    values = iter([one for proposal in alone.kept if (one := space.values(proposal))])
    proposer = both.run()
    assert len(proposer.proposals) == 6
    assert [trial.changes[SEED] for trial in both.trained] == [1] * 6
    assert all(heard.state == "complete" for heard in proposer.heard())


def test_a_search_ends_where_proposals_only_repeat_themselves() -> None:
    asked = []

    def stuck(space: Space, mode: str, heard: Iterable[Heard], seed: int) -> dict[str, float]:
        asked.append(seed)
        return {LR: 0.1, WIDTH: 3, "objective.kind": 0}

    searched = Searched(job_of(5), algorithm=stuck)
    proposer = searched.run()
    assert (len(searched.trained), proposer.exhausted, proposer.over) == (1, True, True)
    assert len(asked) == len(set(asked)) == 1 + MOST_TRIES
    assert proposer.why_exhausted == (
        "note: the search ends with 1 proposal of at most 5: 100 in a row were known already or cannot be trained"
    )


def test_a_proposal_that_cannot_be_trained_is_passed_over() -> None:
    """A batch of 2 to 9 images in three parts."""
    search = {"algorithm": "tpe", "trials": 3, "measure": "g_loss", "mode": "min"}
    grid = {"training.batch_size": {"low": 3, "high": 9}}
    job = make_job(raw_job(search=search, training={"accumulate": 3}, grid=grid), "job.yaml")
    sizes = iter([{"training.batch_size": size} for size in (4, 9, 8, 6, 5, 3)])
    searched = Searched(
        job, algorithm=lambda *_: next(sizes), objective=lambda changes: Measured(Status.FINISHED, 1.0, 1.0)
    )
    assert not searched.run().exhausted
    assert [trial.changes["training.batch_size"] for trial in searched.trained] == [9, 6, 3]


def test_a_space_of_few_proposals_is_tried_whole() -> None:
    search = {"algorithm": "tpe", "trials": 40, "measure": "g_loss", "mode": "min"}
    grid = {"training.d_steps": {"low": 1, "high": 3}, "objective.kind": ["hinge", "rsgan"]}
    job = make_job(raw_job(search=search, grid=grid), "job.yaml")
    searched = Searched(job, objective=lambda changes: Measured(Status.FINISHED, changes["training.d_steps"], 1.0))
    assert (searched.run().exhausted, len(searched.trained)) == (False, 6)
