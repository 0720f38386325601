"""Nested tensors, numbers and strings as bytes, and back: never code, and damage is always detected."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """Bytes that are damaged or not made by ``pack``; its text says which."""


def pack(state: dict[str, Any]) -> bytes:
    """``state`` as bytes that ``unpack`` reads."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # torch.load detects few damaged bits, and ignores what follows its own data.
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
    return buffer.getvalue()


def unpack(data: bytes, what: str) -> Any:
    """The state that ``pack`` was called with, its tensors on the CPU. Raises DamagedError, which calls it ``what``."""
    data, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise DamagedError(f"damaged {what}")
    try:
        # To the CPU, from which each part is copied to its device: so a GPU never has the state twice.
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # files of strangers make torch raise nearly anything
        raise DamagedError(f"not a {what} of this program ({type(error).__name__})") from error
