"""Figures in less time, for tests that do not look at them."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unlaid() -> Iterator[None]:
    """Lets the parts of figures lie where they fall: to lay them out takes most of the time of a report."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.report.charts.ConstrainedLayoutEngine", lambda **_: None)
        yield


@contextmanager
def undrawn() -> Iterator[None]:
    """One pixel stands for each chart."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, format="PNG")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.report.page.chart_png", lambda _: buffer.getvalue())
        yield
