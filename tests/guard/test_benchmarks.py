"""``make bench`` runs modules that are there."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.__main__ import BENCHMARKS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_has_a_main(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").main)
