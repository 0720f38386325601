"""The parts of evaluations that need no GPU, as Ray's tasks on processors, done before a worker takes the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

from orchestrator.evaluations import compute_on_host
from orchestrator.evaluations.cache import Cache
from orchestrator.plan.retry import classify
from orchestrator.runtime.evaluation import EvaluationInputs, Problem, splits_of
from orchestrator.runtime.trainer import describe

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from orchestrator.data import Dataset
    from orchestrator.evaluations import Evaluation
    from orchestrator.state.due import Due

_KEPT = 256
"""How many shards' results are kept for other trials of the same data; each is of at most 64 images."""


def _compute(
    inputs: list[ray.ObjectRef], evaluation: Evaluation, data: Dataset, shard: int
) -> dict[Hashable, Any] | Problem:
    """The values of a shard by name, or why another try cannot help. Raises errors that may pass."""
    import torch

    torch.set_num_threads(1)
    try:
        shared: EvaluationInputs = ray.get(inputs[0])
        splits = splits_of(shared, ray.get(shared.context), data, evaluation)
        return compute_on_host(evaluation, data, splits, shard)
    except Exception as error:
        kind = classify(error)
        if kind.may_pass:
            raise
        return Problem(describe(error), kind)


class HostWork:
    """Starts these tasks, one for all trials of the same data."""

    def __init__(self, inputs: list[ray.ObjectRef], max_retries: int) -> None:
        self._inputs, self._started = inputs, Cache(_KEPT)
        self._task = ray.remote(num_cpus=1, max_retries=max_retries, retry_exceptions=True)(_compute)

    def of(self, due: Due, shards: Sequence[int]) -> list[ray.ObjectRef]:
        """The results for each of the shards, which may not be there yet."""
        evaluation, data = due.evaluation, due.trial.settings.data
        return [
            self._started.get(
                (evaluation.id, data, shard),
                lambda shard=shard: self._task.remote(self._inputs, evaluation, data, shard),  # type: ignore[misc]
            )
            for shard in shards
        ]
