"""Data sets and the batches drawn from them.

Importing this package loads no torch: a job is planned without it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.data.dataset import Dataset, Split
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.settings import kinds_in, union_of_kinds

if TYPE_CHECKING:
    AnyDataset: TypeAlias = Dataset
else:
    AnyDataset = union_of_kinds(sys.modules[__name__], Dataset, "name")

DATASETS: dict[str, type[Dataset]] = {
    kind.model_fields["name"].default: kind for kind in kinds_in(sys.modules[__name__], Dataset, tag="name")
}
"""Every kind of data set by its name."""

__all__ = ["DATASETS", "AnyDataset", "Dataset", "ImageSet", "ImageShape", "Split"]
