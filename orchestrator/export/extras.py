"""The optional packages that exports are written by."""

from __future__ import annotations

import importlib.util

from orchestrator.errors import ExportError

_INSTALL = {
    "onnx": "pip install 'gan-orch[onnx]'",
    "tensorboard": "pip install 'gan-orch[tensorboard]'",
    "mlflow": "pip install 'gan-orch[mlflow]'",
    "wandb": "pip install 'gan-orch[wandb]'",
}
"""Of each extra that an export may need."""


def require(option: str, extra: str, *modules: str) -> None:
    """Raise ExportError unless the modules of an extra of this package are installed; none is imported."""
    if missing := [module for module in modules if not is_installed(module)]:
        raise ExportError(f"{option}: needs {missing[0]}: {_INSTALL[extra]}")


def is_installed(module: str) -> bool:
    """Whether a module can be imported; what it is a part of is imported for the answer."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a package that it is part of is missing, or half taken away
        return False
