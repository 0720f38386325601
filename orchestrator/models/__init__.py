"""Pairs of networks, one family a file; a new file here is a new ``model.kind`` in job files."""

import sys
from typing import TYPE_CHECKING

from orchestrator.models.model import Model
from orchestrator.settings import union_of_kinds

if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = union_of_kinds(sys.modules[__name__], Model, tag="kind")

__all__ = ["AnyModel", "Model"]
