"""What is computed with a trained generator, one kind a file; a new file here is a new ``kind`` under ``evaluate``."""

import sys
from typing import TYPE_CHECKING

from orchestrator.evaluate.evaluation import Evaluation
from orchestrator.settings import union_of_kinds

if TYPE_CHECKING:
    AnyEvaluation = Evaluation
else:
    AnyEvaluation = union_of_kinds(sys.modules[__name__], Evaluation, tag="kind")

__all__ = ["AnyEvaluation", "Evaluation"]
