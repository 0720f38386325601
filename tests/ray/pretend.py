"""``orch`` on a cluster whose GPUs are pretended: Ray counts them out, and trials train on the processor."""

from dataclasses import replace
from typing import Any

from orchestrator.cli.main import main
from orchestrator.plan import plan
from orchestrator.plan.placement import Placement, place


def on_the_processor(*arguments: Any) -> Placement:
    """The placement with its GPUs, but for what torch makes of them."""
    return replace(place(*arguments), device="cpu")


if __name__ == "__main__":
    plan.place = on_the_processor
    main()
