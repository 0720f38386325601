"""Nests of tensors, numbers and strings as bytes, and back: never code, and never damaged unnoticed."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """Bytes that ``pack`` did not make, or not these; says in a few words which."""


def pack(state: dict[str, Any]) -> bytes:
    """``state`` as bytes that ``unpack`` reads."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # torch.load tells few of the bits that a disk may lose, and passes over what follows its own data.
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
    return buffer.getvalue()


def unpack(data: bytes, what: str) -> Any:
    """What ``pack`` was given, its tensors on the CPU. Raises DamagedError, which calls it ``what``."""
    data, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise DamagedError(f"damaged {what}")
    try:
        # To the CPU, whence each part is copied to where it belongs: a GPU need not hold the state twice.
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what others wrote makes torch raise nearly anything
        raise DamagedError(f"not a {what} of this program ({type(error).__name__})") from error
