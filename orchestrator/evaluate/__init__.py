"""What is computed with a trained generator, one kind a file; a new file here is a new ``kind`` under ``evaluate``."""

import sys
from typing import TYPE_CHECKING

from orchestrator.evaluate.evaluation import Evaluation
from orchestrator.settings import kinds_in, union_of_kinds

if TYPE_CHECKING:
    AnyEvaluation = Evaluation
else:
    AnyEvaluation = union_of_kinds(sys.modules[__name__], Evaluation, tag="kind")

KINDS: dict[str, type[Evaluation]] = {
    kind.model_fields["kind"].default: kind for kind in kinds_in(sys.modules[__name__], Evaluation, tag="kind")
}
"""Every kind of evaluation by its name."""

__all__ = ["KINDS", "AnyEvaluation", "Evaluation"]
