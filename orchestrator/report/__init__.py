"""Tables, figures and the page that tell what a job found; reads results only."""

from orchestrator.report.page import write_report

__all__ = ["write_report"]
