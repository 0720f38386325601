"""The Ray task of an evaluation: load the trial's networks, compute shard after shard, store each at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

from orchestrator.evaluations import compute_shard
from orchestrator.hardware import device_columns
from orchestrator.plan.retry import classify
from orchestrator.runtime.trainer import describe
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from orchestrator.data import Dataset
    from orchestrator.evaluations import Evaluation
    from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
    from orchestrator.metrics.feature_extractor import FeatureExtractor
    from orchestrator.metrics.sample_quality import SampleQuality
    from orchestrator.plan.placement import Placement
    from orchestrator.runtime.trainer import SweepContext
    from orchestrator.spec.job import Trial
    from orchestrator.state.ledger import FailureKind


@dataclass(frozen=True)
class EvaluationInputs:
    """What all evaluation tasks of a run share: put into Ray's object store once.

    ``context`` is the sweep's, with the training images and the classifiers, so that these are stored only once too.
    """

    context: ray.ObjectRef
    held_out: Mapping[Dataset, ray.ObjectRef]
    inception: ray.ObjectRef | None
    """The bytes of Inception's weights file; None where no evaluation uses its features."""
    placement: Placement


class _Cache:
    """What this process reuses from task to task: the last trial's networks and the last real images' features."""

    networks: tuple[tuple[str, ...], nn.ModuleDict] | None = None
    sample_quality: tuple[Any, SampleQuality] | None = None


class Problem(NamedTuple):
    """Why an evaluation failed, in one line, where another try cannot help."""

    error: str
    kind: FailureKind


def _evaluate(
    inputs: list[ray.ObjectRef], trial: Trial, evaluation: Evaluation, shards: Sequence[int]
) -> Problem | None:
    """Compute the shards that have no file yet; returns why that failed, where another try cannot help.

    Errors that may pass are raised: Ray then tries again, and shards that were stored stay.
    """
    shared: EvaluationInputs = ray.get(inputs[0])
    context: SweepContext = ray.get(shared.context)
    try:
        missing = [shard for shard in shards if not context.store.exists(evaluation.rows_key(trial.id, shard))]
        model = _trained_model(shared, context, trial, evaluation) if missing else None
        for shard in missing:
            assert model is not None
            _store_result(context, model, evaluation, shard, compute_shard(evaluation, model, shard))
    except Exception as error:
        kind = classify(error)
        if kind.may_pass:
            raise
        return Problem(describe(error), kind)
    return None


evaluate_task = ray.remote(_evaluate)


def _trained_model(
    shared: EvaluationInputs, context: SweepContext, trial: Trial, evaluation: Evaluation
) -> TrainedModel:
    import torch

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.metrics.classifier import load
    from orchestrator.training.networks import encoder_of

    torch.set_num_threads(shared.placement.cpus)
    device, data = torch.device(shared.placement.device), trial.settings.data
    name = (context.store.uri, trial.id, evaluation.checkpoint)
    if _Cache.networks is None or _Cache.networks[0] != name:
        _Cache.networks = (name, _networks(context, trial, evaluation).to(device))
    networks = _Cache.networks[1]
    classifier_bytes = context.classifiers.get(data) if evaluation.uses_classifier else None
    classifier = None if classifier_bytes is None else load(classifier_bytes).to(device)

    def make_sample_quality() -> SampleQuality:
        from orchestrator.metrics.inception import load_inception
        from orchestrator.metrics.sample_quality import SampleQuality

        resize, most_real = evaluation.comparison
        name = (data, evaluation.feature_extractor, classifier_bytes, evaluation.comparison)
        if _Cache.sample_quality is None or _Cache.sample_quality[0] != name:
            extractor: FeatureExtractor | None = classifier
            if evaluation.feature_extractor == "inception":
                extractor = load_inception(ray.get(shared.inception), resize)
            assert extractor is not None, "an evaluation that measures samples names what extracts their features"
            held_out = ray.get(shared.held_out[data])
            _Cache.sample_quality = (
                name,
                SampleQuality(context.images[data], held_out, extractor, device, most_real),
            )
        return _Cache.sample_quality[1]

    splits = {
        split: context.images[data] if split == "train" else ray.get(shared.held_out[data])
        for split in evaluation.splits
    }
    generator, encoder = networks["generator"], encoder_of(networks)
    others = {other: ray.get(shared.held_out[other]) for other in evaluation.others}
    return TrainedModel(
        trial.id, trial.settings, generator, device, splits, classifier, make_sample_quality, others, encoder
    )


def _networks(context: SweepContext, trial: Trial, evaluation: Evaluation) -> nn.ModuleDict:
    from orchestrator.training.checkpoint import load_networks

    return load_networks(context.store, trial.id, trial.settings, evaluation.checkpoint)


def _store_result(
    context: SweepContext, model: TrainedModel, evaluation: Evaluation, shard: int, result: ShardResult
) -> None:
    """Store the result of a shard, its rows last: with them the shard is done. A second writer changes nothing."""
    fixed = {
        "trial_id": model.trial_id,
        "evaluation_id": evaluation.id,
        "shard": shard,
        "evaluated_at": datetime.now(UTC),
        "evaluated_on": model.device.type,
        **device_columns(model.device),
        **{name: context.provenance[name] for name in ("orch_version", "torch_version")},
        **evaluation_settings(evaluation),
    }
    for name, picture in result.pictures.items():
        context.store.write(evaluation.picture_key(model.trial_id, name), picture)
    for table, rows in [*result.tables.items(), ("", result.rows)]:
        key, schema = (
            evaluation.rows_key(model.trial_id, shard, table),
            schema_of(evaluation_columns(type(evaluation), table)),
        )
        write_rows(context.store, key, schema, [{**fixed, **row} for row in rows], replace=False)
