"""The NVIDIA GPUs that trials here may take, counted as CUDA counts them, without importing torch."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WSL = Path("/usr/lib/wsl/lib/nvidia-smi")
"""Where Windows puts the tool for the Linux beside it, outside of most PATHs."""
_PROC, _DEV = Path("/proc/driver/nvidia/gpus"), Path("/dev")
_ANSWER_S = 20.0
"""How long the tool may take: without the persistence daemon it wakes every GPU first."""

_GPU = re.compile(r"GPU (?P<index>\d+): (?P<name>.*) \(UUID: (?P<uuid>GPU-[^)\s]+)\)\s*")
_MIG = re.compile(r"\s+(?P<name>MIG \S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)\s]+)\)\s*")
_NUMBER = re.compile(r"[+-]?\d+")
_CUDA_BUILD = re.compile(r"^cuda\b[^=\n]*=\s*['\"]", re.MULTILINE)


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG device, which is a part of one; ``card`` is the index of the GPU that it is or is part of.

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
    """The visible GPUs, as far as this torch can use them.

    Where torch is imported it has the last word. It is never imported for this: a build for the CPU (or for AMD's GPUs,
    on which nothing here was ever tried) is known by its version file.
    """
    there, torch = visible_gpus(), sys.modules.get("torch")
    if torch is None:
        return there if built_for_cuda() else ()
    seen = torch.cuda.device_count() if torch.version.hip is None and torch.cuda.is_available() else 0
    if seen and any(gpu.is_part for gpu in there):
        return there  # CUDA shows a process one MIG device, whichever it may take
    return there if seen == len(there) else tuple(Gpu(at, torch.cuda.get_device_name(at)) for at in range(seen))


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES leaves, whether or not this torch can use them."""
    return left_visible(present_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_devices() -> str | None:
    """What CUDA_VISIBLE_DEVICES must be for each process to get a MIG device to itself; None where there is none.

    Without it CUDA shows every process the same one.
    """
    usable = usable_gpus()
    return ",".join(gpu.uuid for gpu in usable) if any(gpu.is_part for gpu in usable) else None


def present_gpus() -> tuple[Gpu, ...]:
    """Every GPU of this machine, in the parts that MIG has made of it."""
    tool = shutil.which("nvidia-smi") or (str(_WSL) if _WSL.is_file() else None)
    text = None if tool is None else _listing(tool)
    if text is not None:
        return parse_listing(text)
    # Containers may hide the first and have the second.
    nodes = list(_PROC.glob("*")) or [path for path in _DEV.glob("nvidia*") if path.name[6:].isdigit()]
    return tuple(Gpu(index, "NVIDIA GPU") for index in range(len(nodes)))


@cache
def _listing(tool: str) -> str | None:
    """What ``nvidia-smi -L`` prints; None where it does not work."""
    try:
        ran = subprocess.run([tool, "-L"], capture_output=True, text=True, check=True, timeout=_ANSWER_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):  # a tool without its driver
        return None
    return ran.stdout


def parse_listing(text: str) -> tuple[Gpu, ...]:
    """The GPUs of a listing by ``nvidia-smi -L``; one that MIG divides is there as its parts alone."""
    listed: list[Gpu] = []
    for line in text.splitlines():
        if card := _GPU.fullmatch(line):
            listed.append(Gpu(int(card["index"]), card["name"], card["uuid"], card["uuid"]))
        elif (part := _MIG.fullmatch(line)) and listed:
            of = listed[-1]
            if not of.is_part:  # its first
                listed.pop()
            listed.append(Gpu(of.card, part["name"], part["uuid"], of.card_uuid))
    return tuple(listed)


def left_visible(gpus: Sequence[Gpu], devices: str | None) -> tuple[Gpu, ...]:
    """Those that a value of CUDA_VISIBLE_DEVICES leaves.

    The list ends at its first entry that names nothing (or several GPUs), and one that names a GPU twice leaves none.
    UUIDs may be shortened. A GPU that MIG divides is named by its index and its own UUID too: all its parts are meant.
    """
    if devices is None:
        return tuple(gpus)
    left: list[Gpu] = []
    for entry in devices.split(","):
        named = _named(gpus, entry)
        if not named:
            break
        if set(named) & set(left):
            return ()
        left += named
    return tuple(left[: len(gpus)])


def _named(gpus: Sequence[Gpu], entry: str) -> list[Gpu]:
    """What an entry stands for; nothing where CUDA would take it for invalid."""
    if entry.startswith("MIG-"):
        named = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
        return named if len(named) == 1 else []
    if entry.startswith("GPU-"):
        if gpus and not gpus[0].uuid:  # only counted: taken at its word
            return [Gpu(-1, "NVIDIA GPU", entry)]
        named = [gpu for gpu in gpus if gpu.card_uuid.startswith(entry)]
        return named if len({gpu.card for gpu in named}) == 1 else []
    number = _NUMBER.match(entry.strip())  # CUDA reads what is a number at its beginning
    return [gpu for gpu in gpus if number and gpu.card == int(number[0])]


def built_for_cuda() -> bool:
    """Whether the installed torch is a build for NVIDIA's GPUs; also where that cannot be told."""
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    return version is None or not version.is_file() or bool(_CUDA_BUILD.search(version.read_text()))
