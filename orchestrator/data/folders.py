"""Folders that a job file names."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import DataError


def folder_at(folder: str, setting: str) -> Path:
    """The absolute path of the ``folder`` that a setting names; ``~`` and ``~user`` are home folders.

    Raises DataError if there is no such user.
    """
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError:
        raise DataError(f"{setting}: {folder}: there is no such user's home folder, name another") from None


def is_folder(path: Path, setting: str) -> bool:
    """Whether the folder exists. Raises DataError if that is unknown: no permission, or a name too long."""
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"{setting}: {str(path)[:80]}: cannot be looked at ({error.strerror}), name another") from error
