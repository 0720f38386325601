"""Adding is small: an evaluation is a folder, an objective a file, a metric a column and the line that computes it.

The package's files are linked into another folder with those additions beside them; no other file is changed there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.jobs import raw_job

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = '''"""Brightness of samples."""

from typing import ClassVar, Literal

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.store.columns import FLOAT, INT, Column


class Brightness(Evaluation):
    """Mean of all pixels of samples."""

    keys: ClassVar = ("sample",)
    columns = (
        Column("sample", INT, "", "number of the sample"),
        Column("brightness", FLOAT, "", "mean of its pixels, in [-1, 1]"),
    )

    kind: Literal["brightness"] = "brightness"
    samples: int = Field(4, ge=1, le=1000)
    """generated images"""

    def shards(self, trial):
        """One."""
        return 1
'''
COMPUTE = '''"""Brightness of samples, computed."""

import torch

from orchestrator.evaluations.evaluation import ShardResult


def compute(settings, model, shard):
    """A row a sample."""
    source = torch.Generator().manual_seed(settings.seed)
    latents = torch.randn(settings.samples, model.settings.latent_dim, generator=source)
    means = model.generator(latents).mean(dim=(1, 2, 3)).tolist()
    return ShardResult([{"sample": number, "brightness": mean} for number, mean in enumerate(means)])
'''
OBJECTIVE = '''"""Scores as they are, and how far apart they lie."""

from typing import ClassVar, Literal

import torch

from orchestrator.objectives.adversarial import Adversarial


class PlainScores(Adversarial):
    """D raises real scores and lowers generated ones; G raises them."""

    kind: Literal["plain_scores"]
    state_metrics: ClassVar = ("score_margin",)

    def discriminator(self, real, fake, update):
        """Mean generated score minus mean real score."""
        return fake.scores.mean() - real.scores.mean()

    def generator(self, fake, real, update):
        """Minus the mean score."""
        return -fake.scores.mean()

    def initial_state(self):
        """Nothing is known of the margin yet."""
        return {"score_margin": torch.zeros(())}

    def next_state(self, update, real, fake):
        """The margin between the scores of this step."""
        return {"score_margin": real.mean() - fake.mean()}
'''
COLUMN = """\
    _measure("score_margin", "", "mean real score minus mean generated score; null otherwise", "score margin"),
"""
SECTION = '''"""Brightness of samples."""

from orchestrator.report.blocks import Section, Text
from orchestrator.report.measured import measured_table

ORDER = 61


def build(study):
    """None where it was not computed."""
    cells = study.evaluation("brightness")
    table = measured_table(cells, "Brightness", "brightness-note", {"brightness": "mean pixel"})
    if table is None:
        return None
    return Section("brightness", "Brightness", "Brightness", (Text("Means.", "notes", "brightness-note"), table))
'''
JOB = raw_job(
    "additions",
    data={"max_images": 160},
    objective={"kind": "plain_scores"},
    training={"epochs": 1, "batch_size": 40},
    evaluate=[{"kind": "brightness", "samples": 3}],
)
COMMANDS = (
    ["validate", "job.yaml"],
    ["plan", "job.yaml"],
    ["submit", "job.yaml"],
    ["results", "additions", "--evaluation", "brightness", "--csv", "brightness.csv"],
    ["results", "--schema"],
)
RUN = """
import contextlib, io, json, sys
from orchestrator.cli.main import main

outputs = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["orch", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, arguments
    outputs.append(out.getvalue())
print(json.dumps(outputs))
"""
"""All commands in one process, which takes longer to import the package than most of them take."""


def linked(source: Path, target: Path, *real: str) -> None:
    """Links to everything in a folder, but folders of ``real`` and those above them are folders with links in them."""
    target.mkdir()
    for path in source.iterdir():
        below = [name.partition("/")[2] for name in real if name.partition("/")[0] == path.name]
        if below and path.is_dir():
            linked(path, target / path.name, *filter(None, below))
        elif path.name != "__pycache__":
            (target / path.name).symlink_to(path)


@pytest.fixture(scope="module")
def ran(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of the commands, and what each wrote to stdout."""
    folder = tmp_path_factory.mktemp("additions")
    package = folder / "package" / "orchestrator"
    package.parent.mkdir()
    linked(root / "orchestrator", package, "evaluations", "objectives", "store", "report/sections")
    (package / "evaluations" / "brightness").mkdir()
    for name, text in (("__init__", ""), ("settings", SETTINGS), ("compute", COMPUTE)):
        (package / "evaluations" / "brightness" / f"{name}.py").write_text(text)
    (package / "objectives" / "plain_scores.py").write_text(OBJECTIVE)
    (package / "report" / "sections" / "brightness.py").write_text(SECTION)
    columns = (package / "store" / "columns.py").read_text()
    (package / "store" / "columns.py").unlink()
    begin = "TRAINING_METRICS: tuple[Column, ...] = (\n"
    assert begin in columns
    (package / "store" / "columns.py").write_text(columns.replace(begin, begin + COLUMN))
    work = folder / "work"
    work.mkdir()
    (work / "job.yaml").write_text(json.dumps(JOB))
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "COLUMNS": "200"}
    command = [sys.executable, "-c", RUN, json.dumps(COMMANDS)]
    process = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    outputs = json.loads(process.stdout)
    names = [command[0] if command[1] != "--schema" else "schema" for command in COMMANDS]
    return work, dict(zip(names, outputs, strict=True))


@pytest.mark.slow
def test_an_evaluation_is_a_folder(ran: tuple[Path, dict[str, str]]) -> None:
    work, outputs = ran
    assert "brightness" in outputs["plan"] or "evaluation" in outputs["plan"]
    rows = pd.read_parquet(work / "results" / "additions" / "evaluations" / "brightness")
    assert sorted(rows["sample"]) == [0, 1, 2]
    assert rows["brightness"].between(-1, 1).all()
    assert len(pd.read_csv(work / "brightness.csv")) == 3
    assert "evaluations/brightness/*.parquet" in outputs["schema"]
    assert "mean of its pixels, in [-1, 1]" in " ".join(outputs["schema"].split())
    page = (work / "results" / "additions" / "report" / "index.html").read_text()
    assert '<section id="brightness"' in page
    assert "mean pixel" in page


@pytest.mark.slow
def test_an_objective_is_a_file_and_a_metric_a_column_and_its_line(ran: tuple[Path, dict[str, str]]) -> None:
    work, outputs = ran
    metrics = pd.read_parquet(work / "results" / "additions" / "metrics")
    trials = pd.read_parquet(work / "results" / "additions" / "trials")
    assert metrics["score_margin"].notna().all()
    assert trials["objective.kind"].tolist() == ["plain_scores"]
    assert trials["score_margin"].notna().all()
    assert "score_margin" in outputs["schema"]
