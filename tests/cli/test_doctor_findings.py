"""doctor, with the check that would start Ray left out."""

from __future__ import annotations

import builtins
import importlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import doctor
from orchestrator.cli.doctor import Finding
from orchestrator.spec.schema_file import FIRST_LINE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ray", lambda: Finding(True, "left out"))


PUBLISHED = ("mnist", "fashion_mnist", "celeba")


def findings(text: str) -> dict[str, tuple[str, str]]:
    lines = [line.split(maxsplit=2) for line in text.splitlines()]
    return {name: (mark, rest) for mark, name, rest in lines}


def test_published_sets_are_there_or_how_to_get_them_is_told(orch: Callable[..., Any], folder: Path) -> None:
    raw = folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 3), ("t10k", 2)):
        header = b"".join(number.to_bytes(4, "big") for number in (2051, count, 28, 28))
        (raw / f"{split}-images-idx3-ubyte").write_bytes(header + bytes(count * 28 * 28))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(
            b"".join(n.to_bytes(4, "big") for n in (2049, count)) + bytes(count)
        )
    ran = orch("doctor")
    assert ran.code == 0
    found = findings(ran.out)
    assert found["mnist"] == ("ok", f"3 training images in {folder}/data")
    for name in ("fashion_mnist", "celeba"):
        assert found[name][0] == "absent"
        assert "--set data.download=true, or point data.root at a folder that holds" in found[name][1]
    assert json.loads(orch("doctor", "--json").out)["celeba"]["extra"] is True


def test_the_schema_that_a_job_file_names(orch: Callable[..., Any], folder: Path) -> None:
    assert "schema" not in findings(orch("doctor", "job.yaml").out)
    job = folder / "job.yaml"
    job.write_text(f"{FIRST_LINE}\n{job.read_text()}")
    ran = orch("doctor", "job.yaml")
    assert (ran.code, findings(ran.out)["schema"][0]) == (0, "absent")
    orch("schema", "--out", "orch.schema.json")
    assert findings(orch("doctor", "job.yaml").out)["schema"] == ("ok", "the job file names that of this version")


def test_a_fit_machine(orch: Callable[..., Any], folder: Path) -> None:
    ran = orch("doctor")
    assert (ran.code, ran.err) == (0, "")
    found = findings(ran.out)
    assert list(found) == ["python", "torch", "devices", "ray", "storage", *PUBLISHED]
    assert {found[name][0] for name in found if name not in PUBLISHED} == {"ok"}
    assert found["storage"][1] == f"{folder}/results can be written, read and listed"
    assert f"{len(os.sched_getaffinity(0))} processors, " in found["devices"][1]


def test_a_job(orch: Callable[..., Any]) -> None:
    found = findings(orch("doctor", "job.yaml", "--storage", "there").out)
    assert found["job"] == ("ok", "job.yaml: 4 trials")
    assert found["data"] == ("ok", "digits: 1,500 training images of 28x28x1")
    assert found["storage"][1].endswith("/there can be written, read and listed")


def test_what_is_missing_is_named_with_its_remedy(orch: Callable[..., Any], folder: Path) -> None:
    sets = ("--set", "data={name: mnist, root: nowhere}", "--set", "resources.cpus_per_worker=1000")
    ran = orch("doctor", "job.yaml", *sets, "--storage", "job.yaml")
    assert (ran.code, ran.err) == (2, "")
    found = findings(ran.out)
    assert found["placing"][0] == found["data"][0] == found["storage"][0] == "missing"
    assert "fetch it with --set data.download=true" in found["data"][1]
    assert found["storage"][1].startswith(f"{folder}/job.yaml: cannot write: ")
    assert found["torch"][0] == "ok"


def test_torch_that_is_not_there(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")
        return real(name, *arguments, **more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr(importlib, "import_module", missing)
    ran = orch("doctor")
    assert ran.code == 2
    remedy = "No module named 'torch'; install with: pip install torch torchvision 'ray[default,train,tune]'"
    assert findings(ran.out)["torch"] == findings(ran.out)["devices"] == ("missing", remedy)


def test_a_mistake_in_the_job_is_one_line(orch: Callable[..., Any]) -> None:
    assert orch("doctor", "no.yaml").mistake == "no.yaml: cannot be read: No such file or directory"
