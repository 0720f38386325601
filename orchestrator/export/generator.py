"""A trained generator on its way out of a study."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.models._flow_layers import InvertibleConvolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from orchestrator.data.images import ImageShape
    from orchestrator.training.settings import TrialSettings


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
