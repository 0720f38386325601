"""Processors and GPUs as Linux, NVIDIA's tool and torch describe them, all pretended."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator import hardware
from orchestrator.hardware import Processor, device_columns, driver_version, nvidia_smi, processor
from orchestrator.store.columns import DEVICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INTEL = "processor\t: 0\nmodel name\t: {model}\nflags\t\t: fpu avx512f {flags}\n"
ARM = "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd {flags}\nCPU part\t: 0xd40\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for what Linux tells, with a folder for tools."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("_CPUINFO", "_DRIVER", "_WSL"):
        monkeypatch.setattr(hardware, name, tmp_path / name)
    caches = (processor, nvidia_smi, driver_version)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def tool(machine: Path, body: str, name: str = "bin/nvidia-smi") -> None:
    (machine / name).write_text(f"#!/bin/sh\n{body}\n")
    (machine / name).chmod(0o755)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INTEL.format(model="AMD EPYC 9554", flags="avx512_bf16 vaes") * 2, Processor("AMD EPYC 9554", True)),
        (INTEL.format(model="Intel Xeon 8480+", flags="amx_bf16 amx_tile"), Processor("Intel Xeon 8480+", True)),
        (INTEL.format(model="AMD EPYC 7763", flags="vaes avx512_vnni"), Processor("AMD EPYC 7763", False)),
        (ARM.format(flags="i8mm bf16"), Processor(None, True)),
        (ARM.format(flags="svebf16ish"), Processor(None, False)),
        ("model name\t:\nflags\t:\n", Processor(None, False)),
        (None, Processor(None, False)),
    ],
)
def test_what_linux_tells_of_the_processor(machine: Path, text: str | None, expected: Processor) -> None:
    if text is not None:
        (machine / "_CPUINFO").write_text(text)
    assert processor() == expected


def test_linux_torch_and_this_module_agree_on_bf16() -> None:
    processor.cache_clear()
    if torch.cpu._is_avx512_bf16_supported():
        assert processor().computes_bf16


def test_who_tells_of_the_driver(machine: Path) -> None:
    assert driver_version() is None
    driver_version.cache_clear()
    nvidia_smi.cache_clear()
    tool(machine, 'case "$1" in --query-gpu=driver_version) echo 581.29; echo 581.29;; *) exit 6;; esac', "_WSL")
    assert driver_version() == "581.29", "Windows' driver, of which Linux has no module"
    driver_version.cache_clear()
    (machine / "_DRIVER").write_text("580.65.06\n")
    assert driver_version() == "580.65.06"


def test_a_tool_that_does_not_answer_is_given_up(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_ANSWER_S", 0.2)
    tool(machine, "exec /bin/sleep 60")
    began = time.monotonic()
    assert nvidia_smi("-L") is None
    assert time.monotonic() - began < 10
    for body in ("echo '\\377'", "exit 9"):
        nvidia_smi.cache_clear()
        tool(machine, body)
        assert nvidia_smi("-L") is None


def test_a_row_names_its_device(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "_CPUINFO").write_text(INTEL.format(model="AMD EPYC 9554", flags=""))
    (machine / "_DRIVER").write_text("580.65.06\n")
    shown = SimpleNamespace(name="NVIDIA H100 80GB HBM3 MIG 3g.40gb", total_memory=42_144_366_592)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: shown)
    threads = torch.get_num_threads()
    cpu, gpu = (device_columns(torch.device(kind)) for kind in ("cpu", "cuda"))
    assert cpu == {
        "device_model": "AMD EPYC 9554",
        "device_memory_gib": None,
        "driver_version": None,
        "threads": threads,
    }
    assert gpu == {
        "device_model": "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "device_memory_gib": 39.2,
        "driver_version": "580.65.06",
        "threads": threads,
    }
    assert list(cpu) == list(gpu) == [column.name for column in DEVICE]
