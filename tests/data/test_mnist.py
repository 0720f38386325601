from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from dataclasses import astuple
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import datasets

from orchestrator.data.idx import read_idx, read_shape
from orchestrator.data.mnist import FashionMnist, IdxDataset, Mnist
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS = [(Mnist, "MNIST", datasets.MNIST), (FashionMnist, "FashionMNIST", datasets.FashionMNIST)]


@pytest.mark.parametrize(("kind", "folder", "reference"), KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_what_torchvision_reads(
    make_mnist: Callable[..., Path],
    kind: type[IdxDataset],
    folder: str,
    reference: type[datasets.MNIST],
    split: str,
) -> None:
    root = make_mnist(folder)
    ours = kind(root=str(root)).load(split)
    theirs = reference(root, train=split == "train")
    np.testing.assert_array_equal(ours.pixels[:, 0], theirs.data.numpy())
    assert ours.labels is not None
    np.testing.assert_array_equal(ours.labels, theirs.targets.numpy())


def test_gzipped_and_raw_files_give_the_same(make_mnist: Callable[..., Path]) -> None:
    zipped = Mnist(root=str(make_mnist(suffix=".gz"))).load()
    shutil.rmtree(make_mnist(suffix=".gz"))
    raw = Mnist(root=str(make_mnist())).load()
    np.testing.assert_array_equal(zipped.pixels, raw.pixels)


def test_a_read_only_root_is_left_as_it_is(make_mnist: Callable[..., Path]) -> None:
    root = make_mnist(suffix=".gz")
    raw = root / "MNIST" / "raw"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    raw.chmod(0o555)
    try:
        assert len(Mnist(root=str(root), download=True).load()) == 20
    finally:
        raw.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_size_is_that_of_the_files_and_max_images_cuts_only_the_training_images(
    make_mnist: Callable[..., Path],
) -> None:
    root = str(make_mnist(suffix=".gz"))
    assert Mnist(root=root).size == 20
    few = Mnist(root=root, max_images=3)
    assert few.size == len(few.load()) == 3
    for kept, whole in zip(astuple(few.load()), astuple(Mnist(root=root).load()), strict=True):
        np.testing.assert_array_equal(kept, whole[:3])
    assert len(few.load("test")) == 5
    assert Mnist(root=root, max_images=100).size == 20


def test_padding_to_32_adds_black(make_mnist: Callable[..., Path]) -> None:
    root = str(make_mnist())
    small, large = Mnist(root=root), Mnist(root=root, image_size=32)
    assert large.shape == large.load().shape == (1, 32, 32)
    np.testing.assert_array_equal(large.load().pixels[..., 2:-2, 2:-2], small.load().pixels)
    assert large.load().pixels.sum(dtype=np.int64) == small.load().pixels.sum(dtype=np.int64)


def test_a_relative_root_and_a_home_are_understood(
    make_mnist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_mnist()
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("HOME", str(root.parent))
    assert Mnist(root="root").size == Mnist(root="~/root").size == 20


def test_missing_files_say_where_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for attempt in (lambda: FashionMnist().size, FashionMnist().load):
        with pytest.raises(DataError) as failure:
            attempt()
        message = str(failure.value)
        assert str(tmp_path / "data" / "FashionMNIST" / "raw") in message
        assert "train-images-idx3-ubyte.gz" in message
        assert "--set data.download=true" in message
        assert "\n" not in message


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The tests' output is not the place."""


class TestDownload:
    """torchvision's own code, pointed at a server on this machine."""

    @pytest.fixture
    def root(self, make_mnist: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        published = make_mnist(suffix=".gz") / "MNIST" / "raw"
        resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in published.iterdir()]  # noqa: S324
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published)) as server:
            monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield tmp_path / "fetched"
            server.shutdown()
            thread.join()

    def test_fetches_what_is_not_there(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        settings = Mnist(root=str(root), download=True)
        assert settings.size == 60_000  # the published number, until the files are there
        assert settings.awaits_download
        with pytest.raises(DataError, match=r"^mnist: got no images yet"):
            settings.fingerprint()
        assert len(settings.load()) == settings.size == 20
        assert len(settings.load("test")) == 5
        assert not settings.awaits_download
        assert len(settings.fingerprint()) == 32
        assert capsys.readouterr().out == ""

    def test_does_nothing_unless_asked(self, root: Path) -> None:
        with pytest.raises(DataError, match=r"download=true"):
            Mnist(root=str(root)).load()
        assert not root.exists()

    def test_failure_is_one_line(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets.MNIST, "resources", [(name, "0" * 32) for name, _ in datasets.MNIST.resources])
        with pytest.raises(DataError, match=r"^mnist: cannot be fetched into .*by hand$") as failure:
            Mnist(root=str(root), download=True).load()
        assert "\n" not in str(failure.value)


class TestDamage:
    """Each kind of damage ends in a DataError that begins with the file's path."""

    @staticmethod
    def refuse(path: Path, match: str, dimensions: int = 3) -> None:
        with pytest.raises(DataError, match=match) as failure:
            read_idx(path, dimensions)
        assert str(failure.value).startswith(f"{path}: ")
        assert "\n" not in str(failure.value)

    @pytest.fixture
    def images(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)

    @pytest.mark.parametrize("keep", [0, 5, 30, 2000])
    def test_cut_off_gzip(self, tmp_path: Path, write_idx, images: np.ndarray, keep: int) -> None:
        path = write_idx(tmp_path / "images.gz", images)
        path.write_bytes(path.read_bytes()[:keep])
        self.refuse(path, "fetch it again")

    def test_wrong_checksum(self, tmp_path: Path, write_idx, images: np.ndarray) -> None:
        path = write_idx(tmp_path / "images.gz", images)
        content = bytearray(path.read_bytes())
        content[-8] ^= 1
        path.write_bytes(content)
        self.refuse(path, "damaged gzip file")

    def test_scrambled_gzip(self, tmp_path: Path, write_idx, images: np.ndarray) -> None:
        path = write_idx(tmp_path / "images.gz", images)
        content = path.read_bytes()
        path.write_bytes(content[:10] + b"\xff" * 100 + content[110:])
        self.refuse(path, "damaged gzip file")

    def test_not_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "images.gz"
        path.write_text("<html>not found</html>")
        self.refuse(path, "damaged gzip file")

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_too_few_values(self, tmp_path: Path, write_idx, images: np.ndarray, suffix: str) -> None:
        path = write_idx(tmp_path / f"images{suffix}", images, shape=(7, 28, 28))
        self.refuse(path, r"too short for the 7x28x28|5488 values expected .* only 4704 found")

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_too_many_values(self, tmp_path: Path, write_idx, images: np.ndarray, suffix: str) -> None:
        path = write_idx(tmp_path / f"images{suffix}", images, shape=(5, 28, 28))
        self.refuse(path, "3920 values expected .* more found")

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_a_header_that_claims_terabytes_is_not_believed(
        self, tmp_path: Path, write_idx, images: np.ndarray, suffix: str
    ) -> None:
        path = write_idx(tmp_path / f"images{suffix}", images, shape=(2**32 - 1, 28, 28))
        self.refuse(path, "too short for the 4294967295x28x28 values")

    def test_wrong_magic(self, tmp_path: Path, write_idx, images: np.ndarray) -> None:
        path = write_idx(tmp_path / "images", images)
        self.refuse(path, r"begins with 0x00000803, expected .*0x00000801", dimensions=1)
        path.write_bytes(gzip.compress(path.read_bytes()))
        self.refuse(path, r"begins with 0x1f8b")

    def test_no_images(self, tmp_path: Path, write_idx) -> None:
        self.refuse(write_idx(tmp_path / "images", np.zeros((0, 28, 28), np.uint8)), "holds no values")

    def test_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"cannot be read"):
            read_shape(tmp_path, 3)

    def test_label_count(self, make_mnist: Callable[..., Path], write_idx) -> None:
        root = make_mnist()
        path = write_idx(root / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(19, np.uint8))
        with pytest.raises(DataError, match=rf"^{path}: 19 labels for the 20 images of .*train-images"):
            Mnist(root=str(root)).load()

    def test_label_range(self, make_mnist: Callable[..., Path], write_idx) -> None:
        root = make_mnist()
        path = write_idx(root / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.full(20, 10, np.uint8))
        with pytest.raises(DataError, match=rf"^{path}: label 10, expected 0 to 9"):
            Mnist(root=str(root)).load()

    def test_image_size(self, make_mnist: Callable[..., Path], write_idx) -> None:
        root = make_mnist()
        path = write_idx(root / "MNIST" / "raw" / "train-images-idx3-ubyte", np.zeros((20, 28, 27), np.uint8))
        with pytest.raises(DataError, match=rf"^{path}: images of 28x27, expected 28x28"):
            Mnist(root=str(root)).load()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, make_mnist: Callable[..., Path]) -> None:
        root = make_mnist()
        (root / "MNIST" / "raw").chmod(0)
        try:
            with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
                Mnist(root=str(root)).load()
        finally:
            (root / "MNIST" / "raw").chmod(0o755)


@given(content=st.binary(max_size=64), gzipped=st.booleans())
@settings(deadline=None, max_examples=100)
def test_any_bytes_give_an_array_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, gzipped: bool
) -> None:
    # half of the files begin well, or almost none would get past the first check
    content = bytes((0, 0, 8, 1)) + content if len(content) % 2 else content
    path = tmp_path_factory.getbasetemp() / ("any.gz" if gzipped else "any")
    path.write_bytes(gzip.compress(content) if gzipped else content)
    try:
        read = read_idx(path, 1).tobytes()
    except DataError as error:
        read = error
    assert str(read).startswith(f"{path}: ") if isinstance(read, DataError) else read == content[8:]
