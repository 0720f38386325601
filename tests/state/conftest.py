"""The same small jobs as for plans."""

from tests.plan.conftest import make, store

__all__ = ["make", "store"]
