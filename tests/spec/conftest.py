"""Job files written line by line, and the one line that each mistake in them gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import SettingsError
from orchestrator.spec.job import Job, load_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MINIMAL = {
    "name": "name: study",
    "data": "data: {name: digits}",
    "model": "model: {kind: dcgan}",
    "objective": "objective: {kind: non_saturating}",
}


def job_text(text: str) -> str:
    """The smallest job with the sections in ``text`` added or replaced; ``-key`` takes one away."""
    lines = dict(MINIMAL)
    for line in text.splitlines():
        if line.startswith("-"):
            del lines[line[1:]]
        elif line.startswith((" ", "#")):
            lines[list(lines)[-1]] += f"\n{line}"
        else:
            key = line.partition(":")[0]
            lines.pop(key, None)
            lines[key] = line
    return "\n".join(lines.values()) + "\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Job]:
    def load(text: str = "", *overrides: str) -> Job:
        """The job of ``job_text``."""
        path = tmp_path / "job.yaml"
        path.write_text(job_text(text))
        return load_job(path, overrides)

    return load


@pytest.fixture
def mistake(load: Callable[..., Job], tmp_path: Path) -> Callable[..., str]:
    def mistake(text: str = "", *overrides: str) -> str:
        """The error's text, with the file's folder left out."""
        with pytest.raises(SettingsError) as caught:
            load(text, *overrides)
        message = str(caught.value)
        assert message.isprintable(), message
        return message.replace(f"{tmp_path}/", "")

    return mistake
