"""Jobs whose trials do next to nothing, so that what is left is the overhead of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.plan.placement import this_machine
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event
    from orchestrator.store.location import Store


def idle_plan(trials: int, folder: str, workers: int = 1) -> tuple[Plan, Store]:
    """A plan of trials of one step on two images with the smallest networks; all results are written as ever."""
    raw = {
        "name": f"idle_{trials}_{workers}",
        "data": {"name": "digits", "max_images": 2},
        "model": {"kind": "dcgan", "latent_dim": 1, "width": 1},
        "objective": {"kind": "non_saturating"},
        "training": {"epochs": 1, "batch_size": 2},
        "grid": {"training.seed": list(range(trials))},
        "resources": {"workers": workers},
        "storage": folder,
    }
    job = make_job(raw, "benchmark")
    store = open_store(folder).child(job.header.name)
    return make_plan(job, {}, (), this_machine(), store.uri), store


class Silent:
    """A watcher that shows nothing."""

    def update(self, event: Event) -> None:
        """Nothing."""

    def evaluated(self, tally: object) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""
