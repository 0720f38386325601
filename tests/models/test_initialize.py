from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.distributed.batch_norm import SynchronizedBatchNorm2d
from orchestrator.distributed.group import ALONE
from orchestrator.models.model import initialize

LAYERS = {
    "conv": lambda: nn.Conv2d(64, 128, 4),
    "transposed": lambda: nn.ConvTranspose2d(128, 64, 4),
    "linear": lambda: nn.Linear(512, 256),
    "norm": lambda: nn.BatchNorm2d(40_000),
    "norm over processes": lambda: SynchronizedBatchNorm2d(40_000, 1e-5, 0.1, ALONE),
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_weights_are_normal_with_a_deviation_of_002(name: str) -> None:
    layer = LAYERS[name]()
    initialize(layer, torch.Generator().manual_seed(3))
    weights = layer.weight.detach().double().flatten()
    mean = 1.0 if name.startswith("norm") else 0.0
    error = 0.02 / len(weights) ** 0.5
    assert abs(weights.mean().item() - mean) < 5 * error
    assert abs(weights.std().item() - 0.02) < 5 * error / 2**0.5
    # the shape: within one, two and three deviations
    for times, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        within = ((weights - mean).abs() < times * 0.02).double().mean().item()
        assert abs(within - share) < 5 * (share * (1 - share) / len(weights)) ** 0.5
    assert layer.bias.abs().max() == 0


def test_layers_without_a_bias_and_those_inside_others_are_reached() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(8, 32, 4, bias=False), nn.ReLU()), nn.BatchNorm2d(32))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7.0)
    initialize(network, torch.Generator().manual_seed(0))
    assert max(parameter.abs().max().item() for parameter in network.parameters()) < 1.2


def test_running_statistics_stay() -> None:
    norm = nn.BatchNorm2d(3)
    norm(torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)))
    before = norm.running_mean.clone(), norm.running_var.clone()
    initialize(norm, torch.Generator())
    assert torch.equal(norm.running_mean, before[0])
    assert torch.equal(norm.running_var, before[1])


def test_torchs_global_generator_is_left_alone() -> None:
    network = nn.Sequential(*(make() for make in LAYERS.values()))
    before = torch.get_rng_state()
    initialize(network, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_two_networks_from_one_generator_differ() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    initialize(one, random)
    initialize(other, random)
    assert not torch.equal(one.weight, other.weight)
