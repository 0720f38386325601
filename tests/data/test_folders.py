"""Folders that cannot be: one line each, whatever part of the program looks first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from orchestrator.data.cache import cached
from orchestrator.data.celeba import Celeba
from orchestrator.data.folders import folder_at
from orchestrator.data.image_folder import ImageFolder
from orchestrator.data.mnist import Mnist
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.data import Dataset

NOBODY = "~no-such-user-here/x"


@pytest.mark.parametrize("data", [Mnist(root=NOBODY), Celeba(root=NOBODY), ImageFolder(root=NOBODY)])
def test_a_home_that_nobody_has(data: Dataset) -> None:
    for attempt in (lambda: data.size, data.load):
        with pytest.raises(
            DataError, match=rf"^data\.root: {NOBODY}: there is no such user's home folder, name another"
        ):
            attempt()


def test_a_cache_in_it() -> None:
    with pytest.raises(DataError, match=r"^data\.cache: ~no-such"):
        cached(NOBODY, "key", (1,), lambda: np.zeros(1, np.uint8))


def test_a_name_too_long_to_be_looked_for() -> None:
    with pytest.raises(DataError, match=r"^data\.root: .*cannot be looked at \(File name too long\)"):
        ImageFolder(root="/" + 300 * "x").load()


def test_a_home_and_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert folder_at("photos", "data.root") == tmp_path / "photos"
    assert folder_at("~/photos", "data.root") == tmp_path / "home" / "photos"
