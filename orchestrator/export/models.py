"""Writes a trained generator as a folder: its file, and a page on what it is and how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import ExportError
from orchestrator.export.folders import whole
from orchestrator.export.formats import FORMS, largest_difference
from orchestrator.export.readme import readme

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.export.formats import Format
    from orchestrator.export.generator import Generator

TOLERANCE = 1e-5
"""The largest difference between an image of the file and of the network; values are nominally in [-1, 1]."""


class Written(NamedTuple):
    """The file, and the largest difference of its images; None where what would run it is not installed."""

    path: Path
    difference: float | None


def export_generator(generator: Generator, form: Format, folder: Path) -> Written:
    """Write ``folder``, which is new, whole or not at all. The file is read back and its images are compared.

    Raises ExportError where the format cannot hold the network, where images differ by more than TOLERANCE, and where
    the folder cannot be written.
    """
    name, write, read = FORMS[form]
    with whole(folder) as draft:
        write(generator, draft / name)
        loaded = read(draft / name)
        difference = None if loaded is None else largest_difference(generator, loaded)
        if difference is not None and not difference <= TOLERANCE:
            raise ExportError(
                f"--format {form}: images differ by {difference:.1e} from those of the network, expected at most "
                f"{TOLERANCE:g}; nothing was written"
            )
        (draft / "README.md").write_text(readme(generator, form, difference), encoding="utf-8")
    return Written(folder / name, difference)
