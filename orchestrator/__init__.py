"""orch: studies of generative adversarial networks as batch jobs.

``open`` a study, ``submit`` one: docs/python.md. These are imported when they are first asked for (PEP 562), so that
``import orchestrator`` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.api import Study, Trial, submit
    from orchestrator.api import open_study as open  # noqa: A004 - as gzip.open: always written with its module
    from orchestrator.errors import OrchError

__version__ = "0.1.0"
__all__ = ["OrchError", "Study", "Trial", "__version__", "open", "submit"]

_PLACES = {
    "OrchError": ("orchestrator.errors", "OrchError"),
    "Study": ("orchestrator.api", "Study"),
    "Trial": ("orchestrator.api", "Trial"),
    "open": ("orchestrator.api", "open_study"),
    "submit": ("orchestrator.api", "submit"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = _PLACES[name]
    return getattr(import_module(module), original)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
