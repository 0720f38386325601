"""IDX files as MNIST's page describes them, written without the code under test."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

WriteIdx = Callable[..., Path]


@pytest.fixture
def write_idx() -> WriteIdx:
    def write(path: Path, values: np.ndarray, *, shape: tuple[int, ...] | None = None) -> Path:
        """Write ``values`` to ``path``, gzipped if its suffix says so; ``shape`` is a lie for the header."""
        shape = values.shape if shape is None else shape
        content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + values.tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def make_mnist(tmp_path: Path, write_idx: WriteIdx) -> Callable[..., Path]:
    def make(folder: str = "MNIST", suffix: str = "", train: int = 20, test: int = 5) -> Path:
        """A root with random images in torchvision's layout."""
        random = np.random.default_rng(train)
        for prefix, count in (("train", train), ("t10k", test)):
            raw = tmp_path / "root" / folder / "raw"
            images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            write_idx(raw / f"{prefix}-images-idx3-ubyte{suffix}", images)
            write_idx(raw / f"{prefix}-labels-idx1-ubyte{suffix}", random.integers(0, 10, count, dtype=np.uint8))
        return tmp_path / "root"

    return make


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache-home"))
    return tmp_path / ".cache-home"
