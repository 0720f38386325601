"""Ranges of images: each conversion is the plain formula, and leads back."""

from __future__ import annotations

import numpy as np
import torch

from orchestrator.data.ranges import (
    from_bytes,
    signed_from_unit,
    to_bytes,
    to_unit,
    unit_from_bytes,
    unit_from_signed,
)

BYTES = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_bytes_are_spread_evenly_over_both_ranges() -> None:
    values = BYTES.numpy().astype(np.float64)
    np.testing.assert_allclose(from_bytes(BYTES), values / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(unit_from_bytes(BYTES), values / 255, atol=1e-7)
    assert (from_bytes(BYTES).dtype, unit_from_bytes(BYTES).dtype) == (torch.float32, torch.float32)


def test_every_byte_comes_back() -> None:
    assert torch.equal(to_bytes(from_bytes(BYTES)), BYTES)
    assert torch.equal(to_bytes(signed_from_unit(unit_from_bytes(BYTES))), BYTES)


def test_the_two_float_ranges_lead_to_each_other() -> None:
    signed = torch.linspace(-1, 1, 33, dtype=torch.float64)
    torch.testing.assert_close(signed_from_unit(unit_from_signed(signed)), signed)


def test_values_outside_are_clamped_in_pictures_and_keep_their_gradient_in_losses() -> None:
    outside = torch.tensor([-3.0, 0.0, 3.0], requires_grad=True)
    assert to_unit(outside.detach()).tolist() == [0.0, 0.5, 1.0]
    assert to_bytes(outside.detach()).tolist() == [0, 128, 255]
    unit_from_signed(outside).sum().backward()
    assert outside.grad is not None
    assert outside.grad.tolist() == [0.5, 0.5, 0.5]
