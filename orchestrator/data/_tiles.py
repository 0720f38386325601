"""Images side by side in one PNG file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

GAP = 2
"""White pixels between images."""


def tiled(images: Tensor) -> bytes:
    """PNG of images (rows, columns, c, h, w) in [0, 1], of 1 or 3 channels; what lies outside is clamped."""
    rows, columns, channels, height, width = images.shape
    pixels = images.clamp(0, 1).mul(255).round().byte().cpu()
    canvas = torch.full((channels, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, dtype=torch.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            canvas[:, top : top + height, left : left + width] = pixels[row, column]
    array = canvas.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.squeeze(array, 2) if channels == 1 else array).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
