"""The optimizers of a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

_Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Optimizer(Settings):
    """Adam, arXiv 1412.6980, or plain gradient descent; the defaults are DCGAN's, arXiv 1511.06434 section 4.

    Adam's beta2 is that of its own paper.
    """

    kind: Literal["adam", "sgd"] = "adam"
    """algorithm of the optimizer"""
    lr: float = Field(2e-4, gt=0.0, le=1.0)
    """learning rate"""
    betas: tuple[_Beta, _Beta] = Field((0.5, 0.999), strict=False)
    """adam: decay of the running means of the gradient and of its square"""
    eps: float = Field(1e-8, gt=0.0, le=1.0)
    """adam: added to the root of the mean square"""
    momentum: float = Field(0.0, ge=0.0, lt=1.0)
    """sgd: share of the last update in the next"""

    @model_validator(mode="after")
    def _of_this_kind(self) -> Optimizer:
        foreign = {"adam": {"momentum"}, "sgd": {"betas", "eps"}}[self.kind] & self.model_fields_set
        # A resolved job file in storage names every setting: settings of the other kind are allowed at their defaults.
        for name in sorted(foreign):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {self.kind} has none; take it out, or choose another kind")
        return self

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The fused optimizer of torch: one kernel for all parameters on a GPU, one loop on a CPU.

        On a GPU its rate is a tensor there: a number would be an argument of the kernel, which a CUDA graph repeats as
        it was recorded. On a CPU it is a number.
        """
        import torch

        from orchestrator.eager import eager

        parameters = list(parameters)
        device = parameters[0].device
        on_gpu = device.type == "cuda"
        lr = torch.full((), self.lr, device=device) if on_gpu else self.lr
        if self.kind == "sgd":
            return eager(torch.optim.SGD)(parameters, lr=lr, momentum=self.momentum, fused=True)
        return eager(torch.optim.Adam)(parameters, lr=lr, betas=self.betas, eps=self.eps, fused=True, capturable=on_gpu)
