"""The file of the job files' schema, and the first line of a job file that names it to editors."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import StorageError
from orchestrator.spec.schema import ID, job_schema
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = "orch.schema.json"
"""What the schema is called in a folder of job files."""
FIRST_LINE = f"# yaml-language-server: $schema={FILE_NAME}"
"""The first line of a job file beside it, by which yaml-language-server, and so most editors, find the schema."""
_NAMING = re.compile(r"#\s*yaml-language-server\s*:\s*\$schema\s*=\s*(\S+)")
_OURS = re.compile(r"urn:gan-orch:job-file:(.+):spec-(\d+)")
_LONGEST_LINE = 4096


def schema_text() -> str:
    """The schema as it is written to a file."""
    return json.dumps(job_schema(), indent=1, ensure_ascii=False) + "\n"


def write_schema(path: Path) -> None:
    """Write the schema to a file, whole or not at all, over that of another version.

    Raises StorageError where something else has that name.
    """
    if path.exists() and _version_of(path) is None:
        raise StorageError(f"{path}: is there and is no schema of job files; choose another name, or move it away")
    if not path.parent.is_dir():
        raise StorageError(f"{path}: there is no folder {path.parent}; make it first")
    target = Path(os.path.realpath(path))
    LocalStore(target.parent).write(target.name, schema_text().encode())


def schema_notes(job_file: Path) -> Iterator[str]:
    """A line where the first line of a job file names a schema by which editors would mislead."""
    if (path := named_schema(job_file)) is None:
        return
    found, again = _version_of(path), f"write it with: orch schema --out {path}"
    if not path.exists():
        yield f"the schema that the first line names is not there; {again}"
    elif found is None:
        yield f"the first line names {path}, which is no schema of job files; {again}"
    elif found != ID:
        yield f"{path} is of {_named(found)}, and this is {_named(ID)}: editors know other keys; {again}"


def named_schema(job_file: Path) -> Path | None:
    """The file that the first line of a job file names as its schema; None where it names none, or one elsewhere."""
    try:
        with job_file.open(encoding="utf-8", errors="replace") as file:
            match = _NAMING.match(file.readline(_LONGEST_LINE))
    except OSError:  # the job itself has been read, so that it is a pipe or gone
        return None
    if match is None or "://" in match[1]:
        return None
    return job_file.parent / match[1]


def _version_of(path: Path) -> str | None:
    """The ``$id`` of a schema of job files; None for any other file."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    found = content.get("$id") if isinstance(content, dict) else None
    return found if isinstance(found, str) and _OURS.fullmatch(found) else None


def _named(schema_id: str) -> str:
    match = _OURS.fullmatch(schema_id)
    assert match is not None, schema_id
    return f"orch {match[1]} with spec version {match[2]}"
