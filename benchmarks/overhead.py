"""What a trial costs that does nothing: warm workers against a plain Tune function with default settings.

Ours also builds and trains the smallest networks for one step and writes its rows, pictures and checkpoint; the plain
function only returns.
"""

from __future__ import annotations

import tempfile
import time

from benchmarks.rows import publish, row
from benchmarks.trials import Silent, idle_plan
from orchestrator.plan.placement import this_machine
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import run_sweep

TRIALS = 32


def main() -> None:
    """Run both on the same Ray, ours second and with its workers' start."""
    from ray import tune

    with tempfile.TemporaryDirectory() as folder, local_ray(this_machine()):
        began = time.perf_counter()
        tuner = tune.Tuner(
            _nothing,
            param_space={"seed": tune.grid_search(list(range(TRIALS)))},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        tuner.fit()
        plain = (time.perf_counter() - began) / TRIALS
        plan, store = idle_plan(TRIALS, folder)
        began = time.perf_counter()
        run_sweep(plan, store, [Silent()])
        ours = (time.perf_counter() - began) / TRIALS
    ratio = plain / ours
    text = f"{plain:.2f} s / {ours:.3f} s = {ratio:.1f}x"
    publish(
        row(f"overhead of one of {TRIALS} idle trials, plain Tune function / ours", text, ">= 5x", ratio >= 5),
        row(
            "overhead of one idle trial, ours, start of the workers included", f"{ours:.3f} s", "<= 0.2 s", ours <= 0.2
        ),
    )


def _nothing(config: dict[str, int]) -> dict[str, int]:
    return {"seed": config["seed"]}


if __name__ == "__main__":
    main()
