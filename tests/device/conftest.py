"""A pretended device for each test that wants one, and the images that trials train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.device.pretend import Pretended

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def device() -> Iterator[Pretended]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only lose by more
    try:
        with Pretended() as device:
            yield device
    finally:
        torch.set_num_threads(before)
