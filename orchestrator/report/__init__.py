"""Tables, figures and the page that tell what a job found; reads results only."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.report.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    """``write_report``, imported when it is asked for: a plan asks for claims alone, and has no use for matplotlib."""
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.report.page import write_report

    return write_report
