"""Pixels of any mode that Pillow reads, as 8-bit grey or RGB on white."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY_STEPS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies packed greys with as it reads them; it leaves the grey that is transparent as it was."""

TIFF_BITS, TIFF_PHOTOMETRIC = 258, 262
WHITE_IS_ZERO = 0


def flattened(image: Image.Image, file: IO[bytes], mode: Literal["L", "RGB"]) -> Image.Image:
    """An image that was opened from ``file`` in ``mode``, upright, and on white where it is transparent.

    Values of 16 bits become their upper 8. Raises ValueError where it is not known which value is white.
    """
    # reading the pixels forgets how they were stored
    stored = _stored_as(image)
    key = image.info.get("transparency")
    if key is not None and stored in GREY_STEPS:
        image.info["transparency"] = key * GREY_STEPS[stored]
    upright = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _of_deep_grey(upright, _grey_bits(image), key, inverted=_white_is_zero(image)).convert(mode)
    if key is not None and stored == "RGB;16B":
        return _on_white(upright, _has_colour(upright, file, key)).convert(mode)
    return _on_white(upright).convert(mode)


def _stored_as(image: Image.Image) -> str:
    """Pillow's name for the layout of pixels in the file, such as ``RGB;16B``; empty where it has none."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _white_is_zero(image: Image.Image) -> bool:
    """Pillow turns such TIFF files over if they have 8 bits, and leaves those of 16 as they are."""
    return image.format == "TIFF" and image.tag_v2.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]


def _grey_bits(image: Image.Image) -> int:
    """Bits of a grey value, at most 16."""
    if image.format == "TIFF":
        bits = int(image.tag_v2.get(TIFF_BITS, (0,))[0])  # type: ignore[attr-defined]
        if image.mode.startswith("I;16") and 8 <= bits <= 16:
            return bits
    elif image.mode.startswith("I"):
        return 16  # PNG, and PPM, which Pillow scales to 16 bits
    raise ValueError("greys that are fractions, signed or of 32 bits, whose white is not known; save 8 or 16 bits")


def _of_deep_grey(image: Image.Image, bits: int, key: int | None, *, inverted: bool) -> Image.Image:
    """The upper 8 bits: Pillow clips to 8 bits when it converts, which leaves a white image."""
    values = np.asarray(image).astype(np.int64)
    greys = values >> (bits - 8)
    if inverted:
        greys = 255 - greys
    if key is not None:
        greys = np.where(values == key, 255, greys)
    return Image.fromarray(greys.astype(np.uint8))


def _has_colour(upright: Image.Image, file: IO[bytes], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where a PNG file of 16 bits has that very colour; Pillow keeps the upper 8 and so finds it nowhere."""
    file.seek(0)
    with Image.open(file, formats=["PNG"]) as again:
        # read as if the lower byte came last, which makes it the upper one
        again.tile = [(*tile[:3], "RGB;16L") for tile in again.tile]  # type: ignore[misc]
        lower = np.asarray(ImageOps.exif_transpose(again)).astype(np.int64)
    values = np.asarray(upright).astype(np.int64) << 8 | lower
    return np.asarray((values == np.array(colour)).all(axis=2))


def _on_white(image: Image.Image, transparent: NDArray[np.bool_] | None = None) -> Image.Image:
    """``image`` laid on white by its alpha, or where it is said to be transparent."""
    if transparent is not None:
        pixels = np.asarray(image).copy()
        pixels[transparent] = 255
        return Image.fromarray(pixels)
    if image.mode in ("La", "RGBa"):  # colours that are multiplied with alpha have one way only
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
        return image.convert("RGB")
    # LAB has no way to grey but this one
    return image.convert("RGB") if image.mode == "LAB" else image
