"""A trained generator on its way out of a study."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.models._flow_layers import InvertibleConvolution
from orchestrator.spec.columns import declared
from orchestrator.store.tables import read_files
from orchestrator.study import COLUMNS
from orchestrator.study.trained import load_trained
from orchestrator.text import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from orchestrator.data.images import ImageShape
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store
    from orchestrator.training.settings import TrialSettings

_FACTS = {
    "last": ("status", "step", "epoch", "fid", "bits_per_dimension"),
    "best": ("status", "best_step", "best_fid"),
}  # fmt: skip
"""Columns of a trial's row that tell of its checkpoints."""


@dataclass(frozen=True)
class Generator:
    """A generator on the processor, in eval mode and frozen, and where it comes from.

    ``facts`` are lines of its trial's results, by their names.
    """

    network: nn.Module
    settings: TrialSettings
    trial_id: str
    job: str
    checkpoint: Literal["last", "best"] = "last"
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> ImageShape:
        """The shape of an image."""
        return self.settings.data.shape

    @property
    def latents(self) -> int:
        """Numbers in a latent vector."""
        return self.settings.model.latents(self.shape)

    @property
    def averaged(self) -> bool:
        """Whether its weights are a moving average of those that were trained."""
        return self.settings.training.g_ema > 0

    def sections(self) -> dict[str, Any]:
        """Its trial's settings, without the places of files: those are of this machine alone."""
        raw = self.settings.model_dump(mode="json")
        for name in raw:
            for place in getattr(self.settings, name).places:
                del raw[name][place]
        return raw

    def fixed(self) -> nn.Module:
        """A copy in which what follows from weights alone is computed: ONNX has no operator that solves equations."""
        network = copy.deepcopy(self.network)
        for module in network.modules():
            if isinstance(module, InvertibleConvolution):
                module.fix_inverse()
        return network


def read_generator(
    store: Store, trial: str, which: Literal["last", "best"] = "last", job: Job | None = None
) -> Generator:
    """The generator of the trial whose id begins with ``trial``. Raises as ``load_trained``."""
    trained = load_trained(store, trial, "cpu", which, job)
    name = store.uri.rpartition("/")[2]
    return Generator(
        trained.generator, trained.settings, trained.trial_id, name, which, _facts(store, trained.trial_id, which)
    )


def _facts(store: Store, trial_id: str, which: Literal["last", "best"]) -> dict[str, str]:
    """What the trial's row says of it; of one that has not ended that it has not."""
    key = f"trials/{trial_id}.parquet"
    rows = read_files(store, [key], schema=declared("trials")).table.to_pylist() if store.exists(key) else []
    if not rows:
        return {"status": "not ended: these are weights on the way"}
    known = {name: rows[-1].get(name) for name in _FACTS[which]}
    return {COLUMNS[name].heading or name: number(value) for name, value in known.items() if value is not None}
