"""The JSON Schema of job files: it refuses what the settings refuse of a single key, and nothing that they take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.errors import StorageError
from orchestrator.evaluations import KINDS
from orchestrator.objectives import FAMILIES
from orchestrator.spec.job import load_job
from orchestrator.spec.schema import ID, job_schema
from orchestrator.spec.schema_file import FIRST_LINE, schema_notes, schema_text, write_schema
from orchestrator.spec.yaml_file import parse_yaml, read_yaml_file
from tests.spec.conftest import job_text
from tests.spec.test_mistakes import MISTAKES

SCHEMA = job_schema()
CHECKER = jsonschema.Draft202012Validator(SCHEMA)
JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
OF_ONE_KEY = re.compile(
    r"unknown key|allowed: |is missing|is empty|cannot be set|expected 1 to 63|expected 28 or 32"
    r"|got .*, expected (a (finite |whole )?number|text|true or false|a list|keys and values|paths|'|null)"
    r"|got .*, expected (one of d_loss|at (least|most) [0-9]+ char)"
)
"""What says that a value of one key is wrong, whatever other keys say."""
UNKNOWN_TO_JSON = (".nan", r'"\ud800"', r'"a\n"')
"""What JSON cannot write, and a line break, before which a pattern may end in Python."""


def seen(text: str) -> list[str]:
    """What the schema says of the smallest job with these lines."""
    return [error.message for error in CHECKER.iter_errors(parse_yaml(job_text(text), "job.yaml"))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_job_file_is_valid_and_so_is_what_it_resolves_to(path: Path) -> None:
    for job in (read_yaml_file(path), load_job(path).resolved()):
        assert [error.message for error in CHECKER.iter_errors(json.loads(json.dumps(job)))] == []


SINGLE = [
    text
    for text, message in MISTAKES.items()
    if OF_ONE_KEY.search(message) and not any(part in text for part in UNKNOWN_TO_JSON)
]


def test_most_mistakes_are_of_one_key() -> None:
    assert len(SINGLE) > len(MISTAKES) / 2


@pytest.mark.parametrize("text", SINGLE, ids=[text[:60] for text in SINGLE])
def test_it_refuses_what_is_wrong_by_itself(text: str) -> None:
    assert seen(text)


@pytest.mark.parametrize(
    "text",
    [
        "training: {stop_when: [collapsed]}",  # what settings check together
        "objective: {kind: began}",
        "-objective\ngrid: {objective.kind: [hinge, rsgan]}",  # what the grid sets
        "-objective\ngrid: {objective: [{kind: hinge}, {kind: ebgan, margin: 1.0}]}",
        "-objective\ngrid: {pairs: [{objective.kind: hinge}, {objective.kind: ebgan, objective.margin: 1}]}",
        "objective: {kind: ebgan}\ngrid: {objective.margin: [1, 2.5]}",
        "objective: {feature_matching: 1.0}\ngrid: {objective.kind: [hinge, saturating]}",
        "grid: {objective.labels.real: [0.9, [0.8, 1.0]]}",  # a number stands for both ends
        "grid: {training.g_optimizer.betas.0: [0.0, 0.5]}",  # an entry of a list
        "model: {kind: fully_connected}\ngrid: {model.generator_widths.2: [64, 128]}",
        "grid: {resources.workers: [1, 2], training.seed: [0]}",
    ],
)
def test_it_takes_what_only_the_whole_job_decides(text: str) -> None:
    assert seen(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "objective: {kind: ebgan}",
        "-objective\ngrid: {objective: [{kind: ebgan}]}",
        "-objective\ngrid: {objective: [{margin: 1.0}]}",
        "objective: {feature_matchin: 1.0}\ngrid: {objective.kind: [hinge, saturating]}",
        "grid: {pairs: [{training.g_optimizer.lrr: 0.1}]}",
        "claims: [{id: a, says: b, measure: fidd, better: lower, group: {}, than: {}}]",
        "claims: [{id: a, says: b, measure: fid, better: lower, group: {objectiv.kind: hinge}, than: {}}]",
    ],
)
def test_it_refuses_this_too(text: str) -> None:
    assert seen(text)


def test_each_kind_has_its_own_keys_alone_and_says_what_it_is() -> None:
    """An editor proposes what ``then`` has for the kind that is written, and nothing else."""
    for name, kinds in (("objective", list(FAMILIES)), ("evaluate", list(KINDS))):
        section = SCHEMA["properties"][name]
        section = section.get("items", section)
        choice = section["properties"]["kind"]
        assert sorted(choice["enum"]) == sorted(kinds)
        assert all(choice["enumDescriptions"])
        assert list(section["properties"]) == ["kind"]
        told = [
            branch["if"]["properties"]["kind"]["const"] for branch in section["allOf"] if "properties" in branch["if"]
        ]
        assert sorted(told) == sorted(kinds)


def test_every_key_is_explained() -> None:
    def unexplained(node: Any, place: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        missing = []
        for key, value in node.get("properties", {}).items():
            target = (
                SCHEMA["$defs"].get(value.get("$ref", "").rpartition("/")[2], {}) if isinstance(value, dict) else {}
            )
            if not (value.get("description") or target.get("description")):
                missing.append(f"{place}.{key}")
        return missing

    definitions = {name: one for name, one in SCHEMA["$defs"].items() if name != "linked"}
    places = {"": SCHEMA, "grid": SCHEMA["properties"]["grid"], **definitions}
    assert [key for place, node in places.items() for key in unexplained(node, place)] == []


def test_a_file_that_names_the_schema_of_another_version(tmp_path: Path) -> None:
    job, schema = tmp_path / "job.yaml", tmp_path / "orch.schema.json"
    job.write_text(f"{FIRST_LINE}\n{job_text('')}")
    again = f"write it with: orch schema --out {schema}"
    assert list(schema_notes(job)) == [f"the schema that the first line names is not there; {again}"]
    write_schema(schema)
    assert list(schema_notes(job)) == []
    schema.write_text(schema_text().replace(ID, "urn:gan-orch:job-file:0.0.9:spec-5"))
    (note,) = schema_notes(job)
    assert note.startswith(f"{schema} is of orch 0.0.9 with spec version 5, and this is orch ")
    assert note.endswith(again)
    write_schema(schema)
    assert list(schema_notes(job)) == []
    schema.write_text("{}")
    assert list(schema_notes(job)) == [f"the first line names {schema}, which is no schema of job files; {again}"]
    with pytest.raises(StorageError, match="is no schema of job files"):
        write_schema(schema)
    assert schema.read_text() == "{}"


@pytest.mark.parametrize("line", ["", "# a remark", "# yaml-language-server: $schema=https://example.org/x.json"])
def test_a_file_that_names_no_schema_of_ours(tmp_path: Path, line: str) -> None:
    (tmp_path / "job.yaml").write_text(f"{line}\n{job_text('')}")
    assert list(schema_notes(tmp_path / "job.yaml")) == []
