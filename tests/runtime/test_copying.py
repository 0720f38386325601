"""Copies of files that change, or turn into something else, before they are copied or while they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import DataError
from orchestrator.runtime import copying
from orchestrator.runtime.copying import copy_files, measure

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "x/a/1.png"
CANARY = "canary-of-what-is-private"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; beside it lie things that are nobody's business, in home."""
    write(tmp_path / "home" / ".ssh/id_rsa", CANARY)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def swap_for_a_link(path: Path, home: Path) -> None:
    path.unlink()
    path.symlink_to(home / ".ssh/id_rsa")


def swap_the_folder(path: Path, home: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))
    write(home / "pictures" / path.name, CANARY)
    path.parent.symlink_to(home / "pictures")


def swap_for_a_pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def take_away(path: Path, _: Path) -> None:
    path.unlink()


def grow(path: Path, _: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)


def shrink(path: Path, _: Path) -> None:
    os.truncate(path, 1)


SWAPS = {
    swap_for_a_link: "x/a/1.png: is a symbolic link, or reached through one; links are not sent",
    swap_the_folder: "x/a: is a symbolic link, or reached through one; links are not sent",
    swap_for_a_pipe: "x/a/1.png: is no file; take it away",
    take_away: "x/a/1.png: cannot be read (No such file or directory); mend it or take it away",
    grow: "x/a/1.png: was changed while it was copied; try again when nobody writes to it",
    shrink: "x/a/1.png: was changed while it was copied; try again when nobody writes to it",
}


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_a_change_between_listing_and_copying_wins_nothing(
    swap: Callable[[Path, Path], None], here: Path, tmp_path: Path
) -> None:
    for name in (FILE, "x/b/2.png"):
        write(here / name, "image")
    sizes = measure(Path(), [FILE, "x/b/2.png"])
    assert sizes == {FILE: 5, "x/b/2.png": 5}
    swap(here / FILE, tmp_path / "home")
    with pytest.raises(DataError) as caught:
        copy_files(Path(), sizes, tmp_path / "out")
    assert str(caught.value) == SWAPS[swap]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and CANARY in path.read_text()]


def test_a_file_that_grows_while_it_is_read_is_read_no_further(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "log").write_bytes(bytes(100))
    read = copying._read

    def growing(source: Any, most: int, path: str) -> bytes:
        (here / "log").write_bytes(bytes(5000))
        return read(source, most, path)

    monkeypatch.setattr(copying, "_read", growing)
    with pytest.raises(DataError, match=r"^log: was changed while it was copied; "):
        copy_files(Path(), {"log": 100}, tmp_path)
    assert (tmp_path / "log").stat().st_size == 100


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_opened(kind: str) -> None:
    if kind == "pipe":
        os.mkfifo("one")
    elif kind == "folder":
        Path("one").mkdir()
    with pytest.raises(DataError, match=r"^(one|null): is no file; take it away$"):
        measure(*((Path("/dev"), ["null"]) if kind == "device" else (Path(), ["one"])))


def test_folders_that_are_gone_or_closed_are_told(here: Path) -> None:
    write(here / "x/a", "")
    for folder, file, told in (("gone", "a", "gone"), (".", "gone/a", "gone"), (".", "x/a/b", "x/a")):
        with pytest.raises(DataError, match=f"^{told}.*: cannot be read "):
            measure(Path(folder), [file])
