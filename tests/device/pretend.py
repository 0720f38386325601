"""A pretended CUDA device, for tests on machines without one.

``Pretended`` is a context within which ``cuda`` is there. Its tensors say that they are on ``cuda:0`` and hold their
numbers in host memory: all that is above torch's dispatcher runs as on a GPU (the branches of autocast, of composite
operations, of fused optimizers), and below it each operation is computed on the CPU::

    with Pretended() as device:
        learner = learner_of(settings, to_device(images, "cuda"), ALONE)
        learner.step()
        device.forget()                     # what it has noted so far
        with device.recorded() as first:
            learner.step()
        with device.recorded() as second:
            learner.step()
    assert not device.waits                 # Counter of Wait(name, where): "copy to the host", "training/gan.py:91"
    assert not differences(first, second)   # operations whose memory, numbers or order are not those of the last step

What CUDA refuses raises ``DeviceMixError`` and is kept in ``mixes``: host and device in one operation, a generator of
the other device, an operation without a CUDA kernel. ``waits`` counts what a host would wait for, by the project's
line. ``operations`` counts operations by name, ``collectives`` those of a process group by its backend and name.

Not shown: what a kernel does and how fast, streams, memory, TF32, the device's own random numbers, cuDNN and NCCL.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.device.hooks import answered, why_not
from tests.device.kernels import ON_CPU
from tests.device.recording import Recording
from tests.device.rules import Call, leaves, mix, replaced, waits
from tests.device.tensors import CPU, DeviceGenerator, DeviceTensor

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_pretended = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
"""Skips tests where there can be no pretended device."""

ROOT = Path(__file__).parents[2]
LAUNCH_NOTHING = frozenset(
    {
        *("view", "_unsafe_view", "_reshape_alias", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze"),
        *("slice", "select", "narrow", "split", "split_with_sizes", "unbind", "unfold", "diagonal", "as_strided"),
        *("detach", "alias", "lift_fresh", "set_", "empty", "empty_like", "empty_strided", "new_empty"),
        *("new_empty_strided", "is_same_size"),
    }
)
"""Operations that are done when the host has done them."""


class DeviceMixError(RuntimeError):
    """What CUDA refuses to compute."""


class Wait(NamedTuple):
    """What the host waits for, and the line that makes it wait."""

    name: str
    where: str


class Pretended(TorchDispatchMode):
    """A context with a CUDA device that is pretended; ``bf16``: whether it computes in bfloat16."""

    def __init__(self, *, bf16: bool = True) -> None:
        super().__init__()
        self.bf16 = bf16
        self.mixes: list[str] = []
        self.waits: Counter[Wait] = Counter()
        self.operations: Counter[str] = Counter()
        self.collectives: Counter[str] = Counter()
        self._recording: Recording | None = None

    def __enter__(self) -> Self:
        assert why_not() is None, why_not()
        assert DeviceTensor.compute is None, "one pretended device at a time"
        self._stack = ExitStack()
        self._stack.enter_context(answered(self._wait, bf16=self.bf16))
        self._stack.callback(setattr, DeviceTensor, "compute", None)
        self._stack.callback(setattr, DeviceGenerator, "noted", None)
        DeviceTensor.compute, DeviceGenerator.noted = self._compute, self._note
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    def forget(self) -> None:
        """Begin to count anew."""
        self.mixes.clear()
        for counter in (self.waits, self.operations, self.collectives):
            counter.clear()

    @contextmanager
    def recorded(self) -> Iterator[Recording]:
        """The operations that are done within."""
        assert self._recording is None
        self._recording = Recording()
        try:
            yield self._recording
        finally:
            self._recording = None

    @property
    def launches(self) -> int:
        """Operations that launch at least one kernel each."""
        return sum(count for name, count in self.operations.items() if name not in LAUNCH_NOTHING)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._compute(func, args, kwargs or {})

    def _compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = Call(func, args, kwargs)
        problem = mix(call)
        if problem is None and call.on_device and call.space == "aten" and not _has_kernel(func):
            problem = "no kernel for CUDA"
        if problem is not None:
            self.mixes.append(f"{func}: {problem}, at {where()}")
            raise DeviceMixError(self.mixes[-1])
        if call.space == "c10d":
            backend = "device" if call.ours else "host"
            self.collectives[f"{call.name} on the {backend}"] += 1
        if not call.on_device:
            return func(*args, **kwargs)
        for name in waits(call):
            self._wait(name)
        return self._wrapped(call, self._on_cpu(call))

    def _on_cpu(self, call: Call) -> Any:
        """What the operation gives for the numbers in host memory."""
        args = [replaced(value, _held) for value in call.args]
        kwargs = {name: replaced(value, _held) for name, value in call.kwargs.items()}
        return ON_CPU.get(call.name, call.func)(*args, **kwargs)

    def _wrapped(self, call: Call, result: Any) -> Any:
        """The result's tensors as the device's: those that were arguments are the same objects."""
        self.operations[call.name] += 1
        if call.name == "_to_copy" and call.asked == "cpu":
            return result
        arguments = {id(tensor.held): tensor for tensor in call.ours}

        def wrap(value: Any) -> Any:
            return arguments.get(id(value)) if id(value) in arguments else _as_ours(value)

        result = replaced(result, wrap)
        if self._recording is not None:
            self._recording.add(call, list(leaves([result])), where())
        return result

    def _wait(self, name: str) -> None:
        self.waits[Wait(name, where())] += 1

    def _note(self, name: str, generator: int) -> None:
        if self._recording is not None:
            self._recording.note(name, generator, where())


def _held(value: Any) -> Any:
    if isinstance(value, DeviceTensor):
        return value.held
    return CPU if isinstance(value, torch.device) else value


def _as_ours(value: Any) -> Any:
    return DeviceTensor(value) if isinstance(value, Tensor) else value


@cache
def _has_kernel(func: Any) -> bool:
    """Whether CUDA can compute it; builds for CPUs do not know."""
    overload = "" if func._overloadname == "default" else f".{func._overloadname}"
    name = f"{func._schema.name}{overload}"
    return torch.version.cuda is None or torch._C._dispatch_has_computed_kernel_for_dispatch_key(name, "CUDA")


def where() -> str:
    """The innermost line of the project on the stack, else that of its tests; the device's own lines left out."""
    frame, in_tests = sys._getframe(1), "outside the project"
    while frame is not None:
        name, of_project = _named(frame.f_code.co_filename)
        if of_project:
            return f"{name}:{frame.f_lineno}"
        if name and in_tests == "outside the project":
            in_tests = f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return in_tests


@cache
def _named(path: str) -> tuple[str, bool]:
    """What a file is called, and whether it is the project's own; "" for a file of neither it nor its tests."""
    if path.startswith(f"{ROOT}/orchestrator/"):
        return path.removeprefix(f"{ROOT}/orchestrator/"), True
    own = Path(path).parent == Path(__file__).parent and not Path(path).name.startswith("test_")
    return (path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/tests/") and not own else ""), False
