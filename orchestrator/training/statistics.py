"""State that networks update in their forward passes while they train, and how to suspend it.

Batch norms update running statistics. Spectral norms make one step of their power iteration in every pass: Miyato et
al., arXiv 1802.05957, section 2.1.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@contextmanager
def statistics_held(*networks: nn.Module) -> Iterator[None]:
    """Forward passes within do not change running statistics and spectral norms' vectors; may be nested."""
    modules = [module for network in networks for module in network.modules()]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d) and module.track_running_stats]
    # In eval mode a spectral norm divides by the same estimate but does not refine it.
    spectral = [module for module in modules if isinstance(module, _SpectralNorm) and module.training]
    for norm in norms:
        norm.track_running_stats = False
    for module in spectral:
        module.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for module in spectral:
            module.training = True


def running_statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of the network's batch norms."""
    return [
        statistic
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]
