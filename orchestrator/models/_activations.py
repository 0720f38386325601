"""Activations by their names in job files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid"]


def activation_layer(name: Activation) -> nn.Module:
    """The activation; leaky_relu has a slope of 0.2 below 0, as in DCGAN."""
    from torch import nn

    match name:
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(0.2)
        case "elu":
            return nn.ELU()
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()
