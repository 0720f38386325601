"""Images of every depth and mode, written byte by byte and by Pillow, against arithmetic on their values."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.data.decoding import decode_files
from orchestrator.data.images import ImageShape
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 16
WHITE = 255
RANDOM = np.random.default_rng(0)


def png(values: np.ndarray, depth: int, colour: int, **chunks: bytes) -> bytes:
    """Rows of samples (h, samples of a row) as a PNG of ``depth`` bits and a colour type; chunks before the pixels."""
    height, width = SIDE, SIDE

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        bits = (values[..., np.newaxis] >> np.arange(depth)[::-1]) & 1
        rows = [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(name.encode(), body) for name, body in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(body: bytes, order: str, **tags: int) -> bytes:
    """An uncompressed TIFF of one strip, whose byte order is ``<`` or ``>``."""
    known = {"bits": 258, "photometric": 262, "samples": 277, "orientation": 274, "format": 339}
    entries = {256: SIDE, 257: SIDE, 259: 1, 273: 8, 277: 1, 278: SIDE, 279: len(body)}
    entries |= {known[name]: value for name, value in tags.items()}
    start = 8 + len(body)
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in sorted(entries.items()):
        directory += struct.pack(f"{order}HHII", tag, 4, 1, value)
    return header + body + directory + struct.pack(f"{order}I", 0)


def grey(depth: int) -> np.ndarray:
    """Every second column is of the value that is transparent in the cases below: 1."""
    values = RANDOM.integers(0, 2**depth, (SIDE, SIDE))
    values[:, ::2] = 1
    return values


def colour(depth: int, samples: int = 3) -> np.ndarray:
    """(h, w, c); every second column is (1, 2, 3), its neighbour differs from it in the last bit alone."""
    values = RANDOM.integers(0, 2**depth, (SIDE, SIDE, samples))
    values[:, ::2, :3] = (1, 2, 3)
    values[:, 1, :3] = (1, 2, 2)
    return values


def rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(SIDE, -1)


def on_white(value: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Both in [0, 255]."""
    return (value * (alpha / 255) + WHITE * (1 - alpha / 255)).round()


def grey_key(depth: int) -> tuple[bytes, np.ndarray]:
    values = grey(depth)
    shown = values >> 8 if depth == 16 else values * 255 // (2**depth - 1)
    return png(values, depth, 0, tRNS=struct.pack(">H", 1)), np.where(values == 1, WHITE, shown)


def colour_key(depth: int) -> tuple[bytes, np.ndarray]:
    values = colour(depth)
    hole = (values == (1, 2, 3)).all(axis=2, keepdims=True)
    return png(rows(values), depth, 2, tRNS=struct.pack(">HHH", 1, 2, 3)), np.where(hole, WHITE, values >> (depth - 8))


def with_alpha(depth: int, colour_type: int) -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2**depth, (SIDE, SIDE, 2 if colour_type == 4 else 4))
    high = values >> (depth - 8)
    return png(rows(values), depth, colour_type), on_white(high[..., :-1], high[..., -1:])


def palette(depth: int) -> tuple[bytes, np.ndarray]:
    values, colours = grey(depth), RANDOM.integers(0, 256, (2**depth, 3))
    alphas = np.full(2**depth, 255)
    alphas[:2] = (90, 0)
    chunks = {"PLTE": colours.astype(np.uint8).tobytes(), "tRNS": bytes([90, 0])}
    return png(values, depth, 3, **chunks), on_white(colours[values], alphas[values][..., np.newaxis])


def deep_tiff(order: str, photometric: int) -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2**16, (SIDE, SIDE))
    shown = values >> 8
    body = values.astype(f"{order}u2").tobytes()
    return tiff(body, order, bits=16, photometric=photometric), shown if photometric else WHITE - shown


def twelve_bits() -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2**12, (SIDE, SIDE))
    bits = (values[..., np.newaxis] >> np.arange(12)[::-1]) & 1
    return tiff(np.packbits(bits.reshape(-1).astype(np.uint8)).tobytes(), "<", bits=12, photometric=1), values >> 4


def turned_tiff() -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2**16, (SIDE, SIDE))
    body = values.astype("<u2").tobytes()
    return tiff(body, "<", bits=16, photometric=1, orientation=6), np.rot90(values >> 8, -1)


def deep_pgm() -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2**16, (SIDE, SIDE))
    return f"P5 {SIDE} {SIDE} 65535\n".encode() + values.astype(">u2").tobytes(), values >> 8


def bilevel_pbm() -> tuple[bytes, np.ndarray]:
    values = RANDOM.integers(0, 2, (SIDE, SIDE))  # 1 is black
    return f"P4 {SIDE} {SIDE}\n".encode() + np.packbits(values.astype(np.uint8), axis=1).tobytes(), WHITE * (1 - values)


