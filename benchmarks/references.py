"""``make references``: runs the studies that ``results/`` shows, one after the other, and writes its table of verdicts.

Each run is a job file of ``jobs/`` at a size that two processor cores can do. A run that is there costs seconds, and
one that was interrupted goes on where it was. Of a run's folder git keeps what ``orch report`` draws the page from:
everything but checkpoints and logs.

    make references                                    # or one by one: python -m benchmarks.references wae glow

MNIST, and for ``glow`` Fashion-MNIST, are to lie in ``data/`` of the checkout (``orch doctor`` says how to get them).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from orchestrator.report.claims import judge_job
from orchestrator.report.claims_table import claims_table
from orchestrator.spec.job import load_job
from orchestrator.state.files import read_job
from orchestrator.store.local import LocalStore
from orchestrator.text import setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.spec.job import Job

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LARGEST_MB = 5.0
"""What git keeps of a run is to stay below it."""
_LEFT_OUT = ("checkpoints", "run.json", "run.log", "bundles", "lease", "report/figures")
"""What git does not keep, see .gitignore."""


EARLIER = "An earlier run at another scale, which its `job.yaml` has, without sheets of samples."
"""What is said of a run that is not made again yet."""


class Run(NamedTuple):
    """A job file with what is changed in it; ``scale`` says in words what is smaller than there."""

    job: str
    changes: tuple[str, ...]
    scale: str


RUNS = (
    Run(
        "saturation_sweep",
        (*("model.width=16", "data.max_images=2560", "training.samples_every=20", "training.measure_every=2"),),
        "width 16, 2,560 digits, 20 epochs",
    ),
    Run(
        "latent_space",
        (
            *("model.width=16", "data.max_images=5120", "training.samples_every=25"),
            *("grid.training.seed=[0, 1, 2, 3, 4]", "evaluate.0.images=128", "evaluate.0.steps=150"),
            *("evaluate.1.images=128", "evaluate.1.steps=150", "evaluate.1.encoder={steps: 1000}"),
            *("evaluate.2.images=32", "evaluate.2.restarts=2", "evaluate.2.steps=150"),
            *(
                "evaluate.3.pairs=32",
                "evaluate.3.restarts=2",
                "evaluate.3.steps=150",
                "evaluate.4.samples=2000",
                "evaluate.5.samples=2000",
            ),
        ),
        "width 16, 5,120 digits, 25 epochs; 128 images inverted, 32 restored, 32 pairs, 150 steps of a search",
    ),
    Run(
        "inverted_game",
        ("model.width=16", "data.max_images=1280", "training.batch_size=64", "training.samples_every=20"),
        "width 16, 1,280 digits, 20 epochs of batches of 64",
    ),
    Run(
        "wae",
        ("model.width=16", "data.max_images=2560", "training.samples_every=20", "evaluate.0.samples=2000"),
        "width 16, 2,560 digits, 20 epochs",
    ),
    Run(
        "families",
        (
            *("model.width=16", "data.max_images=2560", "training.samples_every=50", "training.measure_every=5"),
            *("evaluate.0.samples=2000", "evaluate.2.images=32", "evaluate.2.steps=150", "evaluate.3.steps=150"),
            "evaluate.4.steps=150",
        ),
        "autoencoders and GLO of width 16, 2,560 digits; 32 images reconstructed, 150 steps of a search",
    ),
    Run(
        "unrolled",
        (
            *("model.width=8", "data.max_images=1280", "training.batch_size=32", "training.epochs=5"),
            "training.samples_every=5",
            "grid.rhythm=[{training.g_steps: 10, training.g_optimizer.lr: 5.0e-3}]",
        ),
        "width 8, 1,280 digits, 5 epochs of batches of 32, ten updates of the generator a step",
    ),
    Run(
        "fish_began",
        (
            *("data={name: procedural_fish, height: 35, width: 80, images: 320}", "model.width=8"),
            *("model.latent_dim=64", "model.code_dim=64", "objective.lambda_k=0.05", "training.epochs=40"),
            *("training.checkpoint_every=20", "training.samples_every=40"),
        ),
        "fish of 35 x 80 pixels, width 8, 40 epochs, lambda_k 0.05 for as long a way in fewer steps",
    ),
    Run(
        "fish_relativistic",
        (
            *("data={name: procedural_fish, height: 35, width: 80, images: 80}", "model.width=8"),
            *("model.max_width=32", "training.samples_every=100"),
        ),
        "fish of 35 x 80 pixels, 80 of them, width 8",
    ),
    Run(
        "glow",
        (
            *("model.width=32", "data.max_images=1280", "training.epochs=15", "training.samples_every=15"),
            *("training.measure_every=15", "evaluate.0.images=128", "evaluate.1.samples=1000"),
        ),
        "width 32, 1,280 images, 15 epochs; needs Fashion-MNIST beside MNIST",
    ),
)


def main() -> int:
    """Run what the command line names, or all; then write the table."""
    console = Console(stderr=True)
    names = sys.argv[1:]
    if unknown := set(names) - {run.job for run in RUNS}:
        console.print(f"no reference run {', '.join(sorted(unknown))}; there are: {', '.join(run.job for run in RUNS)}")
        return 2
    failed = False
    for run in RUNS:
        if names and run.job not in names:
            continue
        console.rule(run.job)
        failed = bool(submit(run)) or failed
        console.print(f"{run.job}: git keeps {kept_mb(RESULTS / run.job):.1f} MB, of at most {LARGEST_MB:g}")
    (RESULTS / "README.md").write_text(readme(), encoding="utf-8")
    return int(failed)


def submit(run: Run) -> int:
    """The exit code of the study."""
    sets = [f"--set={change}" for change in run.changes]
    command = [sys.executable, "-m", "orchestrator.cli", "submit", f"jobs/{run.job}.yaml", *sets]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def kept_mb(folder: Path) -> float:
    """Megabytes of what git keeps of a run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    left_out = [folder / name for name in _LEFT_OUT]
    kept = (path for path in files if not any(path.is_relative_to(one) for one in left_out))
    return sum(path.stat().st_size for path in kept) / 1e6


