"""Groups of two and of three processes, started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.distributed.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def two() -> Iterator[Processes]:
    with Processes(2) as processes:
        yield processes


@pytest.fixture(scope="session")
def three() -> Iterator[Processes]:
    with Processes(3) as processes:
        yield processes


@pytest.fixture(params=[2, 3], ids=["two", "three"])
def processes(request: pytest.FixtureRequest) -> Processes:
    """Both groups in turn."""
    return request.getfixturevalue({2: "two", 3: "three"}[request.param])
