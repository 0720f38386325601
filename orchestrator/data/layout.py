"""Splits and classes of an image_folder, from the names of the folders below its root."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.data.dataset import Split
    from orchestrator.data.listing import Listing

HELD_OUT_EVERY = 10

TRAIN, VAL, TEST = "train", "val", "test"
SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
"""Names of folders directly below the root, in small letters."""


@dataclass(frozen=True)
class Part:
    """The images of one split, in the order of their paths."""

    paths: list[str]
    """relative to the root"""
    labels: NDArray[np.int64] | None
    """index of the class of each; None if there are no classes"""

    def first(self, limit: int | None) -> Part:
        """``limit`` images, or all: as many of each class as ``evenly`` allows, or the first without classes."""
        if limit is None or limit >= len(self.paths):
            return self
        if self.labels is None:
            return Part(self.paths[:limit], None)
        mask = evenly(self.labels, limit)
        return Part(list(compress(self.paths, mask)), self.labels[mask])


@dataclass(frozen=True)
class Layout:
    """The training images and the held-out images."""

    train: Part
    test: Part
    notes: tuple[str, ...]
    """how folders were interpreted, for the user"""

    def part(self, split: Split) -> Part:
        """The images of ``split``."""
        return self.train if split == "train" else self.test


def layout_of(root: Path, listing: Listing) -> Layout:
    """Splits and classes from the names of folders.

    Folders named train, val and test directly below the root are splits. Without them every tenth image is held out.
    Folders directly below the root, or below the folder of a split, are classes; images directly there have no class.
    The training classes are numbered in the order of their names, followed by classes of the test images only.

    Raises DataError if splits or images lie beside classes, or there is nothing to train on.
    """
    by_folder = _by_folder(listing.images)
    splits = _splits(root, listing.folders, by_folder)
    if not splits:
        train, test = _held_out(listing.images)
        classes = _classes(root, "", by_folder)
        return _layout(train, test, classes, classes, prefixes=("", ""), notes=_of_one_class(root, classes))
    if TRAIN not in splits:
        raise DataError(
            f"{root}: got {_names(splits.values())} without a folder train, expected one; a class of such a name "
            "needs another"
        )
    source = splits[TRAIN]
    train_classes = _classes(root, source, _by_folder(by_folder[source], f"{source}/"))
    tested = splits.get(TEST) or splits.get(VAL)
    notes = _of_one_class(root / source, train_classes)
    if tested is None:
        note = f"{root}: trained on {source}, of which every tenth image is held out: no folder test or val"
        train, test = _held_out(by_folder[source])
        return _layout(train, test, train_classes, train_classes, prefixes=(source, source), notes=(note, *notes))
    unused = [name for name in splits.values() if name not in (source, tested)]
    note = f"{root}: trained on {source}, tested on {tested}" + (f", {_names(unused)} not used" if unused else "")
    test_classes = _classes(root, tested, _by_folder(by_folder[tested], f"{tested}/"))
    notes = (note, *notes, *_of_other_classes(root, source, tested, train_classes, test_classes))
    train, test = by_folder[source], by_folder[tested]
    return _layout(train, test, train_classes, test_classes, prefixes=(source, tested), notes=notes)


def evenly(labels: NDArray[np.int64], limit: int) -> NDArray[np.bool_]:
    """Mask of ``limit`` images with classes as equal in size as possible.

    Each class keeps its first images: all if it has no more than q, otherwise q, where q is the largest number for
    which the total is at most ``limit``. The remaining images are one more from each of the first classes that have
    more.
    """
    counts = np.bincount(labels)
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= limit else (low, middle - 1)
    quotas = np.minimum(counts, low)
    quotas[np.flatnonzero(counts > low)[: limit - quotas.sum()]] += 1
    order = np.argsort(labels, kind="stable")
    rank_in_class = np.empty(len(labels), np.int64)
    rank_in_class[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    mask: NDArray[np.bool_] = rank_in_class < quotas[labels]
    return mask


def _layout(
    train: list[str],
    test: list[str],
    train_classes: Sequence[str] | None,
    test_classes: Sequence[str] | None,
    *,
    prefixes: tuple[str, str],
    notes: tuple[str, ...],
) -> Layout:
    """Both parts with their labels; the classes of each are names of folders, or None."""
    if train_classes is None:
        return Layout(Part(train, None), Part(test, None), notes)
    index = {
        name: number
        for number, name in enumerate([*train_classes, *sorted({*(test_classes or ())} - {*train_classes})])
    }

    def labels(paths: list[str], prefix: str) -> NDArray[np.int64]:
        start = len(prefix) + 1 if prefix else 0
        return np.array([index[path[start : path.index("/", start)]] for path in paths], np.int64)

    held_out = Part(test, None if test_classes is None else labels(test, prefixes[1]))
    return Layout(Part(train, labels(train, prefixes[0])), held_out, notes)


def _by_folder(paths: Iterable[str], prefix: str = "") -> dict[str, list[str]]:
    """Paths by the folder that follows ``prefix``; "" for those directly there."""
    folders: dict[str, list[str]] = {}
    start = len(prefix)
    for path in paths:
        end = path.find("/", start)
        folders.setdefault(path[start:end] if end >= 0 else "", []).append(path)
    return folders


def _splits(root: Path, folders: Iterable[str], by_folder: dict[str, list[str]]) -> dict[str, str]:
    """The folders of the splits that have images, by split."""
    splits: dict[str, str] = {}
    empty = []
    for name in sorted(folders):
        split = SPLIT_NAMES.get(name.casefold())
        if split is None:
            continue
        if name not in by_folder:
            empty.append(name)
        elif split in splits:
            raise DataError(f"{root}: got two folders of one split, {splits[split]} and {name}, expected one")
        else:
            splits[split] = name
    if any(SPLIT_NAMES[name.casefold()] == TRAIN for name in empty) and TRAIN not in splits:
        raise DataError(f"{root}: no images to train on in the folder {_names(empty)}")
    others = sorted(name for name in by_folder if name and name not in splits.values())
    if splits and others:
        raise DataError(
            f"{root}: got {_names(splits.values())} beside {_names(others)}, expected folders of splits (train, val, "
            "test) or of classes; move the others away, or give a class of such a name another"
        )
    if splits and "" in by_folder:
        raise _beside(root, "", by_folder[""], "folders of splits", sorted(splits.values()))
    return splits


def _classes(root: Path, split: str, by_folder: dict[str, list[str]]) -> list[str] | None:
    """Names of the class folders, or None if images lie directly there. Raises DataError for both at once."""
    names = sorted(name for name in by_folder if name)
    if names and "" in by_folder:
        raise _beside(root, split, by_folder[""], "class folders", names)
    return names or None


def _beside(root: Path, split: str, paths: list[str], what: str, names: list[str]) -> DataError:
    """The error for images beside folders: such images have no class, so that silently none would have one."""
    if len(paths) == 1:
        return DataError(f"{root}/{paths[0]}: an image beside the {what} {_names(names)}; move it into one, or away")
    return DataError(
        f"{root / split}: {len(paths)} images beside the {what} {_names(names)}, the first is {paths[0]}; "
        "move them into one, or away"
    )


def _held_out(paths: list[str]) -> tuple[list[str], list[str]]:
    """All paths but every tenth, and every tenth."""
    last = HELD_OUT_EVERY - 1
    return [path for i, path in enumerate(paths) if i % HELD_OUT_EVERY != last], paths[last::HELD_OUT_EVERY]


def _of_one_class(where: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """A note if there is only one class: the root may be one folder above that of the classes."""
    if classes is None or len(classes) > 1:
        return ()
    return (f"{where}: all images are in one folder, {classes[0]}, which is no choice of classes",)


def _of_other_classes(
    root: Path, source: str, tested: str, train_classes: Sequence[str] | None, test_classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Notes on the classes in which the two splits differ."""
    if (train_classes is None) != (test_classes is None):
        with_classes, without = (source, tested) if test_classes is None else (tested, source)
        return (f"{root}: {with_classes} has class folders, {without} has none: its images are of no class",)
    notes = []
    for has, lacks, names in (
        (source, tested, sorted({*(train_classes or ())} - {*(test_classes or ())})),
        (tested, source, sorted({*(test_classes or ())} - {*(train_classes or ())})),
    ):
        if names:
            notes.append(f"{root}: {has} has class folders that {lacks} lacks: {_names(names)}")
    return tuple(notes)


def _names(names: Iterable[str]) -> str:
    """The first five names and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more
