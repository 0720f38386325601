"""Folders that a job file names."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import DataError


def folder_at(named: str, setting: str) -> Path:
    """The absolute path of the folder that a setting names, ``~`` and ``~user`` being home folders.

    Raises DataError where there is no such user.
    """
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError:
        raise DataError(f"{setting}: {named}: there is no such user's home folder, name another") from None


def is_folder(path: Path, setting: str) -> bool:
    """Whether a folder is there. Raises DataError where that cannot be told: no right to look, a name too long."""
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"{setting}: {str(path)[:80]}: cannot be looked at ({error.strerror}), name another") from error
