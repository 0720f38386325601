"""The file of Inception's weights, which is never downloaded; without torch."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from orchestrator.errors import DataError

NAME = "weights-inception-2015-12-05-6726825d.pth"
"""The file that torch-fidelity publishes: TensorFlow's Inception of 2015, which defines FID."""
INSTALL = "pip install 'torch-fidelity>=0.4,<0.5'"
"""The requirement of the extra ``inception``; the project itself need not be on any package index."""


def weights_file() -> Path:
    """The path at which torch-fidelity, through torch.hub, keeps the file; TORCH_HOME and XDG_CACHE_HOME change it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser()
    return home / "hub" / "checkpoints" / NAME


def missing_requirements() -> str | None:
    """What this machine lacks for Inception features, with the remedy, in one line; None if it lacks nothing."""
    if importlib.util.find_spec("torch_fidelity") is None:
        return f"Inception features need torch-fidelity: {INSTALL}"
    file = weights_file()
    if not file.is_file():
        return (
            f"{file}: no such file; Inception features need these weights, which are never downloaded: put there the "
            "file of that name from torch-fidelity's releases, or take features: classifier"
        )
    return None


def read_weights() -> bytes:
    """The file's content. Raises DataError if there are ``missing_requirements`` or it cannot be read."""
    if problem := missing_requirements():
        raise DataError(problem)
    try:
        return weights_file().read_bytes()
    except OSError as error:
        raise DataError(f"{weights_file()}: cannot be read ({error.strerror})") from error
