"""Evaluations of a trained generator, one folder a kind: its ``settings``, and ``compute``, which needs torch.

A new folder here is a new ``kind`` under ``evaluate``.
"""

import importlib
import sys
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.data import Dataset, ImageSet, Split
from orchestrator.evaluations.evaluation import Evaluation, ShardResult, TrainedModel
from orchestrator.settings import kinds_in, union_of_kinds

if TYPE_CHECKING:
    AnyEvaluation = Evaluation
else:
    AnyEvaluation = union_of_kinds(sys.modules[__name__], Evaluation, tag="kind")

KINDS: dict[str, type[Evaluation]] = {
    kind.model_fields["kind"].default: kind for kind in kinds_in(sys.modules[__name__], Evaluation, tag="kind")
}
"""Every kind of evaluation by its name."""


def compute_shard(evaluation: Evaluation, model: TrainedModel, shard: int) -> ShardResult:
    """Compute one shard by the ``compute`` module beside the kind's settings. Raises OrchError if that fails."""
    result: ShardResult = _module(evaluation).compute(evaluation, model, shard)
    return result


def compute_on_host(
    evaluation: Evaluation, data: Dataset, splits: Mapping[Split, ImageSet], shard: int
) -> dict[Hashable, Any]:
    """What of a shard the processor computes from the data alone, for the cache of its model, by name."""
    values: dict[Hashable, Any] = _module(evaluation).on_host(evaluation, data, splits, shard)
    return values


def _module(evaluation: Evaluation) -> Any:
    folder, _, _ = type(evaluation).__module__.rpartition(".")
    return importlib.import_module(f"{folder}.compute")


__all__ = ["KINDS", "AnyEvaluation", "Evaluation", "compute_on_host", "compute_shard"]
