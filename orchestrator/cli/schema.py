"""schema: what editors know of job files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.console import print_line


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it to this file rather than to stdout.")
    ] = None,
) -> None:
    """Print the JSON Schema of job files, with which an editor completes, explains and checks them.

    Editors that use yaml-language-server find it by the first line of a job file:
    `# yaml-language-server: $schema=orch.schema.json`. It knows every key, kind and range, and each path that a grid
    may vary; what settings check together only `orch validate` knows.

    Examples: `orch schema --out jobs/orch.schema.json` · `orch schema | jq .properties.training`
    """
    from orchestrator.spec.schema_file import schema_text, write_schema

    if out is None:
        typer.echo(schema_text(), nl=False)
        return
    write_schema(out)
    print_line(str(out))
