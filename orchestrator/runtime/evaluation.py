"""The warm worker of evaluations: one Ray actor that computes shard after shard on one device, and stores each at once.

A process of Ray's tasks would serve one task on this device and the next on that, while CUDA stays on the first device
that a process has used. The devices of an actor are its own until it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import ray

from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.cache import Cache, cache_of_values
from orchestrator.hardware import device_columns
from orchestrator.plan.retry import classify
from orchestrator.runtime.device import give_back_memory, set_up
from orchestrator.runtime.trainer import describe
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from orchestrator.data import Dataset, Split
    from orchestrator.data.images import ImageSet
    from orchestrator.evaluations import Evaluation
    from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
    from orchestrator.metrics.classifier import Classifier
    from orchestrator.metrics.feature_extractor import FeatureExtractor
    from orchestrator.metrics.requirements import Resize
    from orchestrator.metrics.sample_quality import SampleQuality
    from orchestrator.plan.placement import Placement
    from orchestrator.runtime.trainer import SweepContext
    from orchestrator.spec.job import Trial
    from orchestrator.state.ledger import FailureKind

_NETWORKS, _EXTRACTORS, _REFERENCES = 2, 4, 2
"""How many trials' networks, feature extractors, and real images' features a worker keeps on its device."""


@dataclass(frozen=True)
class EvaluationInputs:
    """What all evaluations of a run share: put into Ray's object store once.

    ``context`` is the sweep's, with the training images and the classifiers, so that these are stored only once too.
    """

    context: ray.ObjectRef
    held_out: Mapping[Dataset, ray.ObjectRef]
    inception: ray.ObjectRef | None
    """The bytes of Inception's weights file; None where no evaluation uses its features."""
    placement: Placement


class Problem(NamedTuple):
    """Why an evaluation failed, in one line, where another try cannot help."""

    error: str
    kind: FailureKind


def splits_of(
    shared: EvaluationInputs, context: SweepContext, data: Dataset, evaluation: Evaluation
) -> dict[Split, ImageSet]:
    """The images of a data set that an evaluation uses."""
    return {
        split: context.images[data] if split == "train" else ray.get(shared.held_out[data])
        for split in evaluation.splits
    }


class EvaluationWorker:
    """Computes evaluations of any trial, and keeps what it has loaded and prepared for those that come next."""

    def __init__(self, inputs: list[ray.ObjectRef], placement: Placement) -> None:
        """``inputs`` is a list of one EvaluationInputs, as Ray would fetch a bare one."""
        import torch

        self._inputs, self._gpu_share = inputs, placement.gpus
        self.device = torch.device(placement.device)
        self._models: Models | None = None
        set_up(self.device, placement.cpus, placement.gpus)

    def node(self) -> str:
        """The hexadecimal id of the worker's node."""
        return str(ray.get_runtime_context().get_node_id())

    def evaluate(
        self, trial: Trial, evaluation: Evaluation, shards: Sequence[int], on_host: Sequence[ray.ObjectRef] = ()
    ) -> Problem | None:
        """Compute the shards that have no file yet; returns why that failed, where another try cannot help.

        ``on_host`` are what ``runtime.host_work`` has computed for each. Errors that may pass are raised: the driver
        then tries again, and shards that were stored stay.
        """
        try:
            models = self._models = self._models or Models(ray.get(self._inputs[0]), self.device)
            store = models.context.store
            missing = [shard for shard in shards if not store.exists(evaluation.rows_key(trial.id, shard))]
            model = models.get(trial, evaluation) if missing else None
            for shard in missing:
                assert model is not None
                if on_host:
                    made = ray.get(on_host[shards.index(shard)])
                    if isinstance(made, Problem):
                        return made
                    for name, value in made.items():
                        model.cache.get(name, lambda value=value: value)  # type: ignore[misc]
                _store_result(models.context, model, evaluation, shard, compute_shard(evaluation, model, shard))
        except Exception as error:
            kind = classify(error, self._gpu_share)
            if kind.may_pass:
                raise
            return Problem(describe(error), kind)
        finally:
            give_back_memory(self.device)
        return None


class Models:
    """Makes trained models of checkpoints, and keeps the networks on the device as far as there is room."""

    def __init__(self, shared: EvaluationInputs, device: torch.device) -> None:
        self.shared, self.device = shared, device
        self.context: SweepContext = ray.get(shared.context)
        self._networks, self._extractors, self._references = Cache(_NETWORKS), Cache(_EXTRACTORS), Cache(_REFERENCES)
        self._values = cache_of_values()

    def get(self, trial: Trial, evaluation: Evaluation) -> TrainedModel:
        """The trial's generator, with all that the evaluation compares it with. Raises OrchError."""
        from orchestrator.evaluations.evaluation import TrainedModel
        from orchestrator.training.networks import encoder_of

        data = trial.settings.data
        name = (trial.id, evaluation.checkpoint)
        networks = self._networks.get(name, lambda: self._load(trial, evaluation))
        return TrainedModel(
            trial.id,
            trial.settings,
            networks["generator"],
            self.device,
            splits_of(self.shared, self.context, data, evaluation),
            self._classifier(data) if evaluation.uses_classifier else None,
            lambda: self._sample_quality(data, evaluation),
            {other: self._held_out(other) for other in evaluation.others},
            encoder_of(networks),
            self._values,
        )

    def _load(self, trial: Trial, evaluation: Evaluation) -> nn.ModuleDict:
        from orchestrator.training.checkpoint import load_networks

        networks = load_networks(self.context.store, trial.id, trial.settings, evaluation.checkpoint)
        return networks.to(self.device)

    def _held_out(self, data: Dataset) -> ImageSet:
        images: ImageSet = ray.get(self.shared.held_out[data])
        return images

    def _classifier(self, data: Dataset) -> Classifier | None:
        from orchestrator.metrics.classifier import load

        stored = self.context.classifiers.get(data)
        if stored is None:
            return None
        classifier: Classifier = self._extractors.get(data, lambda: load(stored).to(self.device))
        return classifier

    def _inception(self, resize: Resize) -> FeatureExtractor:
        from orchestrator.metrics.inception import load_inception

        weights = self.shared.inception
        extractor: FeatureExtractor = self._extractors.get(
            resize, lambda: load_inception(ray.get(weights), resize).to(self.device)
        )
        return extractor

    def _sample_quality(self, data: Dataset, evaluation: Evaluation) -> SampleQuality:
        def make() -> SampleQuality:
            from orchestrator.metrics.sample_quality import SampleQuality

            resize, most_real = evaluation.comparison
            inception = evaluation.feature_extractor == "inception"
            extractor = self._inception(resize) if inception else self._classifier(data)
            assert extractor is not None, "an evaluation that measures samples names what extracts their features"
            return SampleQuality(self.context.images[data], self._held_out(data), extractor, self.device, most_real)

        name = (data, evaluation.feature_extractor, evaluation.comparison)
        quality: SampleQuality = self._references.get(name, make)
        return quality


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
