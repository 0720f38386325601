"""Tensors and generators that say they are on ``cuda:0`` and live in host memory."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
Generator = torch.Generator
"""Torch's own: within ``pretend.Pretended`` the name in torch is that of ``DeviceGenerator``."""


class DeviceTensor(Tensor):
    """A tensor of the pretended device; ``held`` is the host's tensor with its numbers."""

    held: Tensor
    compute: ClassVar[Callable[[Any, Any, Any], Any] | None] = None
    """What computes an operation on tensors of the device while there is one."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Any:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=CUDA,
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if DeviceTensor.compute is None:
            raise RuntimeError(f"{func} on a tensor of the pretended device, which is not there any more")
        return DeviceTensor.compute(func, args, kwargs or {})

    # That a tensor can be taken apart tells Module.to to exchange parameters, as it cannot give them other data.
    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> DeviceTensor:
        return DeviceTensor(inner["held"])

    # What torch computes for its own tensors, but refuses to for subclasses or does in memory that is not there.
    def tolist(self) -> Any:
        """The numbers, for which the host waits."""
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        """Refused, as for any tensor on a device."""
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it to the host first"
        )

    def __array__(self, *_: Any) -> Any:
        return self.numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled as what ``map_location="cpu"`` makes of a tensor on a device."""
        return _as_parameter(self, self.detach().cpu()).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        memo[id(self)] = _as_parameter(self, self.detach().clone().requires_grad_(self.requires_grad))
        return memo[id(self)]

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"


def _as_parameter(original: Tensor, tensor: Tensor) -> Tensor:
    return torch.nn.Parameter(tensor, original.requires_grad) if isinstance(original, torch.nn.Parameter) else tensor


class DeviceGenerator(Generator):
    """A generator that says it is the device's, where it was asked to be; ``noted`` hears of what the host does to it.

    A host can move a generator only by its state, which a captured graph refuses.
    """

    noted: ClassVar[Callable[[str, int], None] | None] = None
    # By address: the dispatcher hands on a wrapper of its own, which knows nothing of this class.
    _made: ClassVar[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()

    def __new__(cls, device: Any = "cpu") -> Any:
        if torch.device(device).type != "cuda":
            return Generator(device)
        made = super().__new__(cls, "cpu")
        cls._made[made._cdata] = made
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    @classmethod
    def owns(cls, generator: Generator) -> bool:
        """Whether the generator, or what it wraps, is the device's."""
        return generator._cdata in cls._made

    @property
    def device(self) -> torch.device:
        """The pretended one."""
        return CUDA

    def get_state(self) -> Tensor:
        """The state, on the host."""
        self._note("get_state")
        return super().get_state()

    def set_state(self, new_state: Tensor) -> Any:
        """Go on from a state, which must be on the host, as CUDA wants it."""
        if new_state.device.type != "cpu":
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._note("set_state")
        return super().set_state(new_state)

    def _note(self, name: str) -> None:
        if DeviceGenerator.noted is not None:
            DeviceGenerator.noted(f"Generator.{name}", self._cdata)
