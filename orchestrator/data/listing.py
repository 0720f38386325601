"""The image files below a folder."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.data.decoding import AVIF
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
        *((".avif",) if AVIF else ()),
    }
)
"""Suffixes of the files that are read, in one of ``decoding.FORMATS``."""

OTHER_IMAGES = (
    frozenset(
        {
            *(".heic", ".heif", ".hif", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".jpm", ".j2c"),
            *(".svg", ".svgz", ".eps", ".ai", ".wmf", ".emf", ".psd", ".psb", ".xcf", ".kra"),
            *(".tga", ".dds", ".ico", ".icns", ".cur", ".pcx", ".sgi", ".rgb", ".ras", ".xbm", ".xpm", ".qoi", ".dib"),
            *(".exr", ".hdr", ".pfm", ".pam", ".fits", ".fit", ".dcm", ".nii", ".mng", ".flif", ".bpg", ".wdp", ".jxr"),
            *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
            *(".pef", ".srw", ".3fr", ".mef", ".mos", ".kdc", ".dcr", ".erf", ".x3f", ".iiq", ".rwl"),
        }
    )
    - SUFFIXES
)
"""Suffixes of image files that cannot be read: they are left out, and their number is shown."""


@dataclass
class Listing:
    """Paths relative to the folder, with ``/``."""

    images: list[str] = field(default_factory=list)
    """of images, sorted"""
    skipped: Counter[str] = field(default_factory=Counter)
    """how many images of each suffix cannot be read"""
    folders: list[str] = field(default_factory=list)
    """names of the folders directly below"""

    @property
    def skipped_text(self) -> str:
        """For example ``12 .heic, 3 .svg``, the most frequent first."""
        by_count = sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {suffix}" for suffix, count in by_count)


def list_images(root: Path) -> Listing:
    """Image files below ``root``, by their suffix, without hidden files and folders.

    Links are followed, and each folder is entered once even if links form a cycle. Raises DataError naming a folder
    that cannot be listed.
    """
    listing = Listing()
    start = len(str(root).rstrip("/")) + 1
    try:
        for folder, names, children in _walk(str(root)):
            at_root = folder == str(root)
            if at_root:
                listing.folders = children
            _add(listing, "" if at_root else f"{folder}/"[start:], names)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be listed ({error.strerror})") from error
    listing.images.sort()
    return listing


def _add(listing: Listing, prefix: str, names: list[str]) -> None:
    """Add the files of one folder, by their suffixes."""
    for name in names:
        suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
        if suffix in SUFFIXES:
            listing.images.append(prefix + name)
        elif suffix in OTHER_IMAGES:
            listing.skipped[suffix] += 1


def _walk(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder with the names of its files and of the folders in it, sorted."""
    status = os.stat(root)  # noqa: PTH116 - strings all through: a Path for each of 200,000 files takes seconds
    entered = {(status.st_dev, status.st_ino)}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if entry.name[0] != "."]
        files, children = [], []
        for entry in visible:
            if _is_folder(entry):
                children.append(entry)
            elif entry.is_symlink() or entry.is_file():  # no pipe, on which reading would wait
                files.append(entry.name)
        # Sorted, so that of two paths to one folder the same is chosen every time.
        children.sort(key=lambda entry: entry.name)
        entering = []
        for child in children:
            status = child.stat()
            if (status.st_dev, status.st_ino) not in entered:
                entered.add((status.st_dev, status.st_ino))
                entering.append(child.path)
        yield folder, files, [child.name for child in children]
        waiting += reversed(entering)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder, itself or through a link; a cycle of links is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
