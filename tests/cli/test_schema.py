"""orch schema, and the notes on schemas of other versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.spec.schema import ID
from orchestrator.spec.schema_file import FIRST_LINE, schema_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_it_is_printed_or_written(orch: Callable[..., Any], folder: Path) -> None:
    ran = orch("schema")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["$id"] == ID
    ran = orch("schema", "--out", "orch.schema.json")
    assert (ran.code, ran.out) == (0, "orch.schema.json\n")
    assert (folder / "orch.schema.json").read_text() == schema_text()


def test_it_replaces_nothing_else_and_makes_no_folder(orch: Callable[..., Any], folder: Path) -> None:
    before = (folder / "job.yaml").read_text()
    assert orch("schema", "--out", "job.yaml").mistake.startswith("job.yaml: is there and is no schema of job files; ")
    assert orch("schema", "--out", ".").mistake.startswith(".: is there and is no schema of job files; ")
    assert orch("schema", "--out", "there/x.json").mistake == "there/x.json: there is no folder there; make it first"
    assert (folder / "job.yaml").read_text() == before
    assert [path.name for path in folder.iterdir()] == ["job.yaml"]


def test_validate_tells_of_another_version_s_schema(orch: Callable[..., Any], folder: Path) -> None:
    job = folder / "job.yaml"
    job.write_text(f"{FIRST_LINE}\n{job.read_text()}")
    (folder / "orch.schema.json").write_text(schema_text().replace(ID, "urn:gan-orch:job-file:0.0.9:spec-5"))
    ran = orch("validate", "job.yaml")
    assert ran.code == 0
    assert "note: orch.schema.json is of orch 0.0.9 with spec version 5, and this is " in ran.out
    (note,) = json.loads(orch("validate", "job.yaml", "--json").out)["notes"]
    assert note.endswith("write it with: orch schema --out orch.schema.json")
    orch("schema", "--out", "orch.schema.json")
    assert json.loads(orch("validate", "job.yaml", "--json").out)["notes"] == []
