from __future__ import annotations

import os
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import datasets

from orchestrator.data import ImageShape
from orchestrator.data.image_folder import ImageFolder
from orchestrator.data.listing import SUFFIXES
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def save(path: Path, colour: tuple[int, int, int] | int = 0, size: tuple[int, int] = (16, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path)
    return path


def load_one(folder: Path, **choices: object) -> np.ndarray:
    """The only image below ``folder`` as (h, w, c) integers."""
    images = ImageFolder(root=str(folder), **choices).load()
    assert len(images) == 1
    return images.pixels[0].transpose(1, 2, 0).astype(int)


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    """Image i is of grey level i, so that each tells its place."""
    for i in range(100):
        save(tmp_path / f"{i:03d}.png", i)
    return tmp_path


class TestListing:
    def test_splits_share_nothing_and_miss_nothing(self, hundred: Path) -> None:
        folder = ImageFolder(root=str(hundred), height=8, width=8, channels=1)
        train, test = (folder.load(split).pixels[:, 0, 0, 0].tolist() for split in ("train", "test"))
        assert test == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
        assert sorted(train + test) == list(range(100))
        assert train == sorted(train)
        assert folder.size == len(train) == 90

    def test_max_images_opens_no_more_than_it_needs(self, hundred: Path) -> None:
        (hundred / "050.png").write_text("damaged")
        folder = ImageFolder(root=str(hundred), height=8, width=8, channels=1, max_images=12)
        assert folder.size == 12
        assert folder.load().pixels[:, 0, 0, 0].tolist() == [*range(9), 10, 11, 12]
        assert len(folder.load("test")) == 10

    def test_classes_and_order_are_torchvisions(self, tmp_path: Path) -> None:
        for i, name in enumerate(("b/2.png", "a/x/1.jpg", "a/0.JPEG", "b/10.bmp", "c c/z.webp", "b/a.png")):
            save(tmp_path / name, 40 * i)
        theirs = datasets.ImageFolder(tmp_path)
        ours = ImageFolder(root=str(tmp_path), height=16, width=16).load()
        assert ours.labels is not None
        assert dict(zip(ours.pixels[:, 0, 8, 8].tolist(), ours.labels.tolist(), strict=True)) == {
            np.asarray(image)[8, 8, 0]: label for image, label in theirs
        }
        assert ours.labels.tolist() == [0, 0, 1, 1, 1, 2]

    def test_held_out_labels_are_those_of_their_images(self, tmp_path: Path) -> None:
        for i in range(20):
            save(tmp_path / ("first" if i < 5 else "second") / f"{i:02d}.png", i)
        test = ImageFolder(root=str(tmp_path), height=8, width=8, channels=1).load("test")
        assert test.pixels[:, 0, 0, 0].tolist() == [9, 19]
        assert test.labels is not None
        assert test.labels.tolist() == [1, 1]

    def test_images_in_the_root_mean_no_classes(self, tmp_path: Path) -> None:
        for i in range(3):
            save(tmp_path / f"{i}.png", i)
        for count in (1, 2):
            images = ImageFolder(root=str(tmp_path), max_images=count).load()
            assert len(images) == count
            assert images.labels is None

    def test_other_and_hidden_files_are_left_out(self, tmp_path: Path) -> None:
        save(tmp_path / "a" / "one.png")
        (tmp_path / "a" / "._one.png").write_text("what a Mac leaves")
        (tmp_path / "a" / "notes.txt").write_text("notes")
        save(tmp_path / ".cache" / "two.png")
        assert ImageFolder(root=str(tmp_path)).size == 1

    def test_links_are_followed_once_even_in_a_ring(self, tmp_path: Path) -> None:
        save(tmp_path / "elsewhere" / "one.png")
        root = tmp_path / "root"
        root.mkdir()
        (root / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "back").symlink_to(root)
        (root / "linked_again").symlink_to(tmp_path / "elsewhere")
        assert ImageFolder(root=str(root)).size == 1

    def test_loading_twice_gives_the_same(self, hundred: Path) -> None:
        folder = ImageFolder(root=str(hundred))
        np.testing.assert_array_equal(folder.load().pixels, folder.load().pixels)


class TestPicture:
    @pytest.mark.parametrize("suffix", sorted(SUFFIXES | {".PNG", ".Tif"}))
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_format_and_promised_shape(self, tmp_path: Path, suffix: str, channels: int) -> None:
        save(tmp_path / f"image{suffix}", (250, 100, 20), (40, 30))
        folder = ImageFolder(root=str(tmp_path), height=24, width=32, channels=channels)
        assert folder.shape == folder.load().shape == ImageShape(channels, 24, 32)
        expected = [250, 100, 20] if channels == 3 else [0.299 * 250 + 0.587 * 100 + 0.114 * 20]
        assert np.abs(load_one(tmp_path, height=24, width=32, channels=channels) - expected).max() <= 4

    @pytest.mark.parametrize("suffix", ["png", "jpg"])
    @pytest.mark.parametrize("size", [(1200, 400), (400, 1200), (60, 20), (20, 60)])
    @pytest.mark.parametrize("target", [(64, 64), (48, 96)])
    def test_a_circle_stays_a_circle(
        self, tmp_path: Path, suffix: str, size: tuple[int, int], target: tuple[int, int]
    ) -> None:
        width, height = size
        radius = min(size) / 5
        y, x = np.indices((height, width)) + 0.5
        outside = np.hypot(x - width / 2, y - height / 2) > radius
        Image.fromarray(outside.astype(np.uint8) * 255).save(tmp_path / f"circle.{suffix}", quality=95)
        dark = 1 - load_one(tmp_path, height=target[0], width=target[1])[..., 0] / 255
        # the image just covers the target, so this is the circle's diameter there
        diameter = 2 * radius * max(target[0] / height, target[1] / width)
        across, down = dark[dark.shape[0] // 2].sum(), dark[:, dark.shape[1] // 2].sum()
        assert across == pytest.approx(down, abs=1.0)
        assert across == pytest.approx(diameter, abs=1.5)
        middle = [(place * dark).sum() / dark.sum() for place in np.indices(dark.shape)]
        assert middle == pytest.approx([(target[0] - 1) / 2, (target[1] - 1) / 2], abs=0.3)

    @pytest.mark.parametrize(
        ("orientation", "upright"),
        [
            (1, lambda stored: stored),
            (2, np.fliplr),
            (3, lambda stored: np.rot90(stored, 2)),
            (4, np.flipud),
            (5, lambda stored: stored.swapaxes(0, 1)),
            (6, lambda stored: np.rot90(stored, -1)),
            (7, lambda stored: np.rot90(stored, 2).swapaxes(0, 1)),
            (8, np.rot90),
        ],
    )
    @pytest.mark.parametrize("suffix", ["jpg", "png"])
    def test_exif_orientation_is_obeyed(self, tmp_path: Path, orientation: int, upright, suffix: str) -> None:
        quarters = np.array([[10, 90], [170, 250]], np.uint8)
        stored = Image.fromarray(np.kron(quarters, np.ones((16, 16), np.uint8)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / f"turned.{suffix}", exif=exif, quality=100)
        seen = load_one(tmp_path, height=32, width=32, channels=1)[8::16, 8::16, 0]
        assert np.abs(seen - upright(quarters.astype(int))).max() <= 3

    def test_sixteen_bits_keep_their_greys(self, tmp_path: Path) -> None:
        ramp = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
        Image.fromarray(ramp).save(tmp_path / "deep.png")
        for channels in (1, 3):
            seen = load_one(tmp_path, channels=channels)
            np.testing.assert_array_equal(seen, np.broadcast_to(ramp[..., np.newaxis] // 256, seen.shape))

    def test_transparent_parts_are_white(self, tmp_path: Path) -> None:
        picture = np.zeros((32, 32, 4), np.uint8)
        picture[:, :16] = (200, 0, 0, 255)
        Image.fromarray(picture).save(tmp_path / "sprite.png")
        seen = load_one(tmp_path)
        assert seen[16, 4].tolist() == [200, 0, 0]
        assert seen[16, 28].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
    def test_a_transparent_palette_colour_is_white(self, tmp_path: Path, transparency: int | bytes) -> None:
        picture = Image.new("P", (32, 32), 0)
        picture.putpalette([0, 0, 0, 0, 0, 200])
        picture.paste(1, (0, 0, 16, 32))
        picture.save(tmp_path / "palette.png", transparency=transparency)
        seen = load_one(tmp_path)
        assert seen[16, 4].tolist() == [0, 0, 200]
        assert seen[16, 28].tolist() == [255, 255, 255]

    def test_printing_colours_are_converted(self, tmp_path: Path) -> None:
        Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
        assert np.abs(load_one(tmp_path)[16, 16] - [255, 0, 0]).max() <= 10


def empty_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and ends where its pixels would begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


class TestErrors:
    @staticmethod
    def refuse(folder: Path, match: str) -> str:
        with pytest.raises(DataError, match=match) as failure:
            ImageFolder(root=str(folder)).load()
        message = str(failure.value)
        assert "\n" not in message
        return message

    @pytest.mark.parametrize(
        "content",
        [b"", b"not an image", b"\x89PNG\r\n\x1a\n", empty_png(16, 16), b"\xff\xd8\xff\xe0 no more"],
    )
    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
    def test_damaged_image_is_named(self, hundred: Path, content: bytes, suffix: str) -> None:
        path = hundred / f"055.{suffix}"
        path.write_bytes(content)
        message = self.refuse(hundred, "cannot be read as an image")
        assert message.startswith(f"{path}: ")
        assert "<" not in message  # no Python object's name

    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
    def test_cut_off_image_is_named(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"noise.{suffix}"
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
        assert self.refuse(tmp_path, "cannot be read as an image").startswith(f"{path}: ")

    def test_the_first_of_several_is_named(self, hundred: Path) -> None:
        for name in ("030.png", "010.png", "077.png"):
            (hundred / name).write_text("damaged")
        assert self.refuse(hundred, "cannot be read").startswith(f"{hundred / '010.png'}: ")

    def test_only_the_listed_formats_are_tried(self, tmp_path: Path) -> None:
        Image.new("RGB", (16, 16)).save(tmp_path / "image.eps")  # which Pillow has Ghostscript read
        (tmp_path / "image.eps").rename(tmp_path / "image.png")
        self.refuse(tmp_path, "cannot be read as an image")

    @pytest.mark.parametrize("side", [12_000, 60_000])
    def test_decompression_bomb_is_refused_unopened(self, tmp_path: Path, side: int) -> None:
        (tmp_path / "bomb.png").write_bytes(empty_png(side, side))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as a user might: the refusal must not hang on it
            filters = list(warnings.filters)
            assert self.refuse(tmp_path, "refused, too large").startswith(f"{tmp_path / 'bomb.png'}: ")
            assert list(warnings.filters) == filters

    def test_missing_root_says_where_it_looked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        folder = ImageFolder(root="photos")
        for attempt in (lambda: folder.size, folder.load):
            with pytest.raises(DataError, match=rf"^{tmp_path}/photos: no such folder; set data\.root"):
                attempt()

    def test_a_file_is_no_root(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such folder"):
            ImageFolder(root=str(save(tmp_path / "one.png"))).load()

    def test_no_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("notes")
        self.refuse(tmp_path, r"no images below it; looked for \.apng, .*\.bmp, .*\.tiff, \.webp$")

    def test_too_few_to_hold_one_out(self, tmp_path: Path) -> None:
        save(tmp_path / "one.png")
        with pytest.raises(DataError, match=r"1 images, but a held-out image needs 10"):
            ImageFolder(root=str(tmp_path)).load("test")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
    def test_a_folder_that_may_not_be_listed(self, tmp_path: Path) -> None:
        save(tmp_path / "closed" / "one.png")
        (tmp_path / "closed").chmod(0)
        try:
            self.refuse(tmp_path, r"closed: cannot be listed \(Permission denied\)")
        finally:
            (tmp_path / "closed").chmod(0o755)


@given(
    suffix=st.sampled_from(["png", "jpg", "webp", "bmp"]),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.2, 1),
)
@settings(deadline=None, max_examples=80)
def test_any_damage_gives_an_image_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, damage: list[tuple[float, int]], keep: float
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"damaged_{suffix}"
    folder.mkdir(exist_ok=True)
    path = folder / f"image.{suffix}"
    Image.radial_gradient("L").resize((24, 24)).save(path)
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[int(place * len(content))] = value
    path.write_bytes(content[: int(keep * len(content))])
    try:
        loaded = ImageFolder(root=str(folder), height=16, width=16).load()
    except DataError as error:
        loaded = error
    assert str(loaded).startswith(f"{path}: ") if isinstance(loaded, DataError) else len(loaded) == 1
