"""Whole runs on a GPU, where there is one: a cell of A1 against the CPU's numbers, and what steps take."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch

from orchestrator.data import ImageSet
from orchestrator.data.batches import to_device
from orchestrator.distributed.group import ALONE
from orchestrator.hardware import device_columns
from orchestrator.spec.job import load_job
from orchestrator.store.local import LocalStore
from orchestrator.training.cost import gpu_step_s
from orchestrator.training.learners import learner_of
from orchestrator.training.precision import auto_on_gpu
from orchestrator.training.session import Session
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from orchestrator.training.settings import TrialSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
A1 = Path(__file__).parents[2] / "jobs" / "saturation_sweep.yaml"
SMALL = ["data={name: digits}", "model.width=16", "training.epochs=8", "training.measure_every=0", "claims=[]"]
COMPARED = ["d_loss", "g_loss", "d_real_probability", "d_fake_probability", "g_score_gradient"]


def cell_of_a1(kind: str) -> tuple[str, TrialSettings]:
    """A trial of the study on scikit-learn's digits, narrow enough for a CPU."""
    chosen = [f"grid.objective.kind=[{kind}]", "grid.training.d_steps=[1]", "grid.training.seed=[0]"]
    (trial,) = load_job(A1, [*SMALL, *chosen, "training.precision=fp32"]).trials
    return trial.id, trial.settings


def windows(kind: str, device: str, folder: Path) -> pd.DataFrame:
    """The rows of metrics/ of a whole trial; batches and latent vectors are those that a CPU draws."""
    trial_id, settings = cell_of_a1(kind)
    images = settings.data.load()
    reference = learner_of(settings, to_device(images, "cpu"), ALONE)
    session = Session(trial_id, settings, to_device(images, device), LocalStore(folder))
    learner: Any = session.learner
    learner.batches.next = lambda: reference.batches.next().to(device)
    learner._draw = lambda: tuple(part.to(device) for part in reference._draw())
    while not session.progress.done:
        session.advance(1e6)
    assert session.summary()["device"] == device
    return pd.read_parquet(folder / "metrics")


@pytest.mark.parametrize("kind", ["saturating", "non_saturating", "least_squares"])
def test_a_cell_of_a1_comes_to_the_numbers_of_the_cpu(tmp_path: Path, kind: str) -> None:
    """The same to rounding at first, then as near as two orders of sums let trajectories of a GAN stay."""
    cpu, gpu = (windows(kind, device, tmp_path / device)[COMPARED] for device in ("cpu", "cuda"))
    assert len(cpu) == len(gpu) >= 8
    pd.testing.assert_frame_equal(cpu.head(1), gpu.head(1), rtol=1e-2, atol=1e-3)
    tail = len(cpu) // 2
    pd.testing.assert_series_equal(cpu.tail(tail).mean(), gpu.tail(tail).mean(), rtol=0.2, atol=0.05)


def seconds(step: Callable[[], Tensor]) -> float:
    """Median seconds of a step over five rounds of twenty, from launch to the end of its computing."""
    for _ in range(10):
        step()
    rounds = []
    for _ in range(5):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(20):
            step()
        torch.cuda.synchronize()
        rounds.append((time.perf_counter() - began) / 20)
    return statistics.median(rounds)


STEPS = [
    ({"kind": "dcgan", "width": 16}, "non_saturating", 64),
    ({"kind": "dcgan", "width": 64}, "non_saturating", 128),
    ({"kind": "dcgan", "width": 256}, "non_saturating", 256),
    ({"kind": "residual", "width": 64}, "wgan_gp", 64),
    ({"kind": "autoencoding", "width": 64}, "began", 64),
    ({"kind": "glow", "steps": 8}, "likelihood", 64),
]


@pytest.mark.parametrize(("model", "objective", "batch"), STEPS, ids=str)
def test_steps_take_about_what_a_plan_estimates_and_auto_takes_the_faster(
    model: dict[str, Any], objective: str, batch: int, record_property: Callable[[str, object], None]
) -> None:
    """The estimate is of the order of magnitude; ``auto`` may be mistaken where both take about as long."""
    found: dict[str, float] = {}
    for precision in ("fp32",) if objective == "likelihood" else ("fp32", "bf16"):
        training = {"batch_size": batch, "precision": precision}
        settings = trial_settings(model=model, objective={"kind": objective}, training=training)
        parts = settings.model, settings.objective, settings.training, settings.data.shape
        images = torch.randint(0, 256, (2 * batch, *settings.data.shape), dtype=torch.uint8)
        learner = learner_of(settings, to_device(ImageSet(images.numpy()), "cuda"), ALONE)
        found[precision] = seconds(learner.step)
        estimated = gpu_step_s(*parts, precision)
        record_property(f"{precision}_ms", round(1e3 * found[precision], 3))
        record_property(f"{precision}_estimated_ms", round(1e3 * estimated, 3))
        assert 0.1 < found[precision] / estimated < 10
    record_property("device", device_columns(torch.device("cuda")))
    assert found[auto_on_gpu(*parts)] < 1.25 * min(found.values())
