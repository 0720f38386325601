"""A job's results as one object: what the report, the command line and notebooks read."""

from orchestrator.spec.claims import ENDS
from orchestrator.spec.varying import OBJECTIVE
from orchestrator.state.ledger import ENDED
from orchestrator.study.cells import Cell, Cells, Spread, evenly
from orchestrator.study.read import load_study
from orchestrator.study.study import COLUMNS, D_STEPS, Study
from orchestrator.study.unfinished import INTERRUPTED, RUNNING, UNFINISHED

__all__ = [
    "COLUMNS",
    "D_STEPS",
    "ENDED",
    "ENDS",
    "INTERRUPTED",
    "OBJECTIVE",
    "RUNNING",
    "UNFINISHED",
    "Cell",
    "Cells",
    "Spread",
    "Study",
    "evenly",
    "load_study",
]
