"""Pictures that trials and evaluations left in storage, read with care and small enough for a page."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from orchestrator.errors import NotFoundError, StorageError, StorageUnavailable
from orchestrator.report.blocks import Fold, Gallery, Heading, Items, Picture, Text
from orchestrator.store.location import is_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.report.blocks import Block
    from orchestrator.store.location import Store

SHOWN = 36
"""So many pictures are in an album at most, unless it is told otherwise."""

OPEN = 8
"""So many of them are seen at once; the others are folded away."""

BUDGET = 1_000_000
"""Bytes of PNG after which no further picture is put into an album, unless it is told otherwise."""

SIDE = 720
"""Longer sides of its pictures are scaled down to this many pixels."""

PROBLEMS, TOLD = 30, 10
"""After so many pictures that cannot be shown no further one is looked at; so many of them are named."""

_MOST_PIXELS = 20_000_000
_MOST_BYTES = 32_000_000
_SIGNATURE, _HEADER = b"\x89PNG\r\n\x1a\n", 24
_UNREADABLE = (OSError, SyntaxError, ValueError, IndexError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises of files that are damaged, or made to do harm."""


@dataclass
class Album:
    """The pictures of a section, at most ``most``, and as many as fit into ``budget`` bytes.

    ``left_out`` are there, ``problems`` could not be shown.
    """

    store: Store
    most: int = SHOWN
    budget: int = BUDGET
    pictures: list[Picture] = field(default_factory=list)
    left_out: int = 0
    problems: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, key: str, trial_id: str, title: str, alt: str) -> None:
        """Put in the picture below ``key``, if it fits and can be shown."""
        if len(self.pictures) >= self.most or self.size > self.budget or len(self.problems) >= PROBLEMS:
            self.left_out += 1
        elif not is_key(key):  # of rows that a stranger wrote
            self.problems.append(f"{key[:80]!r}: not the name of a picture")
        elif image := read_picture(self.store, key, self.problems):
            picture = Picture(trial_id, title, alt, alt, (shrink(image, SIDE),))
            self.size += len(picture.png)
            self.pictures.append(picture)

    def blocks(self, heading: str, of: str, *words: str) -> list[Block]:
        """The pictures under their heading and ``words``; nothing where there are none, nor anything to tell."""
        if not self.pictures and not self.problems:
            return []
        blocks: list[Block] = [Heading(heading), *map(Text, words)]
        if self.left_out:
            left_out = f"Left out to keep this page small: {self.left_out} further pictures of {of}"
            blocks.append(Text(f"{left_out}; they lie under samples/.", "notes"))
        if self.problems:
            blocks.append(Items(tuple(self.problems), "notices", most=TOLD))
        shown, rest = tuple(self.pictures[:OPEN]), tuple(self.pictures[OPEN:])
        return [*blocks, Gallery(shown), *([Fold(f"{len(rest)} more: {of}", (Gallery(rest),))] if rest else [])]


def read_picture(store: Store, key: str, problems: list[str]) -> Image.Image | None:
    """The picture below ``key`` as grey or RGB; None, and a line in ``problems``, when it cannot be shown.

    Its size is read from the header, before anything is decoded.
    """
    try:
        data = store.read(key, _MOST_BYTES)
        width, height = size_of(data)
        if width * height > _MOST_PIXELS:
            problems.append(f"{key}: {width} x {height} pixels are too many to show")
            return None
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode.startswith("I"):  # 16 bits, which Pillow would clip, not scale
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except NotFoundError:
        problems.append(f"{key}: not there, or no longer")
    except StorageUnavailable:
        raise
    except StorageError as error:
        problems.append(str(error).removeprefix(f"{store.uri}/"))
    except _UNREADABLE:
        problems.append(f"{key}: not a readable PNG")
    return None


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's header. Raises ValueError where it has none."""
    if not png.startswith(_SIGNATURE) or len(png) < _HEADER:
        raise ValueError("no PNG")
    width, height = struct.unpack(">II", png[16:_HEADER])
    return width, height


def shrink(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Its pixels, scaled down until no side has more than ``side``."""
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.uint8)
