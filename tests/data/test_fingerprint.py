"""Equal images have equal fingerprints wherever they lie; any other image, label, order, number or size has not."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from orchestrator.data import digests
from orchestrator.data.celeba import Celeba
from orchestrator.data.digests import DigestMemo
from orchestrator.data.digits import Digits, _rows
from orchestrator.data.fish.settings import ProceduralFish
from orchestrator.data.image_folder import ImageFolder
from orchestrator.data.mnist import FashionMnist, Mnist
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.data import Dataset


def paint(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level, 0, 0)).save(path, format="BMP")


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    """Twelve images of two classes, all of one size in bytes, of which the tenth is held out."""
    for level in range(12):
        paint(tmp_path / "images" / "ab"[level // 6] / f"{level:02d}.bmp", level)
    return ImageFolder(root=str(tmp_path / "images"), height=8, width=8)


def elsewhere(data: Dataset, **places: object) -> Dataset:
    return data.model_copy(update=places)


def rewrite(path: Path, content: bytes) -> None:
    """Other bytes of the same number, and the times as they were, as ``cp -p`` and archives leave them."""
    before = path.stat()
    assert len(content) == before.st_size
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # clocks of file systems tick every few milliseconds
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def image(level: int) -> bytes:
    """What ``paint`` writes."""
    header = b"BM" + b"".join(n.to_bytes(4, "little") for n in (54 + 192, 0, 54, 40, 8, 8))
    header += (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(4)
    return header + b"".join(n.to_bytes(4, "little") for n in (192, 3780, 3780, 0, 0)) + bytes((0, 0, level)) * 64


class TestImageFolder:
    def test_a_copy_elsewhere_under_other_names_is_the_same(self, folder: ImageFolder, tmp_path: Path) -> None:
        other = tmp_path / "other"
        for path in sorted((tmp_path / "images").rglob("*.bmp")):
            target = other / {"a": "first", "b": "second"}[path.parent.name] / f"x{path.stem}.bmp"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            os.utime(target, (0, 0))
        (other / "notes.txt").write_text("of no matter")
        for split in ("train", "test"):
            fingerprint = folder.fingerprint(split)
            assert len(fingerprint) == 32
            assert int(fingerprint, 16) > 0
            copy = elsewhere(folder, root=str(other), cache=str(tmp_path / "cache"))
            assert copy.fingerprint(split) == folder.fingerprint(split) == fingerprint
        assert folder.fingerprint("train") != folder.fingerprint("test")

    @pytest.mark.parametrize(
        ("change", "train", "test"),
        [
            (lambda root: paint(root / "a" / "03.bmp", 99), True, False),
            (lambda root: rewrite(root / "a" / "03.bmp", image(99)), True, False),
            (lambda root: rewrite(root / "b" / "09.bmp", image(99)), False, True),
            (lambda root: (root / "b" / "11.bmp").unlink(), True, False),
            (lambda root: paint(root / "b" / "12.bmp", 12), True, False),
            (lambda root: (root / "a" / "01.bmp").rename(root / "a" / "04a.bmp"), True, False),
            (lambda root: (root / "b" / "06.bmp").rename(root / "a" / "06.bmp"), True, False),
            (lambda root: (root / "a").rename(root / "c"), True, True),
            (lambda root: (root / "a").rename(root / "0"), False, False),
            (lambda root: (root / "a" / "00.bmp").rename(root / "a" / "000.bmp"), False, False),
        ],
        ids=["pixels", "same size and times", "held out", "fewer", "more", "order", "label", "classes", "name", "file"],
    )
    def test_what_changes_the_images_changes_it(
        self, folder: ImageFolder, tmp_path: Path, change: Callable[[Path], object], *, train: bool, test: bool
    ) -> None:
        splits = ("train", "test")
        before = {split: folder.fingerprint(split) for split in splits}
        images = {split: folder.load(split) for split in splits}
        change(tmp_path / "images")
        changed = tuple(folder.fingerprint(split) != before[split] for split in splits)
        assert changed == (train, test)
        for split, other in zip(splits, changed, strict=True):
            now = folder.load(split)
            same = np.array_equal(now.pixels, images[split].pixels) and np.array_equal(now.labels, images[split].labels)
            assert same != other

    @pytest.mark.parametrize("other", [{"height": 9}, {"width": 9}, {"channels": 1}, {"max_images": 10}])
    def test_settings_that_change_the_images_change_it(self, folder: ImageFolder, other: dict[str, int]) -> None:
        assert elsewhere(folder, **other).fingerprint() != folder.fingerprint()

    def test_more_allowed_than_there_are_is_the_same(self, folder: ImageFolder) -> None:
        assert elsewhere(folder, max_images=500).fingerprint() == folder.fingerprint()

    def test_the_decoders_version_counts(self, folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        before = folder.fingerprint()
        monkeypatch.setattr(ImageFolder, "decoder_version", ImageFolder.decoder_version + 1)
        assert folder.fingerprint() != before

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda path: path.symlink_to(path.name), r"cannot be read \(.*symbolic links"),
            (lambda path: path.symlink_to("gone.bmp"), r"cannot be read \(No such file"),
            (lambda path: path.symlink_to("/dev/null"), "is no file"),
        ],
    )
    def test_what_cannot_be_read_is_named(
        self, folder: ImageFolder, tmp_path: Path, spoil: Callable[[Path], None], reason: str
    ) -> None:
        path = tmp_path / "images" / "a" / "02.bmp"
        path.unlink()
        spoil(path)
        with pytest.raises(DataError, match=rf"^{path}: {reason}"):
            folder.fingerprint()

    def test_progress_is_reported(self, folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digests, "CHUNK", 4)
        seen: list[tuple[int, int]] = []
        folder.fingerprint(progress=lambda done, there: seen.append((done, there)))
        assert seen == [(4, 11), (8, 11), (11, 11)]


class TestCacheOfImages:
    def test_rewritten_files_are_decoded_anew(self, folder: ImageFolder, tmp_path: Path) -> None:
        kept = elsewhere(folder, cache=str(tmp_path / "cache"))
        kept.load()
        rewrite(tmp_path / "images" / "a" / "03.bmp", image(200))
        assert kept.load().pixels[3, 0, 0, 0] == 200

    def test_a_copy_is_found(self, folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = elsewhere(folder, cache=str(tmp_path / "cache")).load()
        shutil.copytree(tmp_path / "images", tmp_path / "copy")
        monkeypatch.setattr(Image, "open", None)
        copy = elsewhere(folder, root=str(tmp_path / "copy"), cache=str(tmp_path / "cache")).load()
        np.testing.assert_array_equal(copy.pixels, first.pixels)

    def test_no_other_images_are_kept_under_it(
        self, folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file changes after its digest was taken and before it is decoded."""
        digests_before = folder.content("train", None)
        monkeypatch.setattr(ImageFolder, "_content", lambda *_: digests_before)
        paint(tmp_path / "images" / "a" / "03.bmp", 99)
        with pytest.raises(DataError, match=r"a/03\.bmp: was changed while the images were read; try again"):
            elsewhere(folder, cache=str(tmp_path / "cache")).load()
        assert not (tmp_path / "cache").exists()


