"""Studies in Python: what ``import orchestrator`` offers to notebooks and programs; see docs/python.md."""

from orchestrator.api.opening import open_study
from orchestrator.api.study import Study
from orchestrator.api.submission import submit
from orchestrator.api.trial import Trial

__all__ = ["Study", "Trial", "open_study", "submit"]
