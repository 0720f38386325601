"""Both kinds of storage, for the tests of what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.store.local import LocalStore
from orchestrator.store.s3 import S3Store

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.location import Store


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty storage: a folder, and (slow) a prefix on an S3 server."""
    if request.param == "local":
        return LocalStore(tmp_path / "root")
    return S3Store(request.getfixturevalue("s3_bucket"), "some/prefix")
