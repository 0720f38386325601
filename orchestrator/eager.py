"""torch's optimizers without torch.compile, which nothing here uses and whose import takes two seconds."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods that torch wraps in a function that keeps torch.compile out of them, for which it imports that."""


def eager(optimizer: type[Kind]) -> type[Kind]:
    """The optimizer with its methods as they are written, for parameters that need no gradient of an update.

    What torch wraps around them imports ``torch._dynamo`` and a hundred modules with it, in each process that trains.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)
