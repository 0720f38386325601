"""What trials minimise, one family a file; a new file here is a new ``objective.kind`` in job files."""

import sys
from typing import TYPE_CHECKING

from orchestrator.objectives.objective import Objective
from orchestrator.settings import union_of_kinds

if TYPE_CHECKING:
    AnyObjective = Objective
else:
    AnyObjective = union_of_kinds(sys.modules[__name__], Objective, tag="kind")

__all__ = ["AnyObjective", "Objective"]