CASES: dict[str, Callable[[], tuple[bytes, np.ndarray]]] = {
    **{f"grey of {depth} bits, one transparent": lambda depth=depth: grey_key(depth) for depth in (1, 2, 4, 8, 16)},
    **{f"colour of {depth} bits, one transparent": lambda depth=depth: colour_key(depth) for depth in (8, 16)},
    **{f"grey of {depth} bits with alpha": lambda depth=depth: with_alpha(depth, 4) for depth in (8, 16)},
    **{f"colour of {depth} bits with alpha": lambda depth=depth: with_alpha(depth, 6) for depth in (8, 16)},
    **{f"palette of {depth} bits with alpha": lambda depth=depth: palette(depth) for depth in (1, 2, 4, 8)},
    "TIFF of 16 bits": lambda: deep_tiff("<", 1),
    "TIFF of 16 bits, upper byte first": lambda: deep_tiff(">", 1),
    "TIFF of 16 bits, 0 white": lambda: deep_tiff("<", 0),
    "TIFF of 12 bits": twelve_bits,
    "TIFF of 16 bits on its side": turned_tiff,
    "PGM of 16 bits": deep_pgm,
    "PBM": bilevel_pbm,
}


def decoded(path: Path, channels: int = 3) -> np.ndarray:
    """(h, w, c) as integers."""
    return decode_files([path], ImageShape(channels, SIDE, SIDE))[0].transpose(1, 2, 0).astype(int)


@pytest.mark.parametrize("case", CASES)
def test_values_and_transparency(tmp_path: Path, case: str) -> None:
    content, expected = CASES[case]()
    path = tmp_path / "image.png"
    path.write_bytes(content)
    expected = np.broadcast_to(expected.reshape(SIDE, SIDE, -1), (SIDE, SIDE, 3))
    assert np.abs(decoded(path) - expected).max() <= 1
    luma = expected @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoded(path, 1)[..., 0] - luma).max() <= 2


@pytest.mark.parametrize(
    ("mode", "suffix", "value", "expected"),
    [
        ("CMYK", "tif", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", "tif", (76, 85, 255), (254, 0, 0)),  # BT.601, as JPEG has it
        ("LAB", "tif", (255, 128, 128), (255, 255, 255)),  # lightness 100, a and b 0
        ("LA", "png", (100, 0), (255, 255, 255)),
        ("LA", "tif", (100, 255), (100, 100, 100)),
        ("RGBA", "webp", (9, 9, 9, 0), (255, 255, 255)),
        ("PA", "png", None, (255, 255, 255)),
        ("1", "tif", 1, (255, 255, 255)),
        ("P", "gif", 0, (0, 0, 0)),
    ],
)
def test_modes_that_pillow_writes(
    tmp_path: Path, mode: str, suffix: str, value: Any, expected: tuple[int, int, int]
) -> None:
    path = tmp_path / f"image.{suffix}"
    if value is None:
        Image.new("RGBA", (SIDE, SIDE), (1, 2, 3, 0)).quantize(2).save(path)
    else:
        image = Image.new(mode, (SIDE, SIDE), value)
        if mode == "P":
            image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(path)
    assert np.abs(decoded(path) - np.array(expected)).max() <= 2
    assert np.abs(decoded(path, 1) - np.array(expected) @ [0.299, 0.587, 0.114]).max() <= 3


def test_the_first_picture_of_a_gif_is_taken(tmp_path: Path) -> None:
    first, second = (Image.new("L", (SIDE, SIDE), value) for value in (40, 200))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert decoded(tmp_path / "moving.gif").mean() == 40


@pytest.mark.parametrize(("bits", "kind"), [(32, "f4"), (32, "u4"), (32, "i4"), (16, "i2")])
def test_greys_whose_white_nobody_knows_are_refused(tmp_path: Path, bits: int, kind: str) -> None:
    formats = {"u": 1, "i": 2, "f": 3}
    path = tmp_path / "image.tif"
    body = np.full((SIDE, SIDE), 1, f"<{kind}").tobytes()
    path.write_bytes(tiff(body, "<", bits=bits, photometric=1, format=formats[kind[0]]))
    with pytest.raises(DataError, match=rf"^{path}: cannot be read as an image \(.*white is not known") as failure:
        decoded(path)
    assert "\n" not in str(failure.value)


def test_broken_metadata_is_no_matter(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Cameras write it, and Pillow warns of it."""
    path = tmp_path / "image.jpg"
    entry = struct.pack("<HHII", 0x010F, 2, 400, 4000)  # a name that lies behind the end
    Image.new("L", (SIDE, SIDE), 100).save(path, exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry)
    assert decoded(path).mean() == 100
    assert not recwarn.list
