"""What computes: a processor's or GPU's model, memory and driver, and how exactly it computes in float32."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CPUINFO, _DRIVER = Path("/proc/cpuinfo"), Path("/sys/module/nvidia/version")
_WSL = Path("/usr/lib/wsl/lib/nvidia-smi")
"""The tool's path in Windows' Linux subsystem, outside of most PATHs."""
_ANSWER_S = 20.0
"""How long the tool may take: without the persistence daemon it wakes every GPU first."""
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""A processor's flags for products of bf16 numbers: of Intel and AMD, of Intel, of ARM."""


@dataclass(frozen=True)
class Processor:
    """The processor of this machine; ``model`` is None where Linux does not tell it."""

    model: str | None
    computes_bf16: bool
    """Whether it multiplies bf16 numbers natively; otherwise they are converted to float32 first, which is slower."""


@cache
def processor() -> Processor:
    """The processor as Linux describes it; without such a description it counts as one without bf16."""
    try:
        text = _CPUINFO.read_text(errors="replace")
    except OSError:  # not Linux
        text = ""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            entries.setdefault(name.strip(), value.strip())
    flags = entries.get("flags", entries.get("Features", "")).split()
    return Processor(entries.get("model name") or None, not set(BF16_FLAGS).isdisjoint(flags))


@cache
def nvidia_smi(*arguments: str) -> str | None:
    """What NVIDIA's tool prints; None where there is none, or it does not work."""
    tool = shutil.which("nvidia-smi") or (str(_WSL) if _WSL.is_file() else None)
    if tool is None:
        return None
    try:
        result = subprocess.run([tool, *arguments], capture_output=True, text=True, check=True, timeout=_ANSWER_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):  # a tool without its driver
        return None
    return result.stdout


@cache
def driver_version() -> str | None:
    """The version of NVIDIA's driver, as ``580.65.06``; None where neither Linux nor the tool tells it."""
    try:
        return _DRIVER.read_text().strip() or None
    except OSError:  # no such module: no driver, a container that hides it, or Windows' driver below WSL2
        answer = nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader")
        return (answer or "").strip().partition("\n")[0] or None


def device_columns(device: torch.device) -> dict[str, object]:
    """The columns ``store.columns.DEVICE`` of a row that was computed on this device by this process."""
    import torch

    threads = torch.get_num_threads()
    if device.type != "cuda":
        model = processor().model
        return {"device_model": model, "device_memory_gib": None, "driver_version": None, "threads": threads}
    gpu = torch.cuda.get_device_properties(device)
    return {
        "device_model": gpu.name,
        "device_memory_gib": round(gpu.total_memory / 2**30, 1),
        "driver_version": driver_version(),
        "threads": threads,
    }


def compute_float32_exactly() -> None:
    """Have this process compute convolutions and matrix products of float32 numbers with all their 24 bits (IEEE 754).

    cuDNN's convolutions would round their inputs to the 11 bits of TF32 otherwise, in forward and backward passes, in
    the second derivatives of gradient penalties and in measures alike.
    """
    import torch

    backends = torch.backends
    for operation in (
        backends.cudnn.conv,  # type: ignore[attr-defined]
        backends.cuda.matmul,
        backends.mkldnn.conv,  # type: ignore[attr-defined]
        backends.mkldnn.matmul,  # type: ignore[attr-defined]
    ):
        operation.fp32_precision = "ieee"
