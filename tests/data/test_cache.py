"""The cache by itself, and as the data sets of files use it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.data.cache import cached
from orchestrator.data.image_folder import ImageFolder
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)


class Decoder:
    """Gives the same pixels again and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return PIXELS.copy()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for folder in ("a", "b"):
        (root / folder).mkdir(parents=True)
        for i in range(6):
            noise = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / folder / f"{i}.bmp")
    return root


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        """From here on no image may be opened."""

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("an image was opened")

        monkeypatch.setattr(Image, "open", refuse)

    return forbid


def test_the_second_load_opens_no_image(pictures: Path, tmp_path: Path, unopened: Callable[[], None]) -> None:
    bare = ImageFolder(root=str(pictures))
    kept = ImageFolder(root=str(pictures), cache=str(tmp_path / "deep" / "cache"))
    plain = {split: bare.load(split) for split in ("train", "test")}
    for split, images in plain.items():
        np.testing.assert_array_equal(kept.load(split).pixels, images.pixels)
    unopened()
    for split, images in plain.items():
        again = kept.load(split)
        assert type(again.pixels) is np.ndarray
        np.testing.assert_array_equal(again.pixels, images.pixels)
        np.testing.assert_array_equal(again.labels, images.labels)
    with pytest.raises(DataError, match="an image was opened"):
        bare.load()


@pytest.mark.parametrize("other", [{"height": 16}, {"channels": 1}, {"max_images": 3}])
def test_other_settings_are_kept_apart(pictures: Path, tmp_path: Path, other: dict[str, int]) -> None:
    cache = str(tmp_path / "cache")
    first = ImageFolder(root=str(pictures), cache=cache).load()
    ImageFolder(root=str(pictures), cache=cache, **other).load()
    assert len(list((tmp_path / "cache").iterdir())) == 2
    np.testing.assert_array_equal(ImageFolder(root=str(pictures), cache=cache).load().pixels, first.pixels)


@pytest.mark.parametrize("change", ["pixels", "fewer", "renamed", "elsewhere"])
def test_a_changed_folder_is_decoded_again(pictures: Path, tmp_path: Path, change: str) -> None:
    cache = str(tmp_path / "cache")
    ImageFolder(root=str(pictures), cache=cache).load()
    path = pictures / "a" / "3.bmp"
    if change == "pixels":
        Image.new("RGB", (20, 30), (1, 2, 3)).save(path)
    elif change == "fewer":
        path.unlink()
    elif change == "renamed":
        path.rename(pictures / "b" / "0a.bmp")
    else:
        shutil.copytree(pictures, tmp_path / "other")  # the same names, sizes and times
        Image.new("RGB", (30, 20), (1, 2, 3)).save(tmp_path / "other" / "a" / "3.bmp")
        stored = path.stat()
        os.utime(tmp_path / "other" / "a" / "3.bmp", ns=(stored.st_atime_ns, stored.st_mtime_ns))
        pictures = tmp_path / "other"
    kept = ImageFolder(root=str(pictures), cache=cache).load()
    np.testing.assert_array_equal(kept.pixels, ImageFolder(root=str(pictures)).load().pixels)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_image_leaves_nothing_behind(pictures: Path, tmp_path: Path) -> None:
    (pictures / "a" / "3.bmp").write_text("damaged")
    with pytest.raises(DataError, match=rf"^{pictures}/a/3\.bmp: cannot be read as an image"):
        ImageFolder(root=str(pictures), cache=str(tmp_path / "cache")).load()
    assert not (tmp_path / "cache").exists()


def test_a_link_to_nothing_is_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "a" / "7.bmp").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=rf"^{pictures}/a/7\.bmp: cannot be read \(No such file"):
        ImageFolder(root=str(pictures), cache=str(tmp_path / "cache")).load()


def test_none_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    decode = Decoder()
    for _ in range(2):
        np.testing.assert_array_equal(cached(None, "key", PIXELS.shape, decode), PIXELS)
    assert decode.calls == 2
    assert not list(tmp_path.iterdir())


def other_file(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:60]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_text("something else"),
        other_file(PIXELS[:3]),
        other_file(PIXELS.astype(np.int8)),
        other_file(np.asfortranarray(PIXELS)),
        other_file(np.array([{"an": "object"}])),
    ],
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    decode = Decoder()
    cached(str(tmp_path), "key", PIXELS.shape, decode)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damage(path)
    np.testing.assert_array_equal(cached(str(tmp_path), "key", PIXELS.shape, decode), PIXELS)
    assert decode.calls == 2
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == whole
    cached(str(tmp_path), "key", PIXELS.shape, decode)
    assert decode.calls == 2


@given(cut=st.integers(0, 800), place=st.integers(0, 127), value=st.integers(0, 255))
@settings(deadline=None, max_examples=80)
def test_any_damage_to_the_header_is_seen_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, value: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any_cache"
    cached(str(folder), "key", PIXELS.shape, Decoder())
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content[: len(content) - max(0, cut - 700)])
    np.testing.assert_array_equal(cached(str(folder), "key", PIXELS.shape, Decoder()), PIXELS)


def test_what_was_read_outlives_its_file(tmp_path: Path) -> None:
    """Another run may write the file anew, or sweep the folder, while this one trains."""
    cached(str(tmp_path), "key", PIXELS.shape, Decoder())
    kept = cached(str(tmp_path), "key", PIXELS.shape, Decoder())
    (path,) = tmp_path.iterdir()
    path.unlink()
    np.testing.assert_array_equal(kept, PIXELS)
    assert not kept.flags.writeable


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=rf"^data\.cache: {tmp_path}/file cannot be written to \(.*null for none$"):
        cached(str(tmp_path / "file"), "key", PIXELS.shape, Decoder())


def test_a_failed_write_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot be written to \(No space left on device\)"):
        cached(str(tmp_path), "key", PIXELS.shape, Decoder())
    assert not list(tmp_path.iterdir())


def test_a_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    cached("~/cache", "key", PIXELS.shape, Decoder())
    assert len(list((tmp_path / "cache").iterdir())) == 1
