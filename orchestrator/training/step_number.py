"""Numbers that change from step to step, for operations that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class StepNumber:
    """A number in a 0-dimensional tensor, which stays the same tensor.

    A step that reads it there makes the same operations whatever the number is, as a CUDA graph would repeat them; a
    number of Python's is an argument, which the graph would keep as it was recorded.
    """

    def __init__(self, tensor: Tensor, value: float) -> None:
        """Let ``tensor`` hold the number; it does hold ``value``."""
        self.tensor, self._value = tensor, value

    @classmethod
    def on(cls, device: torch.device, dtype: torch.dtype | None = None) -> StepNumber:
        """0 on this device, in double precision unless told otherwise."""
        import torch

        return cls(torch.zeros((), dtype=dtype or torch.float64, device=device), 0.0)

    def set(self, value: float) -> None:
        """Write the number, if it is another than before."""
        if value != self._value:
            self.tensor.fill_(value)
            self._value = value
