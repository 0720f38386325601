"""Every job file that comes with the project trains: each of its cells two steps, on few images, of few pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator.distributed.group import ALONE
from orchestrator.spec.job import load_job
from orchestrator.training.learners import learner_of

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

FILES = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
BATCH = 4


def small(settings: TrialSettings) -> TrialSettings:
    """The trial with a batch of a few images, of a quarter of the fish's sides, and with few of the largest maps."""
    parts = min(2, settings.training.accumulate)
    training = settings.training.model_copy(update={"batch_size": BATCH, "accumulate": parts})
    data = settings.data
    if data.name == "procedural_fish":
        data = data.model_copy(update={"height": 35, "width": 80})
    model = settings.model
    if model.kind == "residual":
        model = model.model_copy(update={"width": 8})
    return settings.model_copy(update={"training": training, "data": data, "model": model})


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_cell_of_a_job_file_makes_steps(path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    for trial in load_job(path).trials:
        if trial.settings.training.seed:
            continue
        settings = small(trial.settings)
        shape = settings.data.shape
        assert settings.model.reject(shape) is None
        images = torch.randint(0, 256, (2 * BATCH, *shape), generator=random, dtype=torch.uint8)
        learner = learner_of(settings, images, ALONE)
        # The last bias of a discriminator whose loss sees differences of scores stays what it was.
        weights = [weight for weight in (*learner.g_parameters, *learner.d_parameters) if weight.ndim > 1]
        before = [weight.clone() for weight in weights]
        # Behind a flow's last convolutions, which start at zero, nothing moves before the second step.
        for _ in range(2):
            assert learner.step().isfinite().all()
        assert not any(torch.equal(one, other) for one, other in zip(before, weights, strict=True)), trial.changes
