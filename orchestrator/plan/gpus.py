"""The NVIDIA GPUs of this machine that trials may use, counted as CUDA does, without importing torch."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.hardware import nvidia_smi

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROC, _DEV = Path("/proc/driver/nvidia/gpus"), Path("/dev")

_GPU = re.compile(r"GPU (?P<index>\d+): (?P<name>.*) \(UUID: (?P<uuid>GPU-[^)\s]+)\)\s*")
_MIG = re.compile(r"\s+(?P<name>MIG \S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)\s]+)\)\s*")
_NUMBER = re.compile(r"[+-]?\d+")
_CUDA_BUILD = re.compile(r"^cuda\b[^=\n]*=\s*['\"]", re.MULTILINE)


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG device, which is a part of one; ``card`` is the index of the whole GPU.

    ``uuid`` is empty where only the number of GPUs is known.
    """

    card: int
    name: str
    uuid: str = ""
    card_uuid: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it is a MIG device."""
        return self.uuid.startswith("MIG-")


def usable_gpus() -> tuple[Gpu, ...]:
    """The visible GPUs that this torch can use.

    Where torch is imported, its device count decides. It is never imported for this: a build for the CPU (or for AMD's
    GPUs, which are untested) is recognised by its version file.
    """
    visible, torch = visible_gpus(), sys.modules.get("torch")
    if torch is None:
        return visible if built_for_cuda() else ()
    count = torch.cuda.device_count() if torch.version.hip is None and torch.cuda.is_available() else 0
    if count and any(gpu.is_part for gpu in visible):
        return visible  # CUDA shows a process only one MIG device, however many there are
    return visible if count == len(visible) else tuple(Gpu(i, torch.cuda.get_device_name(i)) for i in range(count))


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES allows, whether or not this torch can use them."""
    return left_visible(present_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_devices() -> str | None:
    """The value of CUDA_VISIBLE_DEVICES by which each process gets a MIG device of its own; None without MIG.

    Otherwise CUDA shows every process the same MIG device.
    """
    usable = usable_gpus()
    return ",".join(gpu.uuid for gpu in usable) if any(gpu.is_part for gpu in usable) else None


def present_gpus() -> tuple[Gpu, ...]:
    """Every GPU of this machine; one that MIG divides is listed as its parts."""
    if (text := nvidia_smi("-L")) is not None:
        return parse_listing(text)
    # Containers may hide /proc's entries and have /dev's.
    nodes = list(_PROC.glob("*")) or [path for path in _DEV.glob("nvidia*") if path.name[6:].isdigit()]
    return tuple(Gpu(index, "NVIDIA GPU") for index in range(len(nodes)))


def parse_listing(text: str) -> tuple[Gpu, ...]:
    """The GPUs of a listing by ``nvidia-smi -L``; one that MIG divides is listed as its parts only."""
    listed: list[Gpu] = []
    for line in text.splitlines():
        if card := _GPU.fullmatch(line):
            listed.append(Gpu(int(card["index"]), card["name"], card["uuid"], card["uuid"]))
        elif (part := _MIG.fullmatch(line)) and listed:
            last = listed[-1]
            if not last.is_part:  # the GPU itself, which its first part replaces
                listed.pop()
            listed.append(Gpu(last.card, part["name"], part["uuid"], last.card_uuid))
    return tuple(listed)


def left_visible(gpus: Sequence[Gpu], devices: str | None) -> tuple[Gpu, ...]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES allows.

    The list ends at its first entry that names no GPU (or several), and a list that names a GPU twice allows none.
    UUIDs may be shortened. The index or UUID of a GPU that MIG divides names all its parts.
    """
    if devices is None:
        return tuple(gpus)
    allowed: list[Gpu] = []
    for entry in devices.split(","):
        named = _named(gpus, entry)
        if not named:
            break
        if set(named) & set(allowed):
            return ()
        allowed += named
    return tuple(allowed[: len(gpus)])


def _named(gpus: Sequence[Gpu], entry: str) -> list[Gpu]:
    """The GPUs that an entry names; empty where CUDA treats it as invalid."""
    if entry.startswith("MIG-"):
        named = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
        return named if len(named) == 1 else []
    if entry.startswith("GPU-"):
        if gpus and not gpus[0].uuid:  # GPUs are only counted, so that no UUID can be checked
            return [Gpu(-1, "NVIDIA GPU", entry)]
        named = [gpu for gpu in gpus if gpu.card_uuid.startswith(entry)]
        return named if len({gpu.card for gpu in named}) == 1 else []
    number = _NUMBER.match(entry.strip())  # CUDA reads the number at the entry's beginning
    return [gpu for gpu in gpus if number and gpu.card == int(number[0])]


def built_for_cuda() -> bool:
    """Whether the installed torch is a build for NVIDIA's GPUs; True where that is unknown."""
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    return version is None or not version.is_file() or bool(_CUDA_BUILD.search(version.read_text()))
