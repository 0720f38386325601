from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets
from torchvision.transforms import functional

from orchestrator.data import ImageShape
from orchestrator.data.celeba import Celeba
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

PARTITION = "0021001102"
"""What each image is for: five to train on, two held out."""


def face(i: int) -> Image.Image:
    """178 wide, 218 high; level i in the middle 178x178, white above and below."""
    picture = np.full((218, 178, 3), 255, np.uint8)
    picture[20:198] = (20 * i, 0, 100)
    return Image.fromarray(picture)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """torchvision's layout, with ten images."""
    folder = tmp_path / "root" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for i in range(len(PARTITION)):
        face(i).save(folder / "img_align_celeba" / f"{i + 1:06d}.jpg", quality=100, subsampling=0)
    lines = [f"{i + 1:06d}.jpg {part}\n" for i, part in enumerate(PARTITION)]
    (folder / "list_eval_partition.txt").write_text("".join(lines))
    return folder.parent


@pytest.fixture
def zipped(root: Path) -> Path:
    """The same as it is fetched."""
    folder = root / "celeba"
    with ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for path in sorted((folder / "img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
    shutil.rmtree(folder / "img_align_celeba")
    return root


def levels(images: np.ndarray) -> list[int]:
    return (images.mean(axis=(2, 3))[:, 0] / 20).round().astype(int).tolist()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_splits_are_the_partition_file_s_and_only_the_middle_is_kept(root: Path, side: int) -> None:
    settings = Celeba(root=str(root), image_size=side)
    train, test = settings.load(), settings.load("test")
    assert settings.shape == train.shape == test.shape == ImageShape(3, side, side)
    assert levels(train.pixels) == [0, 1, 4, 5, 8]
    assert levels(test.pixels) == [2, 9]
    assert settings.size == len(train) == 5
    assert train.labels is test.labels is None
    # the scaling filter is a few pixels wide, so that the outermost rows see a little of what is cut off
    assert train.pixels[:, 1, 1:-1].max() <= 10


def test_the_crop_is_torchvision_s(root: Path) -> None:
    path = root / "celeba" / "img_align_celeba" / "000001.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((178, 218)).save(path, quality=95)
    with Image.open(path) as image:
        expected = functional.center_crop(image, [178, 178]).resize((64, 64), Image.Resampling.LANCZOS)
    ours = Celeba(root=str(root), max_images=1).load().pixels[0].transpose(1, 2, 0)
    assert np.abs(ours.astype(int) - np.asarray(expected)).max() <= 1


def test_a_zip_file_gives_the_same_and_stays_zipped(root: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    plain = {split: Celeba(root=str(root)).load(split).pixels for split in ("train", "test")}
    root = request.getfixturevalue("zipped")
    before = sorted(path.name for path in root.rglob("*"))
    cache = str(tmp_path / "cache")
    for settings in (Celeba(root=str(root), download=True), *[Celeba(root=str(root), cache=cache)] * 2):
        assert settings.size == 5
        for split, pixels in plain.items():
            np.testing.assert_array_equal(settings.load(split).pixels, pixels)
    assert sorted(path.name for path in root.rglob("*")) == before
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_cache_is_read_and_follows_changes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Celeba(root=str(root), cache=str(tmp_path / "cache"))
    first = settings.load()
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", None)
        np.testing.assert_array_equal(settings.load().pixels, first.pixels)
    face(7).save(root / "celeba" / "img_align_celeba" / "000001.jpg")
    assert levels(settings.load().pixels) == [7, 1, 4, 5, 8]


def test_max_images_opens_no_more_than_it_needs(root: Path) -> None:
    (root / "celeba" / "img_align_celeba" / "000009.jpg").write_text("damaged")
    few = Celeba(root=str(root), max_images=4)
    assert few.size == len(few.load()) == 4
    assert len(few.load("test")) == 2


class TestDownload:
    """torchvision's own code, without the network."""

    def test_asks_torchvision_only_when_told_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        monkeypatch.setattr(datasets.CelebA, "download", lambda self: asked.append(self.root))
        with pytest.raises(DataError, match=r"data\.download=true"):
            Celeba(root=str(tmp_path)).load()
        assert asked == []
        settings = Celeba(root=str(tmp_path), download=True)
        assert settings.size == 162_770  # the published number, until the files are there
        with pytest.raises(DataError, match=r"^celeba: cannot be fetched into .*by hand$") as failure:
            settings.load()
        assert asked == [tmp_path]
        assert "\n" not in str(failure.value)

    def test_nothing_is_fetched_twice(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets, "CelebA", None)
        assert len(Celeba(root=str(root), download=True).load()) == 5


class TestErrors:
    @staticmethod
    def refuse(root: Path, match: str) -> None:
        with pytest.raises(DataError, match=match) as failure:
            Celeba(root=str(root)).load()
        assert "\n" not in str(failure.value)

    @pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no more"])
    def test_a_damaged_image_is_named(self, root: Path, content: bytes) -> None:
        path = root / "celeba" / "img_align_celeba" / "000005.jpg"
        path.write_bytes(content)
        self.refuse(root, rf"^{path}: cannot be read as an image")

    def test_a_missing_image_is_named(self, root: Path) -> None:
        path = root / "celeba" / "img_align_celeba" / "000005.jpg"
        path.unlink()
        self.refuse(root, rf"^{path}: cannot be read")

    def test_a_damaged_image_of_the_zip_file_is_named(self, zipped: Path) -> None:
        path = zipped / "celeba" / "img_align_celeba.zip"
        content = path.read_bytes()
        with ZipFile(path) as archive:
            start = archive.getinfo("img_align_celeba/000005.jpg").header_offset
        path.write_bytes(content[: start + 300] + b"\xff" * 9 + content[start + 309 :])
        self.refuse(zipped, rf"^{path}/000005\.jpg: cannot be read as an image \(Bad CRC-32")

    @pytest.mark.parametrize("keep", [0, 100, 20_000])
    def test_a_cut_off_zip_file_is_named(self, zipped: Path, keep: int) -> None:
        path = zipped / "celeba" / "img_align_celeba.zip"
        path.write_bytes(path.read_bytes()[:keep])
        self.refuse(zipped, rf"^{path}: damaged zip file .*fetch it again")

    def test_an_image_that_the_zip_file_lacks(self, zipped: Path) -> None:
        partition = zipped / "celeba" / "list_eval_partition.txt"
        partition.write_text(partition.read_text().replace("000005", "000500"))
        self.refuse(zipped, r"img_align_celeba\.zip/000500\.jpg: cannot be read as an image \(.*no item")

    def test_no_images_says_where_and_what_to_do(self, tmp_path: Path) -> None:
        for attempt in (lambda: Celeba(root=str(tmp_path)).size, Celeba(root=str(tmp_path)).load):
            with pytest.raises(DataError, match=rf"in {tmp_path}/celeba; fetch it with --set data\.download=true"):
                attempt()

    def test_no_partition_file(self, root: Path) -> None:
        path = root / "celeba" / "list_eval_partition.txt"
        path.unlink()
        self.refuse(root, rf"^{path}: cannot be read \(No such file or directory\); put CelebA's there")

    @pytest.mark.parametrize("line", ["", "000002.jpg", "000002.jpg 3", "../../x.jpg 0", "000002.jpg 0 0", "x" * 999])
    def test_a_damaged_partition_file_is_named_with_its_line(self, root: Path, line: str) -> None:
        path = root / "celeba" / "list_eval_partition.txt"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], line, *lines[2:]]))
        self.refuse(root, rf"^{path}: line 2: got '.{{0,40}}', expected .* 0, 1 or 2; fetch it again$")

    def test_a_partition_file_of_other_bytes(self, root: Path) -> None:
        path = root / "celeba" / "list_eval_partition.txt"
        path.write_bytes(b"\xff\xfe0")
        self.refuse(root, rf"^{path}: holds more than plain letters")

    def test_a_split_without_images(self, root: Path) -> None:
        path = root / "celeba" / "list_eval_partition.txt"
        path.write_text("000001.jpg 2\n")
        self.refuse(root, rf"^{path}: 1 images, none of them for the train split")
