"""What folders mean: splits, classes, and what is left out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.data.image_folder import ImageFolder
from orchestrator.data.layout import evenly
from orchestrator.data.listing import OTHER_IMAGES, SUFFIXES
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.data import ImageSet


def fill(root: Path, paths: Iterable[str]) -> ImageFolder:
    """Images of one grey level each, in the order given; a name that ends in ``/`` is an empty folder."""
    for level, path in enumerate(paths):
        file = root / path
        (file if path.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            Image.new("L", (8, 8), level).save(file, format="PNG")
    return ImageFolder(root=str(root), height=8, width=8, channels=1)


def images(folder: str, count: int) -> list[str]:
    return [f"{folder}/{i:02d}.png".lstrip("/") for i in range(count)]


def levels(images: ImageSet) -> list[int]:
    return images.pixels[:, 0, 0, 0].tolist()


def labels(images: ImageSet) -> list[int] | None:
    return None if images.labels is None else images.labels.tolist()


CLASSES = [*images("a", 3), *images("b", 2)]
SPLITS = [f"{split}/{path}" for split in ("train", "val", "test") for path in CLASSES]


@pytest.mark.parametrize(
    ("paths", "train", "test", "note"),
    [
        (SPLITS, 0, 10, "trained on train, tested on test, val not used"),
        ([path.replace("test/", "Validation/") for path in SPLITS[:5] + SPLITS[10:]], 0, 5, "tested on Validation"),
        ([path.upper() for path in SPLITS[:10]], 0, 5, "trained on TRAIN, tested on VAL"),
        ([*SPLITS[:10], "test/"], 0, 5, "trained on train, tested on val"),
        ([*SPLITS[:10], "labels/"], 0, 5, "no images in labels"),
        ([path.replace("train", "Training").replace("val", "valid") for path in SPLITS[:10]], 0, 5, "on valid"),
    ],
)
def test_folders_of_splits(tmp_path: Path, paths: list[str], train: int, test: int, note: str) -> None:
    folder = fill(tmp_path, paths)
    trained, tested = folder.load(), folder.load("test")
    assert (levels(trained), levels(tested)) == (list(range(train, train + 5)), list(range(test, test + 5)))
    assert labels(trained) == labels(tested) == [0, 0, 0, 1, 1]
    assert folder.size == 5
    assert note in "; ".join(folder.notes())


def test_train_alone_holds_out_every_tenth(tmp_path: Path) -> None:
    folder = fill(tmp_path, [*images("train/a", 8), *images("train/b", 13)])
    assert levels(folder.load("test")) == [9, 19]
    assert labels(folder.load("test")) == [1, 1]
    assert labels(folder.load()) == 8 * [0] + 11 * [1]
    assert any("every tenth" in note for note in folder.notes())


def test_one_class_has_one_number_in_both_splits(tmp_path: Path) -> None:
    folder = fill(tmp_path, [*images("train/b", 2), *images("train/d", 1), *images("val/a", 1), *images("val/d", 2)])
    assert labels(folder.load()) == [0, 0, 1]
    assert labels(folder.load("test")) == [2, 1, 1]  # a class that train lacks comes behind train's
    notes = "; ".join(folder.notes())
    assert "train has class folders that val lacks: b" in notes
    assert "val has class folders that train lacks: a" in notes


@pytest.mark.parametrize(
    ("paths", "train", "test"),
    [
        ([*images("train", 3), *images("test", 2)], None, None),
        ([*images("train/a", 2), *images("train/b", 1), *images("test", 2)], [0, 0, 1], None),
        ([*images("train", 3), *images("test/a", 2)], None, None),
    ],
)
def test_images_of_no_class(tmp_path: Path, paths: list[str], train: list[int], test: list[int]) -> None:
    folder = fill(tmp_path, paths)
    assert labels(folder.load()) == train
    assert labels(folder.load("test")) == test


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([*CLASSES, "sheet.png"], "ROOT/sheet.png: an image beside the class folders a, b; move it into one, or away"),
        ([*CLASSES, "x.png", "y.png"], "ROOT: 2 images beside the class folders a, b, the first is x.png; move"),
        ([*SPLITS, "x.png"], "ROOT/x.png: an image beside the folders of splits test, train, val; move"),
        ([*SPLITS, "train/x.png"], "ROOT/train/x.png: an image beside the class folders a, b; move"),
        ([*SPLITS, "test/x.png"], "ROOT/test/x.png: an image beside the class folders a, b; move"),
        ([*SPLITS, "cat/1.png"], "ROOT: got test, train, val beside cat, expected folders of splits"),
        ([*CLASSES, "test/1.png"], "ROOT: got test beside a, b, expected folders of splits"),
        (SPLITS[5:], "ROOT: got test, val without a folder train, expected one"),
        ([*SPLITS, "Train/a/1.png"], "ROOT: got two folders of one split, Train and train, expected one"),
        ([*SPLITS, "valid/a/1.png"], "ROOT: got two folders of one split, val and valid, expected one"),
        ([*SPLITS[5:], "train/"], "ROOT: no images to train on in the folder train"),
    ],
)
def test_folders_that_say_two_things_are_refused(tmp_path: Path, paths: list[str], message: str) -> None:
    folder = fill(tmp_path, paths)
    for attempt in (lambda: folder.size, folder.notes, folder.fingerprint, folder.load):
        with pytest.raises(DataError, match=f"^{re.escape(message.replace('ROOT', str(tmp_path)))}") as failure:
            attempt()
        assert "\n" not in str(failure.value)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    folder = fill(tmp_path, [*CLASSES, "docs/"])
    for name in ("a/1.HEIC", "b/2.heic", "b/3.svg", "b/notes.txt", "b/.4.heic", "docs/film.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert folder.notes() == (
        f"{tmp_path}: left out, as no format that is read: 2 .heic, 1 .svg",
        f"{tmp_path}: no images in docs",
    )
    (tmp_path / "a" / "00.png").rename(tmp_path / "a" / "00.tga")
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no images below it; .*; left out, as no format .*: 2 \.heic, 1 \.svg, 1 \.t"):
        folder.notes()


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    folder = fill(tmp_path, CLASSES)
    before = folder.fingerprint()
    os.mkfifo(tmp_path / "a" / "pipe.png")  # reading one waits for a writer
    (tmp_path / "a" / "ring").symlink_to("ring")
    (tmp_path / "a" / "png").write_text("a name without a suffix")
    assert folder.fingerprint() == before
    assert len(folder.load()) == 5


def test_plain_folders_need_no_words(tmp_path: Path) -> None:
    assert fill(tmp_path / "classes", CLASSES).notes() == ()
    assert fill(tmp_path / "flat", images("", 3)).notes() == ()


def test_one_folder_is_no_choice_of_classes(tmp_path: Path) -> None:
    (note,) = fill(tmp_path, images("photos", 3)).notes()
    assert "all images are in one folder, photos" in note


class TestMaxImages:
    def test_every_class_is_kept(self, tmp_path: Path) -> None:
        folder = fill(tmp_path, [*images("a", 30), *images("b", 3), *images("c", 20)])
        held_out = levels(folder.load("test"))
        few = folder.model_copy(update={"max_images": 12})
        assert few.size == len(few.load()) == 12
        assert labels(few.load()) == 5 * [0] + 3 * [1] + 4 * [2]
        assert levels(few.load()) == [0, 1, 2, 3, 4, 30, 31, 32, 33, 34, 35, 36]
        assert levels(few.load("test")) == held_out
        assert few.notes() == ()

    def test_fewer_images_than_classes_are_told(self, tmp_path: Path) -> None:
        folder = fill(tmp_path, CLASSES).model_copy(update={"max_images": 1})
        assert folder.notes() == ("data.max_images: 1 images are of 1 of the 2 classes",)

    @given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=8), data=st.data())
    @settings(deadline=None)
    def test_classes_are_as_equal_as_they_allow(self, counts: list[int], data: st.DataObject) -> None:
        limit = data.draw(st.integers(1, sum(counts)))
        order = data.draw(st.permutations(range(sum(counts))))
        of_each = np.repeat(np.arange(len(counts)), counts)[list(order)]
        kept = evenly(of_each, limit)
        shares = np.bincount(of_each[kept], minlength=len(counts))
        assert shares.sum() == limit
        # nobody could give one to a class that has two fewer
        for share, there in zip(shares, counts, strict=True):
            assert share == there or shares.max() - share <= 1
        for number in range(len(counts)):
            places = np.flatnonzero(of_each == number)
            assert kept[places].tolist() == [place < shares[number] for place in range(len(places))]


def test_the_document_names_every_format() -> None:
    text = (Path(__file__).parents[2] / "docs" / "job-file.md").read_text()
    (sentence,) = re.findall(r"^Read are (.*?)\. ", text, re.DOTALL | re.MULTILINE)
    assert {suffix[1:] for suffix in SUFFIXES} <= set(re.findall(r"\w+", sentence))
    assert not SUFFIXES & OTHER_IMAGES
