"""GPUs as CUDA counts them, told by a pretended nvidia-smi, by Linux alone, or by torch."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from orchestrator import hardware
from orchestrator.cli.doctor import _devices
from orchestrator.errors import PlacementError
from orchestrator.plan import gpus as module
from orchestrator.plan.gpus import left_visible, parse_listing, usable_gpus, visible_devices
from orchestrator.plan.placement import place, this_machine
from orchestrator.spec.job import Resources

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa2222-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb3333-d33d-2b2c-524d-9e3d8d2b8a77)
"""
PARTS = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1c.3g.20gb  Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa2222-d33d-2b2c-524d-9e3d8d2b8a77)
"""
OLD_PARTS = """\
GPU 0: A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)
  MIG 3g.20gb Device 0: (UUID: MIG-GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0/1/0)
"""


@pytest.mark.parametrize(
    ("listing", "devices", "left"),
    [
        (WHOLE, None, [0, 1, 2]),
        ("", None, []),
        ("No devices found.\n", None, []),
        ("Unable to determine the device handle for gpu 0000:02:00.0: GPU is lost.\n" + WHOLE, None, [0, 1, 2]),
        (WHOLE, "", []),
        (WHOLE, "-1", []),
        (WHOLE, "NoDevFiles", []),
        (WHOLE, "2,0", [2, 0]),
        (WHOLE, " 1, 2 ", [1, 2]),
        (WHOLE, "1gpu,2", [1, 2]),
        # the first entry that names nothing ends the list, a second time the same empties it
        (WHOLE, "0,1,2,3,0", [0, 1, 2]),
        (WHOLE, "1,-1,2", [1]),
        (WHOLE, "7,0", []),
        (WHOLE, "0,,1", [0]),
        (WHOLE, "0,1,0", []),
        # UUIDs, whole and shortened; what fits two names nothing
        (WHOLE, "GPU-bbbb3333-d33d-2b2c-524d-9e3d8d2b8a77,GPU-aaaa1", [2, 0]),
        (WHOLE, "GPU-aaaa", []),
        (WHOLE, "GPU-bbbb,GPU-cccc,GPU-aaaa1", [2]),
        (WHOLE, "GPU-bbbb,GPU-bbbb3", []),
        (WHOLE, "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", []),
        # a GPU in parts is as many devices as it has
        (PARTS, None, [0, 0, 1]),
        (PARTS, "0", [0, 0]),
        (PARTS, "GPU-aaaa1", [0, 0]),
        (PARTS, "1", [1]),
        (PARTS, "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb,GPU-aaaa2", [0, 1]),
        (PARTS, "MIG-c", []),
        (OLD_PARTS, None, [0]),
        (OLD_PARTS, "MIG-GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0/1/0", [0]),
        # AMD's tools print nothing of this kind
        ("GPU[0]\t\t: Card series: AMD Instinct MI250X\n", None, []),
    ],
)
def test_what_cuda_would_show(listing: str, devices: str | None, left: list[int]) -> None:
    assert [gpu.card for gpu in left_visible(parse_listing(listing), devices)] == left


class Machine:
    """A machine that is pretended: its nvidia-smi, what Linux shows of its GPUs, and its torch."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        for name in ("proc", "dev", "bin", "torch"):
            (folder / name).mkdir()
        patch.setenv("PATH", str(folder / "bin"))
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patch.delitem(sys.modules, "torch", raising=False)
        for holder, name, path in ((module, "_PROC", "proc"), (module, "_DEV", "dev"), (hardware, "_WSL", "wsl-smi")):
            patch.setattr(holder, name, folder / path)
        hardware.nvidia_smi.cache_clear()

    def tool(self, listing: str, path: str = "bin/nvidia-smi", code: int = 0) -> None:
        """Have nvidia-smi print this."""
        hardware.nvidia_smi.cache_clear()
        (self.folder / path).write_text(f"#!/bin/sh\n[ \"$1\" = -L ] || exit 9\necho '{listing}'\nexit {code}\n")
        (self.folder / path).chmod(0o755)

    def torch(self, cuda: str | None, seen: int | None = None, hip: str | None = None) -> None:
        """Have a build of torch installed; with ``seen`` it is imported, and sees so many GPUs."""
        (self.folder / "torch" / "version.py").write_text(f"cuda: Optional[str] = {cuda!r}\nhip = {hip!r}\n")
        spec = importlib.machinery.ModuleSpec("torch", None, origin=str(self.folder / "torch" / "__init__.py"))
        self.patch.setattr(importlib.util, "find_spec", lambda name: {"torch": spec}[name])
        if seen is not None:
            shown = SimpleNamespace(
                is_available=lambda: seen > 0, device_count=lambda: seen, get_device_name="NVIDIA RTX {}".format
            )
            version = SimpleNamespace(cuda=cuda, hip=hip)
            self.patch.setitem(sys.modules, "torch", SimpleNamespace(cuda=shown, version=version, __version__="2"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path, monkeypatch)
    machine.torch("13.0")
    return machine


def test_who_tells_of_gpus(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def gpus() -> int:
        hardware.nvidia_smi.cache_clear()
        assert len(usable_gpus()) == this_machine().gpus
        return this_machine().gpus

    assert gpus() == 0
    # a container may hide the one and show the other
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (machine.folder / "dev" / name).touch()
    assert gpus() == 2
    (machine.folder / "proc" / "0000:00:04.0").mkdir()
    assert gpus() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa1111,GPU-bbbb2222")
    assert gpus() == 1
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    # Windows' Linux has its tool apart, and none of the above
    machine.tool(PARTS, "wsl-smi")
    assert gpus() == 3
    machine.tool(WHOLE)
    assert gpus() == 3
    machine.tool("NVIDIA-SMI has failed", code=9)
    assert gpus() == 1
    # torch knows best what it can use
    machine.torch("13.0", seen=2)
    assert gpus() == 2
    machine.torch(None, seen=2, hip="6.0")
    assert gpus() == 0
    monkeypatch.delitem(sys.modules, "torch")
    assert gpus() == 0, "a build for AMD's GPUs"
    machine.torch(None)
    assert gpus() == 0, "a build for the CPU"


def test_each_process_gets_its_part_of_a_gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.tool(WHOLE)
    assert visible_devices() is None, "Ray counts whole GPUs by itself"
    machine.tool(PARTS)
    parts = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f,MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"
    assert visible_devices() == f"{parts},GPU-aaaa2222-d33d-2b2c-524d-9e3d8d2b8a77"
    machine.torch("13.0", seen=1)  # one of them, as in every process
    assert this_machine().gpus == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert visible_devices() == parts
    assert place(Resources(), 1, this_machine()).concurrent == min(2, this_machine().nodes[0].cpus)


@pytest.mark.parametrize(
    ("cuda", "seen", "devices", "good", "text"),
    [
        ("13.0", 3, None, True, "NVIDIA A100-SXM4-40GB, NVIDIA A100-SXM4-40GB, NVIDIA H100 80GB HBM3"),
        ("13.0", 1, "2", True, "NVIDIA H100 80GB HBM3"),
        ("13.0", 2, None, True, "NVIDIA RTX 0, NVIDIA RTX 1"),
        ("13.0", 0, "", True, "CUDA_VISIBLE_DEVICES hides 3 NVIDIA GPUs: trials train on the CPU"),
        (
            None,
            0,
            None,
            False,
            "3 NVIDIA GPUs are there (NVIDIA A100-SXM4-40GB, NVIDIA H100 80GB HBM3), but torch 2 is",
        ),
        ("13.0", 0, None, False, "but torch 2 cannot use them; does the driver support CUDA 13.0?"),
    ],
)
def test_the_doctor_agrees_with_the_placement(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str | None,
    seen: int,
    devices: str | None,
    good: bool,
    text: str,
) -> None:
    machine.tool(WHOLE)
    machine.torch(cuda, seen)
    if devices is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    finding = _devices()
    assert finding.good is good
    assert text in finding.text
    assert this_machine().gpus == seen
    if seen:
        assert place(Resources(gpus_per_worker=1.0), 1, this_machine()).device == "cuda"
    else:
        with pytest.raises(PlacementError, match="there are 0 GPUs here"):
            place(Resources(gpus_per_worker=1.0), 1, this_machine())
