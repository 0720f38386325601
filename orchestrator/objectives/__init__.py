"""The objectives that trials minimise, one a file; a new file here is a new ``objective.kind`` in job files."""

import sys
from typing import TYPE_CHECKING

from orchestrator.objectives.objective import Family, Objective
from orchestrator.settings import kinds_in, union_of_kinds

if TYPE_CHECKING:
    AnyObjective = Objective
else:
    AnyObjective = union_of_kinds(sys.modules[__name__], Objective, tag="kind")

FAMILIES: dict[str, Family] = {
    kind.model_fields["kind"].annotation.__args__[0]: kind.family
    for kind in kinds_in(sys.modules[__name__], Objective, tag="kind")
}
"""The family of each kind."""

__all__ = ["FAMILIES", "AnyObjective", "Objective"]
