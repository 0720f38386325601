"""A made-up study of loss saturation, written as a sweep would write it."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from orchestrator.report import write_report
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import METRICS, TRIALS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.report.claimed import Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.evaluations import Evaluation
    from orchestrator.evaluations.evaluation import ShardResult
    from orchestrator.spec.job import Job

DTYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
DEFAULTS: dict[str, Any] = {
    "data.name": "mnist",
    "model.kind": "dcgan",
    "model.width": 64,
    "objective.kind": "non_saturating",
    "objective.fake_target": None,
    "training.epochs": 20,
    "training.batch_size": 128,
    "training.d_steps": 1,
    "training.g_optimizer.kind": "adam",
    "training.g_optimizer.lr": 2e-4,
    "training.d_optimizer.lr": 2e-4,
    "training.seed": 0,
}
A1_GRID = {
    "objective.kind": ["saturating", "non_saturating", "least_squares"],
    "training.d_steps": [1, 2, 3],
    "training.seed": [0, 1, 2],
}
EPOCHS = 20
STARTED = datetime(2025, 3, 4, 9, 0, tzinfo=UTC)


def sigmoid(score: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-score))


@dataclass
class Study:
    """Writes a job below ``store``; keeps the rows that it wrote, for a test to compare with."""

    store: LocalStore
    steps: int = 1400
    every: int = 10
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)

    def job(self, grid: dict[str, list[Any]] | None, **more: Any) -> None:
        job = {
            "name": "saturation_sweep",
            "description": "Does the saturating generator loss lose its gradient?",
            "data": {"name": "mnist", "root": "data"},
            "model": {"kind": "dcgan"},
            "objective": {"kind": "non_saturating"},
            **({"grid": grid} if grid else {}),
            "storage": "results",
            "provenance": {"orch": "0.1.0", "python": "3.11.2", "git_commit": "5e7fc1f"},
            **more,
        }
        self.store.write("job.yaml", yaml.safe_dump(job, sort_keys=False).encode())

    def grid(self, grid: dict[str, list[Any]], **how: Any) -> list[str]:
        """One finished trial a cell, in the grid's order; returns their ids."""
        cells = itertools.product(*grid.values())
        return [self.trial(dict(zip(grid, cell, strict=True)), **how) for cell in cells]

    def trial(
        self,
        settings: dict[str, Any],
        *,
        status: str = "finished",
        error: str | None = None,
        metrics: bool = True,
        looks: dict[int, dict[str, Any]] | None = None,
        signals: dict[str, float | None] | None = None,
        samples: tuple[int, ...] = (1, 5, 10, 15, 20),
        side: int = 28,
        trial_id: str = "",
        **changes: Any,
    ) -> str:
        position = len(self.rows)
        trial_id = trial_id or f"{position:04x}ab12cd34ef56"
        resolved = {**DEFAULTS, **settings}
        if resolved["objective.kind"] == "least_squares":
            resolved["objective.fake_target"] = 0.0
        rng = np.random.default_rng(position)
        curves = self._curves(trial_id, resolved, rng)
        for point in curves:
            point |= signals or {}
            point |= (looks or {}).get(point["step"], {})
        last = curves[-1]
        row = {
            "trial_id": trial_id,
            "job": "saturation_sweep",
            "status": status,
            "error": error,
            "error_kind": "non_finite" if status == "failed" else None,
            **{name: value for name, value in last.items() if name not in ("elapsed_s", "latent_cdf")},
            **({k: value for k, value in looks[max(looks)].items() if k != "latent_cdf"} if looks else {}),
            "train_s": last["elapsed_s"],
            "resumes": 0,
            "device": "cpu",
            "started_at": STARTED + timedelta(minutes=position),
            "ended_at": STARTED + timedelta(minutes=position + 4),
            "spec_version": 1,
            "orch_version": "0.1.0",
            "torch_version": "2.14.1",
            "git_commit": "5e7fc1f",
            **resolved,
            **changes,
        }
        self._store(row, resolved, curves if metrics else [])
        for epoch in samples:
            self.store.write(f"samples/{trial_id}/epoch-{epoch:04d}.png", sample_grid(epoch, rng, side))
        return trial_id

    def _store(self, row: dict[str, Any], resolved: dict[str, Any], curves: list[dict[str, Any]]) -> None:
        trial_id = row["trial_id"]
        self.rows.append(row)
        self.curves += curves
        dotted = [pa.field(name, DTYPES[float if value is None else type(value)]) for name, value in resolved.items()]
        write_rows(self.store, f"trials/{trial_id}.parquet", pa.schema([*schema_of(TRIALS), *dotted]), [row])
        if curves:
            write_rows(self.store, f"metrics/{trial_id}.parquet", schema_of(METRICS), curves)

    def judge(self, trial_id: str, threshold: float | None = None, evaluation_id: str = "e1", **measures: Any) -> None:
        """A row of evaluations/quality, in a file of its own as an evaluation would write several."""
        row = {
            "trial_id": trial_id,
            "evaluation_id": evaluation_id,
            "evaluation.checkpoint": "last",
            "evaluation.samples": 10_000,
            "evaluation.truncation": [0.5, 1.0],
            "truncation": threshold,
            "samples": 10_000,
            "features": "classifier:0123456789abcdef",
            **dict.fromkeys(("fid", "precision", "recall", "modes", "diversity")),
            **measures,
        }
        types = {"truncation": pa.float64(), "modes": pa.int64(), "evaluation.truncation": pa.list_(pa.float64())}
        floats = ("fid", "precision", "recall", "diversity")
        schema = pa.schema(
            [pa.field(name, pa.float64() if name in floats else types.get(name, DTYPES.get(type(value))))
             for name, value in row.items()]
        )  # fmt: skip
        part = 0 if threshold is None else round(1000 * threshold)
        key = f"evaluations/quality/{trial_id}-{evaluation_id.encode().hex():0>16}-{part:04d}.parquet"
        write_rows(self.store, key, schema, [row])

    def evaluated(self, trial_id: str, evaluation: Evaluation, found: ShardResult, shard: int = 0) -> None:
        """Store what a shard came to as a task would."""
        fixed = {
            "trial_id": trial_id,
            "evaluation_id": evaluation.id,
            "shard": shard,
            **evaluation_settings(evaluation),
        }
        for table, rows in [*found.tables.items(), ("", found.rows)]:
            schema = schema_of(evaluation_columns(type(evaluation), table))
            key = evaluation.rows_key(trial_id, shard, table)
            write_rows(self.store, key, schema, [{**fixed, **row} for row in rows])
        for name, png in found.pictures.items():
            self.store.write(evaluation.picture_key(trial_id, name), png)

    def _curves(self, trial_id: str, settings: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
        """Scores that drift apart faster the more steps the discriminator gets, and what follows from them."""
        steps = np.arange(self.every, self.steps + 1, self.every)
        kind, d_steps = settings["objective.kind"], settings["training.d_steps"]
        kind = kind if kind in ("saturating", "least_squares") else "non_saturating"
        drift = {"saturating": 3.0, "non_saturating": 1.2, "least_squares": 0.9}[kind] * d_steps
        noise = rng.normal(0, 0.25, (2, len(steps)))
        pull = 1 - np.exp(-steps / 300) + 0.1 * rng.normal()
        fake, real = -drift * pull + noise[0], drift * pull + noise[1]
        p_fake, p_real = sigmoid(fake), sigmoid(real)
        factor = {"saturating": p_fake, "non_saturating": 1 - p_fake, "least_squares": abs(fake - 1)}[kind]
        g_loss = {
            "saturating": np.log1p(-p_fake),
            "non_saturating": -np.log(p_fake),
            "least_squares": 0.5 * (fake - 1) ** 2,
        }[kind]
        columns = {
            "step": steps.tolist(),
            "epoch": (steps * EPOCHS / self.steps).tolist(),
            "d_loss": (-np.log(p_real) - np.log1p(-p_fake)).tolist(),
            "g_loss": g_loss.tolist(),
            "d_real": real.tolist(),
            "d_fake": fake.tolist(),
            "d_real_probability": p_real.tolist(),
            "d_fake_probability": p_fake.tolist(),
            "g_score_gradient": factor.tolist(),
            "g_grad_norm": (factor * np.exp(rng.normal(0, 0.2, len(steps)))).tolist(),
            "images_per_second": (2400 / d_steps + 20 * rng.normal(size=len(steps))).tolist(),
            "elapsed_s": (steps * 0.05 * d_steps).tolist(),
        }
        return [
            {"trial_id": trial_id, **dict(zip(columns, values, strict=True))}
            for values in zip(*columns.values(), strict=True)
        ]


def sample_grid(epoch: int, rng: np.random.Generator, side: int = 28, tiles: int = 8) -> bytes:
    """Rings that come out of the noise as epochs pass, as a sample grid of ``tiles`` by ``tiles`` images."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    rows = []
    for _ in range(tiles):
        radii = rng.uniform(0.3, 0.7, tiles)
        row = [np.exp(-60 * (np.hypot(x, y * rng.uniform(0.8, 1.6)) - radius) ** 2) for radius in radii]
        rows.append(np.hstack(row))
    clean = np.vstack(rows)
    noisy = clean * min(1, epoch / 10) + rng.uniform(0, 1, clean.shape) * max(0, 0.8 - epoch / 15)
    buffer = io.BytesIO()
    Image.fromarray((255 * np.clip(noisy, 0, 1)).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def a1_grid() -> dict[str, list[Any]]:
    return dict(A1_GRID)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[Job], Stored]:
    """A job of ``claimed.study`` in a folder."""
    return lambda job: Stored(tmp_path, job)


@pytest.fixture(scope="session")
def study_at() -> Callable[[Path], Study]:
    return lambda folder: Study(LocalStore(folder / "saturation_sweep"))


@pytest.fixture
def study(tmp_path: Path, study_at: Callable[[Path], Study]) -> Study:
    return study_at(tmp_path)


class Page(HTMLParser):
    """What a test asks of a page: every tag with its attributes, text by section, table cells by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.text_of: dict[str, str] = {}
        self.rows: list[tuple[str, list[tuple[str, str]]]] = []
        self._open: list[str] = []
        self._section = ""
        self._cell = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "section":
            self._section = found["id"]
        elif tag == "tr":
            self.rows.append((found.get("id", ""), []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append((found.get("data-value", ""), ""))
            self._cell = True
        if tag not in ("img", "meta", "source"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes something else"
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            return
        self.text_of[self._section] = self.text_of.get(self._section, "") + data
        if self._cell:
            value, text = self.rows[-1][1][-1]
            self.rows[-1][1][-1] = (value, text + data)

    def close(self) -> None:
        super().close()
        assert not self._open, f"never closed: {self._open}"

    def all(self, tag: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag]

    def text(self, section: str) -> str:
        return " ".join(self.text_of[section].split())


@pytest.fixture(scope="session")
def report_of() -> Callable[[Study], Page]:
    """Writes a study's report and reads the page back."""
    return lambda study: Page(study.store.read(write_report(study.store)).decode())


@pytest.fixture
def report(study: Study, report_of: Callable[[Study], Page]) -> Callable[[], Page]:
    return lambda: report_of(study)
