"""Networks, one family a file; a new file here is a new ``model.kind`` in job files."""

import sys
from typing import TYPE_CHECKING

from orchestrator.models.model import Model
from orchestrator.settings import kinds_in, union_of_kinds

if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = union_of_kinds(sys.modules[__name__], Model, tag="kind")

NETWORKS: dict[str, frozenset[str]] = {
    kind.model_fields["kind"].annotation.__args__[0]: kind.networks
    for kind in kinds_in(sys.modules[__name__], Model, tag="kind")
}
"""The networks of each kind, of generator, discriminator, encoder and flow."""

__all__ = ["NETWORKS", "AnyModel", "Model"]