def readme() -> str:
    """The text of ``results/README.md``: how it was made, then one row a claim of each run that is there."""
    lines = [
        "# Reference runs",
        "",
        "Each folder holds a job's resolved file, its rows, one sheet of samples a trial and its report",
        "(`report/index.html`), made by `make references` on two processor cores without a GPU, at sizes that these",
        "can do: small networks, few images. A verdict here is one on that scale. FIDs are in the features of a small",
        "classifier of the same images: they compare within one run, and with no FID that is published.",
        "",
    ]
    for run in RUNS:
        store = LocalStore(RESULTS / run.job)
        if not (RESULTS / run.job / "job.yaml").is_file():
            continue
        job = read_job(store)
        judged = judge_job(store, job)
        scale = f"{run.scale[0].upper()}{run.scale[1:]}." if is_of(run, job) else EARLIER
        lines += [f"## [{run.job}]({run.job}/report/index.html)", "", " ".join([scale, *judged.notices]), ""]
        lines += table(claims_table(judged.verdicts).to_pylist())
    return "\n".join(lines)


def is_of(run: Run, job: Job) -> bool:
    """Whether the job in storage has the trials of the run."""
    planned = load_job(ROOT / "jobs" / f"{run.job}.yaml", list(run.changes))
    return {trial.id for trial in job.trials} == {trial.id for trial in planned.trials}


def table(claims: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: the source's sentence where there is one, else the claim's, with verdict, interval and seeds."""
    lines = ["| claim | sentence | verdict | effect, 95 % interval | seeds |", "|---|---|---|---|---|"]
    for claim in claims:
        sentence = f"“{claim['source']}”" if claim["source"] else claim["says"]
        verdict = claim["verdict"] + (f": {claim['undecided']}" if claim["undecided"] else "")
        effect = "" if claim["estimate"] is None else f"{claim['effect']} {figure(claim)}"
        seeds = str(claim["group_seeds"]) + (f" and {claim['than_seeds']}" if claim["than_seeds"] else "")
        cells = (claim["claim"], sentence, verdict, effect, seeds)
        lines.append("| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def figure(claim: dict[str, Any]) -> str:
    """``-0.5 (-0.8 to -0.2), claimed below 0``."""
    estimate, low, high, bound = (setting(float(f"{claim[name]:.3g}")) for name in ("estimate", "low", "high", "bound"))
    return f"{estimate} ({low} to {high}), claimed {claim['claimed']} {bound}"


if __name__ == "__main__":
    sys.exit(main())
