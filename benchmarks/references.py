"""``make references``: runs the studies that ``results/`` shows, one after the other, and writes its table of verdicts.

Each run is a job file of ``jobs/`` at a size that two processor cores can do. A run that is there costs seconds, and
one that was interrupted goes on where it was. Of a run's folder git keeps what ``orch report`` draws the page from:
everything but checkpoints and logs. Sheets of samples are kept in few colours, which no number depends on.
``benchmarks/refuted.yaml`` has a paragraph for each claim that a run refuted.

    make references                                    # or one by one: python -m benchmarks.references wae glow

MNIST, and for ``glow`` Fashion-MNIST, are to lie in ``data/`` of the checkout (``orch doctor`` says how to get them).
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console

from orchestrator.durations import duration
from orchestrator.report.claims import judge_job
from orchestrator.report.claims_table import claimed_words, effect_words, holm_words, seeds_words, verdict_words
from orchestrator.report.verdicts import Word
from orchestrator.spec.job import load_job
from orchestrator.spec.yaml_file import read_yaml_file
from orchestrator.state.files import read_job
from orchestrator.statistics.power import BEYOND
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.report.claims import Verdict
    from orchestrator.spec.job import Job

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LARGEST_MB = 5.0
"""What git keeps of a run is to stay below it."""
COLOURS, GREYS = 64, 12
"""Of the sheets of samples that git keeps."""
_LEFT_OUT = ("checkpoints", "run.json", "run.log", "bundles", "lease", "report/figures")
"""What git does not keep, see .gitignore."""

EARLIER = "An earlier run at another scale, which its `job.yaml` has."
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
            *("data={name: procedural_fish, height: 35, width: 80, images: 320}", "model.width=8"),
            *("model.max_width=32", "training.samples_every=400"),
        ),
        "fish of 35 x 80 pixels, 320 of them, width 8",
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
        lighten(RESULTS / run.job)
        failed = bool(orch("report", run.job, "--storage", str(RESULTS))) or failed
        console.print(f"{run.job}: git keeps {kept_mb(RESULTS / run.job):.1f} MB, of at most {LARGEST_MB:g}")
    (RESULTS / "README.md").write_text(readme(), encoding="utf-8")
    return int(failed)


def submit(run: Run) -> int:
    """The exit code of the study."""
    return orch("submit", f"jobs/{run.job}.yaml", *(f"--set={change}" for change in run.changes))


def orch(*arguments: str) -> int:
    """The exit code of a command in the checkout."""
    return subprocess.run([sys.executable, "-m", "orchestrator.cli", *arguments], cwd=ROOT, check=False).returncode


def lighten(folder: Path) -> None:
    """Write a run's sheets of samples in GREYS greys or COLOURS colours, those that are not yet."""
    for path in sorted(folder.glob("samples/*/*.png")):
        with Image.open(path) as image:
            if image.mode == "P":
                continue
            if image.mode == "L":
                levels = np.rint(np.asarray(image) / 255 * (GREYS - 1))
                fewer = Image.fromarray(np.rint(levels * 255 / (GREYS - 1)).astype(np.uint8))
            else:
                fewer = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        fewer.save(buffer, format="png", optimize=True)
        if buffer.tell() < path.stat().st_size:
            path.write_bytes(buffer.getvalue())


def kept_mb(folder: Path) -> float:
    """Megabytes of what git keeps of a run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    left_out = [folder / name for name in _LEFT_OUT]
    kept = (path for path in files if not any(path.is_relative_to(one) for one in left_out))
    return sum(path.stat().st_size for path in kept) / 1e6


INTRODUCTION = """\
# Reference runs

Each folder holds a job's resolved file, its rows, a sheet of samples of each trial and its report
(`report/index.html`), made by `make references` on two processor cores without a GPU, at sizes that these can do: small
networks, few images. A verdict here is one on that scale.

