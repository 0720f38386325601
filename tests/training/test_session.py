"""What a trial leaves in storage, and when."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from orchestrator.data.images import ImageShape
from orchestrator.data.ranges import from_bytes, to_bytes
from orchestrator.errors import NonFiniteLossError, StorageError
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.store.columns import METRICS, TRIALS
from orchestrator.store.local import LocalStore
from orchestrator.training.session import Session
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef"
LONG = 1e6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture
def make_session(make_trial, images, folder: Path):
    def make(**training) -> Session:
        return Session(ID, make_trial(**{"epochs": 3, "log_every": 4} | training), images, LocalStore(folder))

    return make


def finish(session: Session) -> None:
    while not session.progress.done:
        session.advance(LONG)


def written(session: Session) -> list[str]:
    """Keys that the session writes from now on, in order."""
    keys: list[str] = []
    write = session.store.write

    def noted(key: str, data: bytes, *, replace: bool = True) -> bool:
        keys.append(key)
        return write(key, data, replace=replace)

    session.store.write = noted  # type: ignore[method-assign]
    return keys


def test_a_finished_trial_leaves_these_and_no_others(make_session, folder: Path) -> None:
    finish(make_session())
    assert LocalStore(folder).keys() == [
        f"checkpoints/{ID}.pt",
        f"metrics/{ID}.parquet",
        f"samples/{ID}/epoch-0001.png",
        f"samples/{ID}/epoch-0002.png",
        f"samples/{ID}/epoch-0003.png",
    ]


def test_a_judging_autoencoder_is_shown_before_and_after(images, folder: Path) -> None:
    trial = TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"kind": "autoencoding", "latent_dim": 3, "width": 2, "code_dim": 5, "depth": 2},
            "objective": {"kind": "began", "gamma": 0.5},
            "training": {"batch_size": 4, "epochs": 1},
        }
    )
    session = Session(ID, trial, images, LocalStore(folder))
    finish(session)
    panel = np.asarray(Image.open(folder / "samples" / ID / "autoencoder-0001.png"))
    assert panel.shape == (4 * 28 + 3 * 2, 8 * 28 + 7 * 2)
    rows = [torch.from_numpy(panel[top : top + 28].copy()) for top in range(0, 4 * 30, 30)]
    row_of = [torch.stack([row[:, left : left + 28] for left in range(0, 8 * 30, 30)])[:, None] for row in rows]
    assert torch.equal(row_of[0], images[:8])
    generated = session.learner.sample(session.learner.fixed_latents[:8])
    network = session.learner.discriminator.eval()
    with torch.no_grad():
        wanted = [network.reconstruct(from_bytes(images[:8])), generated, network.reconstruct(generated)]
    for row, want in zip(row_of[1:], wanted, strict=True):
        assert (row.int() - to_bytes(want).int()).abs().max() <= 1


def test_nothing_is_written_within_an_epoch(make_session, folder: Path) -> None:
    session = make_session()
    for _ in range(4):
        session.advance(0.0)
    assert LocalStore(folder).keys() == []
    session.advance(0.0)
    assert len(LocalStore(folder).keys()) == 3


def test_new_rows_are_stored_every_ten_seconds_and_those_that_take_long_less_often(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, write_s = 100.0, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    session = make_session(epochs=2, checkpoint_every=2, samples_every=0, log_every=1)
    keys = written(session)
    noted = session.store.write

    def slow(key: str, data: bytes, *, replace: bool = True) -> bool:
        nonlocal now
        now += write_s
        return noted(key, data, replace=replace)

    session.store.write = slow  # type: ignore[method-assign]
    stored = []
    for passed, seconds in ((9.9, 0.0), (0.2, 0.0), (9.9, 0.0), (0.2, 1.0), (49.8, 0.0), (0.3, 0.0)):
        now, write_s = now + passed, seconds
        session.advance(0.0)
        stored.append(len(keys))
    assert stored == [0, 1, 1, 2, 2, 3]
    assert set(keys) == {f"metrics/{ID}.parquet"}


@pytest.mark.parametrize(("every", "epochs"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (7, [3])])
def test_samples_are_made_at_their_epochs_and_at_the_end(
    make_session, folder: Path, every: int, epochs: list[int]
) -> None:
    finish(make_session(samples_every=every))
    assert LocalStore(folder).keys("samples") == [f"samples/{ID}/epoch-{epoch:04}.png" for epoch in epochs]


@pytest.mark.parametrize(("every", "count"), [(1, 3), (2, 2), (3, 1), (9, 1)])
def test_metrics_are_written_before_each_checkpoint(make_session, every: int, count: int) -> None:
    session = make_session(checkpoint_every=every, samples_every=0)
    keys = written(session)
    finish(session)
    pair = [f"metrics/{ID}.parquet", f"checkpoints/{ID}.pt"]
    assert [key for key in keys if not key.startswith("samples")] == pair * count


def test_the_grid_shows_the_generators_images_of_the_fixed_latents(make_session, folder: Path) -> None:
    session = make_session(epochs=1)
    finish(session)
    grid = Image.open(io.BytesIO(LocalStore(folder).read(f"samples/{ID}/epoch-0001.png")))
    assert (grid.format, grid.size) == ("PNG", (8 * 30 + 2, 8 * 30 + 2))
    pixels = np.asarray(grid.convert("L")).astype(float)
    generator = session.learner.generator.eval()
    for index in (0, 7, 8, 63):
        top, left = 2 + 30 * (index // 8), 2 + 30 * (index % 8)
        image = generator(session.learner.fixed_latents[index : index + 1])[0, 0].detach().numpy()
        np.testing.assert_allclose(pixels[top : top + 28, left : left + 28], (image + 1) * 127.5, atol=0.51)


def test_colour_images_give_a_colour_grid(make_trial, folder: Path) -> None:
    trial = make_trial(epochs=1).model_copy(update={"data": SimpleNamespace(shape=ImageShape(3, 28, 28))})
    images = torch.randint(0, 256, (8, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    finish(Session(ID, trial, images, LocalStore(folder)))
    grid = Image.open(io.BytesIO(LocalStore(folder).read(f"samples/{ID}/epoch-0001.png")))
    colours = np.asarray(grid)[2:30, 2:30].reshape(-1, 3)
    assert (colours.max(axis=1) > colours.min(axis=1)).any()


def test_pandas_reads_the_metrics(make_session, folder: Path) -> None:
    session = make_session()
    finish(session)
    table = pd.read_parquet(folder / "metrics")
    assert list(table.columns) == [column.name for column in METRICS]
    assert table["trial_id"].unique().tolist() == [ID]
    assert table["step"].tolist() == [4, 8, 12, 15]
    assert table["epoch"].tolist() == [0.8, 1.6, 2.4, 3.0]
    absent = [column for column in table if table[column].isna().any()]
    of_others = ["reconstruction", "latent_penalty", "penalty_weight", "bits_per_dimension"]
    looks = ["fid", "modes", "class_kl", "diversity", "latent_ks", "latent_ks_each", "latent_cdf"]
    assert absent == ["d_penalty", "k", "m_global", "loss_ratio", *of_others, *looks]
    assert table[absent].isna().all().all()
    assert table.drop(columns=["trial_id", *absent]).to_dict("records") == session.progress.rows


def test_the_summary_is_a_part_of_the_trials_row(make_session) -> None:
    before = datetime.now(UTC)
    session = make_session()
    finish(session)
    summary = session.summary()
    dtypes = {column.name: column.dtype for column in TRIALS}
    assert set(summary) <= set(dtypes)
    assert (summary["step"], summary["epoch"], summary["resumes"], summary["device"]) == (15, 3.0, 0, "cpu")
    assert (summary["workers"], summary["precision"]) == (1, "fp32")
    assert before <= summary["started_at"] <= datetime.now(UTC)
    assert summary["started_at"].utcoffset() == timedelta(0)


def test_a_done_trial_does_nothing_more(make_session) -> None:
    finish(make_session())
    again = make_session()
    keys = written(again)
    state = again.learner.state_dict()["latents"]
    again.advance(LONG)
    assert (keys, again.progress.step, again.resumes) == ([], 15, 0)
    assert torch.equal(again.learner.state_dict()["latents"], state)


def test_each_going_on_is_counted_and_the_start_is_kept(make_session) -> None:
    session = make_session()
    started = session.started_at
    for resumes in (1, 2):
        session.advance(0.0)
        session.save()
        session = make_session()
        assert (session.resumes, session.started_at) == (resumes, started)
    finish(session)
    assert session.summary()["resumes"] == 2


def test_a_failed_trial_can_still_store_what_it_measured(make_session, folder: Path, monkeypatch) -> None:
    session = make_session()
    for _ in range(5):
        session.advance(0.0)
    original = NonSaturating.generator
    monkeypatch.setattr(NonSaturating, "generator", lambda self, *said: original(self, *said) + float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"at step 6$"):
        finish(session)
    session.save_metrics()
    assert pd.read_parquet(folder / "metrics")["step"].tolist() == [4]


def test_storage_that_fails_is_told(make_session, folder: Path) -> None:
    session = make_session()
    folder.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="study is not a folder"):
        finish(session)
