"""Evaluations of a trained generator, one folder a kind: its ``settings``, and ``compute``, which needs torch.

A new folder here is a new ``kind`` under ``evaluate``.
"""

import importlib
import sys
from typing import TYPE_CHECKING

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
    folder, _, _ = type(evaluation).__module__.rpartition(".")
    result: ShardResult = importlib.import_module(f"{folder}.compute").compute(evaluation, model, shard)
    return result


__all__ = ["KINDS", "AnyEvaluation", "Evaluation", "compute_shard"]
