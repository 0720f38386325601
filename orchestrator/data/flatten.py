"""Conversion of any mode that Pillow reads to 8-bit grey or RGB on white."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Factor that Pillow multiplies packed greys by; it does not multiply the transparent grey."""

TIFF_BITS, TIFF_PHOTOMETRIC = 258, 262
WHITE_IS_ZERO = 0


def flattened(image: Image.Image, file: IO[bytes], mode: Literal["L", "RGB"]) -> Image.Image:
    """The image, opened from ``file``, in ``mode``: rotated by its EXIF orientation, with transparency on white.

    16-bit values become their upper 8 bits. Raises ValueError if the value of white is not known.
    """
    # Before Pillow reads the pixels, which discards their layout.
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
    """Pillow's name for the layout of pixels in the file, such as ``RGB;16B``; empty if it has none."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _white_is_zero(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF file: Pillow inverts such files of 8 bits, but not those of 16."""
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
    """The upper 8 bits: Pillow's own conversion clips to 8 bits, which gives a white image."""
    values = np.asarray(image).astype(np.int64)
    greys = values >> (bits - 8)
    if inverted:
        greys = 255 - greys
    if key is not None:
        greys = np.where(values == key, 255, greys)
    return Image.fromarray(greys.astype(np.uint8))


def _has_colour(upright: Image.Image, file: IO[bytes], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Mask of the pixels of a 16-bit PNG file with exactly that colour; Pillow's upper 8 bits cannot decide it."""
    file.seek(0)
    with Image.open(file, formats=["PNG"]) as swapped:
        # Read with the bytes swapped, so that Pillow keeps the lower one.
        swapped.tile = [(*tile[:3], "RGB;16L") for tile in swapped.tile]  # type: ignore[misc]
        lower = np.asarray(ImageOps.exif_transpose(swapped)).astype(np.int64)
    values = np.asarray(upright).astype(np.int64) << 8 | lower
    return np.asarray((values == np.array(colour)).all(axis=2))


def _on_white(image: Image.Image, transparent: NDArray[np.bool_] | None = None) -> Image.Image:
    """``image`` on white, by its alpha channel or by the mask ``transparent``."""
    if transparent is not None:
        pixels = np.asarray(image).copy()
        pixels[transparent] = 255
        return Image.fromarray(pixels)
    if image.mode in ("La", "RGBa"):  # Pillow converts colours premultiplied by alpha only to these modes
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
        return image.convert("RGB")
    # Pillow converts LAB to grey only by way of RGB.
    return image.convert("RGB") if image.mode == "LAB" else image
