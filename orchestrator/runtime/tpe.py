"""Proposals by the tree-structured Parzen estimator of Optuna, from what is known of earlier ones.

Optuna's study is made anew for each proposal, from its arguments alone: nothing of it is stored, and a search that goes
on in another process proposes what this one would have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.runtime.proposer import Heard
    from orchestrator.spec.grid import Range
    from orchestrator.spec.search import Space


def propose(space: Space, mode: str, heard: Iterable[Heard], seed: int) -> dict[str, float]:
    """The values of the dimensions that are to be tried next; ``seed`` decides what is drawn.

    The first ten are random. Optuna ranks a pruned proposal behind all complete ones, those that went on for longer
    first, and leaves failed ones out; running ones keep others away from where they are (a constant liar).
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = distributions_of(space)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), direction="minimize" if mode == "min" else "maximize"
    )
    study.add_trials([_trial_of(one, distributions) for one in heard])
    return study.ask(distributions).params


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each dimension: the places of an axis's entries, or a range's numbers."""
    lists: dict[str, BaseDistribution] = {
        axis.name: CategoricalDistribution(tuple(range(len(axis.entries)))) for axis in space.axes
    }
    return lists | {one.name: _distribution(one) for one in space.ranges}


def _distribution(one: Range) -> BaseDistribution:
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=one.step)
    return FloatDistribution(one.low, one.high, log=one.log)


def _trial_of(heard: Heard, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    state = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }[heard.state]
    stood_at = {int(heard.epochs): heard.value} if heard.value is not None else None
    return create_trial(
        state=state,
        params=dict(heard.values),
        distributions=distributions,
        value=heard.value if state is TrialState.COMPLETE else None,
        intermediate_values=stood_at if state is TrialState.PRUNED else None,
    )
