"""What torch asks of CUDA outside its dispatcher, and the answers of a device that is pretended."""

from __future__ import annotations

import ctypes
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

from tests.device.tensors import DeviceGenerator, DeviceTensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEADERS = Path(torch.__file__).parent / "include" / "ATen" / "detail"
_GET_HOOKS = "_ZN2at6detail12getCUDAHooksEv"
_ASKED = "hasPrimaryContext"
_kept: list[Any] = []  # what torch's own code points to must outlive it


def why_not() -> str | None:
    """Why there can be no pretended device in this process, or None where there can."""
    if torch.cuda.is_available():
        return "a CUDA device is here, and tests marked gpu run on it; hide it (CUDA_VISIBLE_DEVICES=) to pretend one"
    if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        return f"torch {torch.__version__} sets no device guard for a CUDA device that is not there"
    if torch.version.cuda is None:
        return None  # a build for CPUs has no hooks to be asked
    if _position(_virtual_functions("AcceleratorHooksInterface.h")) is None:
        return f"torch {torch.__version__} does not ask its CUDA hooks as this test replaces them"
    return None if hasattr(_library(), _GET_HOOKS) else f"torch {torch.__version__} does not show its CUDA hooks"


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))


def _virtual_functions(header: str) -> list[str]:
    """The names of an interface's virtual functions in their order, which is that of their table."""
    text = (_HEADERS / header).read_text() if (_HEADERS / header).is_file() else ""
    return re.findall(r"^\s*(?:virtual [^;{(]*?)(~?\w+)\(", text, re.MULTILINE)


def _position(names: list[str]) -> int | None:
    """Where the table has the function that is replaced; a destructor, declared first, takes two entries."""
    expected = bool(names) and names[0].startswith("~") and names.count(_ASKED) == 1
    return names.index(_ASKED) + 1 if expected else None


@contextmanager
def _without_contexts() -> Iterator[None]:
    """Have a CUDA build of torch say that no device has a context, which its autograd engine asks each time.

    Without a driver its own answer is an error. The object of its hooks gets a copy of the table of its functions in
    which this one says no; what is in front of the table, two pointers, is copied with it.
    """
    if torch.version.cuda is None:
        yield
        return
    names = _virtual_functions("AcceleratorHooksInterface.h")
    entries = 2 + 1 + len(names) + len(_virtual_functions("CUDAHooksInterface.h"))
    position = _position(names)
    assert position is not None
    get_hooks = getattr(_library(), _GET_HOOKS)
    get_hooks.restype = ctypes.c_void_p
    to_table = ctypes.c_void_p.from_address(get_hooks())
    original = to_table.value
    assert original is not None
    pointer = ctypes.sizeof(ctypes.c_void_p)
    table = (ctypes.c_void_p * entries).from_buffer_copy(
        (ctypes.c_void_p * entries).from_address(original - 2 * pointer)
    )
    no = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int8)(lambda hooks, device: False)
    table[2 + position] = ctypes.cast(no, ctypes.c_void_p).value
    _kept.extend((table, no))
    to_table.value = ctypes.addressof(table) + 2 * pointer
    try:
        yield
    finally:
        to_table.value = original


@contextmanager
def answered(wait: Callable[[str], None], *, bf16: bool) -> Iterator[None]:
    """Within, torch says that there is one CUDA device; ``wait`` hears of it where the host is to wait for it."""
    torch._C._ensureCUDADeviceGuardSet()  # one that does nothing, as torch's own FakeTensorMode wants it
    properties = SimpleNamespace(
        name="pretended device", major=9, minor=0, total_memory=2**36, multi_processor_count=100
    )
    answers: dict[str, Any] = {
        "torch.Generator": DeviceGenerator,
        "torch.cuda._lazy_init": lambda: None,
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.device_count": lambda: 1,
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.get_device_capability": lambda device=None: (properties.major, properties.minor),
        "torch.cuda.get_device_name": lambda device=None: properties.name,
        "torch.cuda.get_device_properties": lambda device=None: properties,
        "torch.cuda.is_bf16_supported": lambda including_emulation=True: bf16,
        "torch.cuda.is_current_stream_capturing": lambda: False,
        "torch.cuda.synchronize": lambda device=None: wait("synchronize"),
        "torch.cuda.empty_cache": lambda: None,
    }
    types = torch.utils._foreach_utils._foreach_supported_types
    with ExitStack() as stack:
        stack.enter_context(_without_contexts())
        for name, answer in answers.items():
            stack.enter_context(mock.patch(name, answer))
        # One thread of Python computes, so that the mode sees what backward passes do.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        types.append(DeviceTensor)  # for kernels over many tensors, as CUDA's own tensors have them
        stack.callback(types.remove, DeviceTensor)
        # torch.tensor makes its numbers on the host and copies them, as it does for a device.
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        yield
