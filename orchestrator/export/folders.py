"""A folder that is written whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ExportError
from orchestrator.store.location import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_new(option: str, target: str) -> Path:
    """The folder that an option names, which is not there yet or is empty. Raises ExportError."""
    path = _path(option, target)
    if path.is_dir() and not any(path.iterdir()):
        return path
    if path.exists():
        what = "a folder with files" if path.is_dir() else "no folder"
        raise ExportError(f"{option}: got {target!r}, which is {what}, expected a new folder")
    return path


def check_folder(option: str, target: str) -> Path:
    """The folder that an option names, which may be there, with files. Raises ExportError."""
    path = _path(option, target)
    if path.exists() and not path.is_dir():
        raise ExportError(f"{option}: got {target!r}, which is no folder, expected a folder")
    return path


def _path(option: str, target: str) -> Path:
    if not target or not target.isprintable():
        raise ExportError(f"{option}: got {target!r}, expected a folder")
    path = Path(target)
    with suppress(RuntimeError):  # no such user's home: then it is a folder of that name
        path = path.expanduser()
    return path.absolute()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` that takes its place at the end, and is removed where the block raises.

    Raises ExportError where the system refuses a folder or file.
    """
    draft = path.with_name(f"{RESERVED}{secrets.token_hex(6)}")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
