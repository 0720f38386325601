"""The bounded cache against a plain list of what was used last."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orchestrator.evaluations import cache as module
from orchestrator.evaluations.cache import Cache, cache_of_values


@pytest.mark.parametrize("room", [1, 3, 7])
def test_those_used_last_stay(room: int) -> None:
    cache, made, last = Cache(room), [], []  # type: ignore[var-annotated]
    for key in np.random.default_rng(room).integers(0, 10, 300).tolist():
        before = len(made)
        assert cache.get(key, lambda key=key: made.append(key) or -key) == -key  # type: ignore[misc]
        assert (len(made) == before) == (key in last)
        last = [other for other in last if other != key][-room + 1 :] if room > 1 else []
        last.append(key)


def test_values_take_their_bytes_and_one_without_room_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_BYTES", 1001)
    cache, made = cache_of_values(), []
    values = {
        "tensor": torch.zeros(100),  # 400 bytes
        "named": ("biharmonic", torch.zeros(50, dtype=torch.float64)),  # 400 bytes
        "classes": {3: (np.zeros(25), 0.5)},  # 200 bytes
        "large": np.zeros(126),
    }

    def use(*names: str) -> list[str]:
        made.clear()
        for name in names:
            assert cache.get(name, lambda name=name: made.append(name) or values[name]) is values[name]  # type: ignore[misc]
        return list(made)

    assert use("tensor", "named", "classes", "tensor", "named", "classes") == ["tensor", "named", "classes"]
    assert use("large", "large") == ["large", "large"]
    assert use("classes") == []
    assert use("tensor", "named", "classes") == []