How to read the tables. A sentence of a source stands in quotation marks behind the claim that tests it; where a
sentence says several things, several claims do. The effect is the difference between what the claim is about and what
it is compared with, of a few a ratio, in the measure's unit, with its 95 % interval: supported means that all of the
interval is where it was claimed, refuted that none of it is, undecided either of the two answers that stand there.
Seeds are runs of the same settings from other random numbers: `5 and 5` were trained apart, `5 pairs` are of the same
five trained networks, `5` are compared with a constant. Of a claim about each of several values the row shows the one
with the least support. Each interval stands for itself; Holm's correction says what is left if all claims of the run
are to hold together. [docs/verdicts.md](../docs/verdicts.md) has the rules. FIDs are in the features of a small
classifier of the same images: they compare within one run, and with no FID that is published.
"""


def readme() -> str:
    """The text of ``results/README.md``: how it was made, what each run says, what was refuted and what is open."""
    lines, unsettled = [INTRODUCTION], []
    why = refuted()
    for run in RUNS:
        store = LocalStore(RESULTS / run.job)
        if not (RESULTS / run.job / "job.yaml").is_file():
            continue
        job = read_job(store)
        judged = judge_job(store, job)
        scale = f"{run.scale[0].upper()}{run.scale[1:]}." if is_of(run, job) else EARLIER
        lines += [
            f"## [{run.job}]({run.job}/report/index.html)",
            "",
            " ".join([scale, *(f"{notice[0].upper()}{notice[1:].rstrip('.')}." for notice in judged.notices)]),
            "",
        ]
        lines += table(judged.verdicts)
        lines += paragraphs(judged.verdicts, why.get(run.job, {}))
        unsettled += [(run.job, *row) for row in unsettled_rows(judged.verdicts, seconds_of(store))]
    return "\n".join([*lines, *unsettled_table(unsettled)])


def is_of(run: Run, job: Job) -> bool:
    """Whether the job in storage has the trials of the run."""
    planned = load_job(ROOT / "jobs" / f"{run.job}.yaml", list(run.changes))
    return {trial.id for trial in job.trials} == {trial.id for trial in planned.trials}


def refuted() -> Mapping[str, Mapping[str, str]]:
    """By run and claim, why what was claimed is not so."""
    return read_yaml_file(ROOT / "benchmarks" / "refuted.yaml")


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Markdown: each claim with the sentence of its source, its measure, verdict, interval, seeds and Holm's word."""
    rows = [
        (
            one.claim.id,
            sentence(one),
            f"`{one.compared}`" + (f" ({one.measure.unit})" if one.measure.unit else ""),
            f"**{verdict_words(one.judgement)}**",
            f"{'ratio ' if one.ratio else ''}{effect_words(one.judgement)}",
            claimed_words(one),
            seeds_words(one),
            holm_words(one),
        )
        for one in verdicts
    ]
    heads = ("claim", "sentence", "measure", "verdict", "effect, 95 % interval", "claimed", "seeds", "Holm")
    return markdown(heads, rows)


def sentence(one: Verdict) -> str:
    """The claim's own sentence, and behind it that of its source."""
    return one.claim.says + (f" *“{one.claim.source}”*" if one.claim.source else "")


def paragraphs(verdicts: Sequence[Verdict], why: Mapping[str, str]) -> list[str]:
    """Why claims are refuted, a paragraph each."""
    there = [one.claim.id for one in verdicts if one.judgement.word is Word.REFUTED]
    return [
        line for name in there if name in why for line in (f"**{name} is refuted.** {' '.join(why[name].split())}", "")
    ]


def seconds_of(store: LocalStore) -> dict[str, float]:
    """Seconds of training by trial id."""
    rows = read_table(store, "trials", ["trial_id", "train_s"]).table.to_pylist()
    return {row["trial_id"]: row["train_s"] for row in rows if row["train_s"] is not None}


def unsettled_rows(verdicts: Sequence[Verdict], seconds: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Claim, seeds, seeds needed, and how long these train one after the other, of each claim that is undecided."""
    rows = []
    for one in verdicts:
        if one.judgement.word is not Word.UNDECIDED or one.judgement.undecided == "no difference":
            continue
        needed = one.judgement.seeds_needed
        if needed is None:
            rows.append((one.claim.id, seeds_words(one), one.judgement.why, ""))
        elif needed >= BEYOND:
            rows.append((one.claim.id, seeds_words(one), "no number: the seeds show no effect at all", ""))
        else:
            rows.append((one.claim.id, seeds_words(one), f"about {needed}", duration(needed * of_a_seed(one, seconds))))
    return rows


def of_a_seed(one: Verdict, seconds: Mapping[str, float]) -> float:
    """Seconds that the trials of one seed of a claim train, on average over its seeds."""
    sides = [side for member in one.members or (one,) for side in (member.group, member.than) if side]
    trials = {trial: seed.seed for side in sides for seed in side.seeds for trial in seed.trials if trial in seconds}
    return sum(seconds[trial] for trial in trials) / len(set(trials.values()))


UNSETTLED = """\
## What two cores could not settle

The claims that are undecided for want of seeds, with the seeds a side that would decide each in 80 of 100 studies if
effect and spread are what they seem, and how long their trials would train one after the other, by the times of these
runs: some ran beside other work, and evaluations are not counted. Of few seeds both numbers are rough.
`grid.training.seed` sets the seeds; those that are there are kept.
"""


def unsettled_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Markdown; nothing where all is settled."""
    heads = ("run", "claim", "seeds", "seeds a side to settle it", "training")
    return [UNSETTLED, *markdown(heads, rows)] if rows else []


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, and an empty one."""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in cells), ""]


if __name__ == "__main__":
    sys.exit(main())
