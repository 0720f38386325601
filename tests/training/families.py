"""Trials without a discriminator of images, small enough to train in milliseconds, alone and in storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.distributed.group import ALONE
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_checkpoint
from orchestrator.training.latent_table import load_latents
from orchestrator.training.learners import learner_of
from orchestrator.training.session import Session
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch import Tensor

ID = "0123456789abcdef"
BATCH = 4
CODED = {"kind": "encoder_decoder", "latent_dim": 3, "width": 2}
GLOW = {"kind": "glow", "levels": 2, "steps": 1, "width": 2}
TIMINGS = ("elapsed_s", "images_per_second", "window_s", "started_at", "resumes")


def trial(objective: str, *, model: dict[str, Any] | None = None, **settings: Any) -> TrialSettings:
    """Settings under an objective; ``objective_`` in front of a name sets it there, all others in ``training``."""
    own = {name.removeprefix("objective_"): value for name, value in settings.items() if name.startswith("objective_")}
    training = {name: value for name, value in settings.items() if not name.startswith("objective_")}
    networks = GLOW if objective == "likelihood" else CODED
    return TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {**networks, **(model or {})},
            "objective": {"kind": objective, **own},
            "training": {"batch_size": BATCH, **training},
        }
    )


def make(settings: TrialSettings, images: Tensor) -> Any:
    """The learner of a trial, on one process."""
    return learner_of(settings, images, ALONE)


def finish(session: Session, interruptions: Iterable[int] = (), again: Callable[[], Session] | None = None) -> Session:
    """Train to the end; after each of these steps the trial is saved, and another session goes on."""
    for step in interruptions:
        while session.progress.step < step:
            session.advance(0.0)
        session.save()
        assert again is not None
        session = again()
        assert session.progress.step == step
    while not session.progress.done:
        session.advance(1e6)
    return session


def assert_resumes_bitwise(settings: TrialSettings, images: Tensor, root: Path, differences: Any) -> None:
    """All that is computed and stored, but for times, by a trial that is interrupted in and between epochs."""
    stores = LocalStore(root / "whole"), LocalStore(root / "resumed")
    finish(Session(ID, settings, images, stores[0]))

    def again() -> Session:
        return Session(ID, settings, images, stores[1])

    assert finish(again(), (2, 5, 7), again).resumes == 3
    assert differences(*(load_checkpoint(store, ID) for store in stores), TIMINGS) == []
    assert stores[0].keys() == stores[1].keys()
    for key in stores[0].keys("samples"):
        assert stores[0].read(key) == stores[1].read(key), key
    tables = [pd.read_parquet(root / name / "metrics") for name in ("whole", "resumed")]
    one, other = (table.drop(columns=["elapsed_s", "images_per_second"]) for table in tables)
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    if settings.objective.kind == "glo":
        shape = len(images), settings.latent_dim
        first, second = (load_latents(store, ID, settings.training.epochs * 5, *shape) for store in stores)
        assert differences(first, second) == []
