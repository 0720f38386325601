"""Small jobs on digits, of which nothing is ever trained here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import Job, make_job
from orchestrator.store.local import LocalStore
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def make() -> Callable[..., Job]:
    def make(grid: dict[str, list[Any]] | None = None, **sections: Any) -> Job:
        raw = raw_job(
            model={"latent_dim": 8, "width": 4},
            objective={"kind": "non_saturating"},
            training={"epochs": 2, "batch_size": 100},
            grid=grid or None,
        )
        for name, section in sections.items():
            raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
        return make_job(raw, "job.yaml")

    return make


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "results" / "study")