class TestMemo:
    @pytest.fixture(autouse=True)
    def settled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if all files had been written long ago."""
        monkeypatch.setattr(digests, "UNSETTLED_NS", 0)

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Paths of the files whose content is read from here on."""
        paths: list[str] = []
        read = DigestMemo._of_content
        monkeypatch.setattr(DigestMemo, "_of_content", lambda memo, path: paths.append(path) or read(memo, path))
        return paths

    def test_a_second_look_reads_nothing(self, folder: ImageFolder, reads: list[str], cache_home: Path) -> None:
        first = folder.fingerprint()
        assert len(reads) == 11
        assert folder.fingerprint() == first
        folder.fingerprint("test")
        assert len(reads) == 12
        folder.fingerprint()
        folder.fingerprint("test")
        assert len(reads) == 12
        (file,) = (cache_home / "orch" / "digests").iterdir()
        for path in (file.parent.parent, file.parent):
            assert path.stat().st_mode & 0o777 == 0o700

    def test_a_rewritten_file_is_read_again(self, folder: ImageFolder, tmp_path: Path, reads: list[str]) -> None:
        first = folder.fingerprint()
        reads.clear()
        path = tmp_path / "images" / "a" / "03.bmp"
        rewrite(path, image(99))
        assert folder.fingerprint() != first
        assert reads == [str(path)]
        rewrite(path, image(3))
        assert folder.fingerprint() == first

    def test_a_fresh_file_is_not_remembered(
        self, folder: ImageFolder, reads: list[str], cache_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(digests, "UNSETTLED_NS", 2_000_000_000_000)
        for _ in range(2):
            folder.fingerprint()
        assert len(reads) == 22
        assert not cache_home.exists()

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.write_bytes(b""),
            lambda file: file.write_bytes(file.read_bytes()[:-1]),
            lambda file: file.write_bytes(file.read_bytes()[:-64]),
            lambda file: file.write_bytes(file.read_bytes()[:70] + b"?" + file.read_bytes()[71:]),
            lambda file: file.write_text("something else"),
            lambda file: file.parent.chmod(0o777),
            lambda file: (file.unlink(), file.mkdir()),
            lambda file: (file.parent.rename(file.parent.parent / "x"), file.parent.write_text("in the way")),
        ],
    )
    def test_what_is_damaged_or_open_to_others_is_not_believed(
        self, folder: ImageFolder, reads: list[str], cache_home: Path, spoil: Callable[[Path], None]
    ) -> None:
        first = folder.fingerprint()
        (file,) = (cache_home / "orch" / "digests").iterdir()
        spoil(file)
        assert folder.fingerprint() == first
        assert len(reads) == 22

    def test_another_users_folder_is_not_believed(
        self, folder: ImageFolder, reads: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = folder.fingerprint()
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        assert folder.fingerprint() == first
        assert len(reads) == 22

    @pytest.mark.parametrize("home", ["/proc/no-home-here", None])
    def test_a_home_that_keeps_nothing(
        self, folder: ImageFolder, reads: list[str], monkeypatch: pytest.MonkeyPatch, home: str | None
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/passed/over")
        if home is None:
            monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
        else:
            monkeypatch.setenv("HOME", home)
        assert folder.fingerprint() == folder.fingerprint()
        assert len(reads) == 22

    def test_members_of_a_zip_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        celeba = faces(tmp_path, zipped=True)
        first = celeba.fingerprint()
        with monkeypatch.context() as patch:
            patch.setattr("orchestrator.data.celeba.ZipFile", None)
            assert celeba.fingerprint() == first
        path = tmp_path / "celeba" / "img_align_celeba.zip"
        stored = path.read_bytes()
        before = path.stat()
        faces(tmp_path, zipped=True, shift=1)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == len(stored)
        assert celeba.fingerprint() != first


def faces(root: Path, *, zipped: bool, shift: int = 0, compression: int = 0) -> Celeba:
    """Four images to train on and one held out, in torchvision's layout."""
    base = root / "celeba"
    base.mkdir(exist_ok=True, parents=True)
    names = [f"{i:06d}.jpg" for i in range(5)]
    (base / "list_eval_partition.txt").write_text("".join(f"{name} {2 * (name == names[4])}\n" for name in names))
    if zipped:
        with ZipFile(base / "img_align_celeba.zip", "w", compression) as archive:
            for i, name in enumerate(names):
                archive.writestr(f"img_align_celeba/{name}", image(i + shift))
    else:
        (base / "img_align_celeba").mkdir()
        for i, name in enumerate(names):
            (base / "img_align_celeba" / name).write_bytes(image(i + shift))
    return Celeba(root=str(root), image_size=32)


def test_faces_are_the_same_in_a_folder_and_in_any_zip_file(tmp_path: Path) -> None:
    plain, stored, packed = (
        faces(tmp_path / "plain", zipped=False),
        faces(tmp_path / "stored", zipped=True),
        faces(tmp_path / "packed", zipped=True, compression=ZIP_DEFLATED),
    )
    for split in ("train", "test"):
        assert plain.fingerprint(split) == stored.fingerprint(split) == packed.fingerprint(split)
    prints = [plain.fingerprint(), plain.fingerprint("test"), elsewhere(plain, image_size=64).fingerprint()]
    prints += [elsewhere(stored, max_images=3).fingerprint(), faces(tmp_path / "o", zipped=True, shift=1).fingerprint()]
    assert len(set(prints)) == 5
    (tmp_path / "stored" / "celeba" / "list_eval_partition.txt").write_text("000009.jpg 0\n")
    with pytest.raises(DataError, match=r"img_align_celeba\.zip/000009\.jpg: cannot be read"):
        stored.fingerprint()


def test_digits_in_idx_files(make_mnist: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_mnist()
    shutil.move(raw, tmp_path / "raw")
    packed = make_mnist(suffix=".gz")
    one, other = Mnist(root=str(tmp_path / "raw")), Mnist(root=str(packed))
    for split in ("train", "test"):
        assert one.fingerprint(split) == other.fingerprint(split)
    assert elsewhere(one, max_images=500).fingerprint() == one.fingerprint()
    prints = [one.fingerprint(), one.fingerprint("test"), elsewhere(one, max_images=19).fingerprint()]
    prints.append(elsewhere(one, image_size=32).fingerprint())
    folder = tmp_path / "raw" / "MNIST" / "raw"
    for file, place in (("train-images-idx3-ubyte", 16 + 784 * 7), ("train-labels-idx1-ubyte", 8 + 19)):
        content = bytearray((folder / file).read_bytes())
        content[place] = (content[place] + 1) % 10
        (folder / file).write_bytes(content)
        prints.append(one.fingerprint())
    assert len(set(prints)) == 6
    # the first 19 are as they were but for the one image
    assert elsewhere(one, max_images=7).fingerprint() == elsewhere(other, max_images=7).fingerprint()
    with pytest.raises(DataError, match=r"download=true"):
        FashionMnist(root=str(packed)).fingerprint()


def test_digits_of_scikit_learn() -> None:
    values = np.array([row.split(b",") for row in _rows("train", None) + _rows("test", None)], float)
    source = load_digits()
    np.testing.assert_array_equal(values[:, :-1], source.data)
    np.testing.assert_array_equal(values[:, -1], source.target)
    kinds = [Digits(), Digits(image_size=32), Digits(max_images=3), Digits(max_images=4)]
    assert len({*(kind.fingerprint() for kind in kinds), Digits().fingerprint("test")}) == 5
    assert Digits(max_images=1500).fingerprint() == Digits().fingerprint()


def test_drawn_fish() -> None:
    fish = ProceduralFish(images=10, height=14, width=32)
    others = [{"images": 9}, {"seed": 1}, {"height": 15}, {"width": 33}, {"max_images": 3}]
    prints = [fish.fingerprint(), fish.fingerprint("test")] + [
        elsewhere(fish, **other).fingerprint() for other in others
    ]
    assert len(set(prints)) == 7
    assert elsewhere(fish, max_images=3).fingerprint() == elsewhere(fish, images=3).fingerprint()
    assert elsewhere(fish, cache="/x").fingerprint() == fish.fingerprint()


@pytest.mark.parametrize("count", [1, 2, 30])
def test_images_all_alike_are_known(tmp_path: Path, count: int) -> None:
    for i in range(count):
        Image.new("RGB", (16, 16), (90, 90, 90)).save(tmp_path / f"{i:02d}.{'png' if i % 2 else 'bmp'}")
    assert ImageFolder(root=str(tmp_path)).load().all_alike


def test_one_image_that_differs_is_enough(folder: ImageFolder) -> None:
    assert not folder.load().all_alike


def test_a_digest_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with DigestMemo(tmp_path) as memo:
        assert memo.of_file(str(tmp_path / "file")) == hashlib.sha256(b"content").digest()
