"""CelebA's faces, read from torchvision's folder layout."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from zipfile import BadZipFile, ZipFile

from orchestrator.data.cache import cached
from orchestrator.data.dataset import Content
from orchestrator.data.decoding import VERSION, decode_files
from orchestrator.data.digests import DigestMemo, in_threads
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.data.published import PublishedDataset
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.data.dataset import Progress, Split

PARTS: dict[str, Split | None] = {"0": "train", "1": None, "2": "test"}
"""The partition file's numbers; 1 is the validation set, which is not used."""

PARTITION_LINE = re.compile(r"([\w-]+\.\w+)\s+([012])\s*")
PARTITION_FILE = "list_eval_partition.txt"
IMAGES = "img_align_celeba"
PUBLISHED_TRAIN_IMAGES = 162_770


class Celeba(PublishedDataset):
    """Faces of celebrities in colour, 162,770 and 19,962 (Liu et al., Deep learning face attributes in the wild, 2015).

    Files in ``<root>/celeba``: the folder ``img_align_celeba`` or else ``img_align_celeba.zip``, and
    ``list_eval_partition.txt``, which marks the training images (0) and the held-out ones (2). They are never written,
    except that torchvision fetches missing ones if ``download`` is set. The aligned images are 178 pixels wide and 218
    high; their middle 178x178 pixels are scaled (as Choi et al., StarGAN, arXiv 1711.09020, section 5.2). No classes.
    """

    has_classes = False

    name: Literal["celeba"] = "celeba"
    image_size: Literal[32, 64, 128] = 64
    """side of an image in pixels"""
    cache: str | None = None
    """folder for the images as decoded, to be read from there the next time; null for none"""

    places: ClassVar[frozenset[str]] = PublishedDataset.places | {"cache"}
    decoder_version: ClassVar[int] = VERSION

    @property
    def shape(self) -> ImageShape:
        """Colour, square."""
        return ImageShape(3, self.image_size, self.image_size)

    def count_images(self) -> int:
        """From the partition file; the published number if it is not downloaded yet."""
        if self.awaits_download:
            return PUBLISHED_TRAIN_IMAGES
        self._find_images()
        return len(self._list("train"))

    def files(self) -> Sequence[str]:
        """The partition file and the zip file, or the training images and the held-out ones that exist.

        Empty if they are not downloaded yet.
        """
        if self.awaits_download:
            return ()
        images, names = self._find_images(), self._list("train")[: self.max_images]
        if images.suffix == ".zip":
            return [f"celeba/{PARTITION_FILE}", f"celeba/{images.name}"]
        try:
            existing = set(os.listdir(images))  # noqa: PTH208 - names of 200,000 files, not paths
        except OSError as error:
            raise DataError(f"{images}: cannot be listed ({error.strerror})") from error
        names += [name for name, split in self._parts() if split == "test" and name in existing]
        return [f"celeba/{PARTITION_FILE}", *(f"celeba/{IMAGES}/{name}" for name in names)]

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """The digest of each image file, in the folder or in the zip file."""
        return self._content(self._find_images(), self._list(split)[:limit], progress)

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Decoded by as many threads as there are cores; images in ``cache`` are not opened."""
        if self.awaits_download:
            self._fetch()
        images, names = self._find_images(), self._list(split)[:limit]
        content = None if self.cache is None else self._content(images, names)

        def decode() -> NDArray[np.uint8]:
            paths, digests = [images / name for name in names], None if content is None else content.digests
            if images.suffix != ".zip":
                return decode_files(paths, self.shape, digests=digests)
            with _opened(images) as member:
                return decode_files(paths, self.shape, lambda path: BytesIO(member(path.name)), digests)

        if content is None:
            return ImageSet(decode())
        return ImageSet(cached(self.cache, self.fingerprint_of(content), (len(names), *self.shape), decode))

    def _content(self, images: Path, names: list[str], progress: Progress | None = None) -> Content:
        with DigestMemo(images) as memo:
            if images.suffix == ".zip":
                digests = memo.of_members(images, names, lambda: _opened(images), progress)
            else:
                digests = in_threads(lambda name: memo.of_file(f"{images}/{name}"), names, progress)
        return Content(len(names), digests)

    @property
    def _folder(self) -> Path:
        return self.root_folder / "celeba"

    def _find_images(self) -> Path:
        """The folder of the images or else the zip file."""
        for path, is_there in (
            (self._folder / IMAGES, Path.is_dir),
            (self._folder / f"{IMAGES}.zip", Path.is_file),
        ):
            try:
                if is_there(path):
                    return path
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        raise DataError(
            f"celeba: neither {IMAGES} nor {IMAGES}.zip in {self._folder}; fetch it with "
            "--set data.download=true, or point data.root at a folder that holds celeba"
        )

    def _list(self, split: Split) -> list[str]:
        """Names of the images of ``split``, in the partition file's order."""
        parts = self._parts()
        names = [name for name, image_split in parts if image_split == split]
        if not names:
            path = self._folder / PARTITION_FILE
            raise DataError(f"{path}: {len(parts)} images, none of them for the {split} split; fetch it again")
        return names

    def _parts(self) -> list[tuple[str, Split | None]]:
        """Each image's name and split, from the partition file."""
        path = self._folder / PARTITION_FILE
        try:
            if path.exists() and not path.is_file():  # a pipe, on which reading would wait
                raise DataError(f"{path}: is no file; put CelebA's there")
            lines = path.read_text("ascii").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); put CelebA's there") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: holds more than plain letters ({error.reason}); fetch it again") from error
        parts = []
        for number, line in enumerate(lines, 1):
            match = PARTITION_LINE.fullmatch(line)
            if match is None:
                raise DataError(
                    f"{path}: line {number}: got {line[:40]!r}, expected an image's name and 0, 1 or 2; fetch it again"
                )
            parts.append((match[1], PARTS[match[2]]))
        return parts

    def _missing(self) -> bool:
        try:
            self._find_images()
        except DataError:
            return True
        return not (self._folder / PARTITION_FILE).is_file()

    def _fetch(self) -> None:
        # Imported here, since it takes seconds and is only needed for its addresses and checksums.
        from torchvision import datasets

        try:
            datasets.CelebA(self.root_folder, download=True)
        except Exception as error:  # gdown, which torchvision asks for, has errors of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"celeba: cannot be fetched into {self._folder} ({reason}); "
                f"put {IMAGES}.zip and {PARTITION_FILE} there by hand"
            ) from error


@contextmanager
def _opened(archive: Path) -> Iterator[Callable[[str], bytes]]:
    """A function that reads an image of the zip file by its name."""
    try:
        opened = ZipFile(archive)
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror or error})") from error
    except BadZipFile as error:
        raise DataError(f"{archive}: damaged zip file ({error}); fetch it again") from error
    with opened:
        yield lambda name: opened.read(f"{IMAGES}/{name}")
