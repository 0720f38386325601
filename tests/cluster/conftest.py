"""The files as they are."""

from __future__ import annotations

import pytest

from tests.cluster.files import Files, read_files


@pytest.fixture(scope="session")
def files() -> Files:
    """The text of every file of cluster/."""
    return read_files()
