from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.report.blocks import Picture
from orchestrator.report.sections import samples
from orchestrator.report.sections.samples import FRAME_SIDE, FRAMES, GRID_SIDE, sample_grids
from orchestrator.study import load_study


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, format="PNG")
    return buffer.getvalue()


def shown(study: Any) -> samples.Samples:
    return sample_grids(load_study(study.store))


def put(study: Any, trial: str, epoch: int, data: bytes) -> None:
    study.store.write(f"samples/{trial}/epoch-{epoch:04d}.png", data)


def test_last_epoch_of_the_lowest_seed_of_each_cell(study: Any) -> None:
    for d_steps in (1, 2):
        for seed in (10, 9):
            study.trial({"training.d_steps": d_steps, "training.seed": seed}, samples=(1, 12))
    found = shown(study)
    assert [(s.settings["training.d_steps"], s.seed, s.epoch) for s in found.samples] == [(1, 9, 12), (2, 9, 12)]
    want = Image.open(io.BytesIO(study.store.read(f"samples/{found.samples[0].grid.trial_id}/epoch-0012.png")))
    assert np.array_equal(found.samples[0].grid.frames[0], np.asarray(want))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.samples[0].grid.png))), np.asarray(want))


def test_a_failed_trial_is_the_last_choice(study: Any) -> None:
    study.trial({"training.seed": 0}, status="failed", samples=(1,))
    study.trial({"training.seed": 1}, samples=(1,))
    (sample,) = shown(study).samples
    assert sample.seed == 1


def test_a_damaged_picture_gives_way_to_the_epoch_before_and_is_named(study: Any) -> None:
    trial = study.trial({}, samples=(1, 2))
    whole = study.store.read(f"samples/{trial}/epoch-0002.png")
    put(study, trial, 2, whole[: len(whole) // 2])
    put(study, trial, 3, b"not a picture")
    put(study, trial, 4, b"")
    put(study, trial, 5, b"\x89PNG\r\n\x1a\n" + bytes(40))
    found = shown(study)
    assert found.samples[0].epoch == 1
    assert found.problems == tuple(
        f"samples/{trial}/epoch-{epoch:04d}.png: not a readable PNG" for epoch in (5, 4, 3, 2)
    )


def test_a_picture_that_would_fill_the_memory_is_not_opened(study: Any) -> None:
    trial = study.trial({}, samples=())
    header = io.BytesIO()
    Image.new("1", (9000, 9000)).save(header, format="PNG")
    put(study, trial, 1, header.getvalue())
    found = shown(study)
    assert found.samples == ()
    assert "9000 x 9000" in found.problems[0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_any_kind_of_png_becomes_grey_or_colour(study: Any, mode: str) -> None:
    trial = study.trial({}, samples=())
    grey = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    put(study, trial, 1, png(grey.astype(np.uint16) * 256) if mode == "I;16" else png(grey, mode))
    (sample,) = shown(study).samples
    (pixels,) = sample.grid.frames
    assert pixels.shape == ((16, 16, 3) if mode in ("P", "RGB", "RGBA") else (16, 16))
    assert pixels.dtype == np.uint8
    if mode != "1":
        assert np.array_equal(pixels[..., 0] if pixels.ndim == 3 else pixels, grey)


def test_large_grids_are_scaled_down(study: Any) -> None:
    trial = study.trial({}, samples=())
    for epoch in (1, 2):
        put(study, trial, epoch, png(np.zeros((1024, 2048, 3), np.uint8)))
    (sample,) = shown(study).samples
    assert sample.grid.frames[0].shape == (GRID_SIDE // 2, GRID_SIDE, 3)
    assert [frame.shape for frame in sample.film.frames] == [(FRAME_SIDE // 2, FRAME_SIDE, 3)] * 2


def test_a_film_has_first_and_last_epoch_and_shows_the_upper_left_quarter(study: Any) -> None:
    trial = study.trial({}, samples=())
    for epoch in range(1, 41):
        grid = np.full((64, 64), 255, np.uint8)
        grid[:32, :32] = epoch
        put(study, trial, epoch, png(grid))
    (sample,) = shown(study).samples
    assert len(sample.film.heads) == FRAMES
    assert (sample.film.heads[0], sample.film.heads[-1]) == ("epoch 1", "epoch 40")
    for head, frame in zip(sample.film.heads, sample.film.frames, strict=True):
        assert np.array_equal(frame, np.full((32, 32), int(head.removeprefix("epoch "))))


def test_one_epoch_makes_no_film(study: Any) -> None:
    study.trial({}, samples=(7,))
    assert shown(study).samples[0].film is None


def test_too_many_cells_are_counted(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "SHOWN", 2)
    monkeypatch.setattr(samples, "FILMS", 1)
    study.grid({"training.d_steps": [1, 2, 3, 4]}, samples=(1, 2))
    study.trial({"training.d_steps": 5}, samples=())
    found = shown(study)
    assert [bool(sample.film) for sample in found.samples] == [True, False]
    assert found.left_out == 2


def test_bytes_are_bounded_too(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "BUDGET", 1)
    study.grid({"training.d_steps": [1, 2, 3]}, samples=(1,))
    found = shown(study)
    assert (len(found.samples), found.left_out) == (1, 2)


def test_a_picture_has_its_frames_side_by_side() -> None:
    def strip(*frames: np.ndarray) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(Picture("a", "", "", "", frames).png)))

    frames = [np.full((5, 5), value, np.uint8) for value in (10, 20)]
    image = strip(*frames)
    assert image.shape == (5, 14)
    assert (image[:, :5] == 10).all()
    assert (image[:, 9:] == 20).all()
    assert strip(*frames, np.zeros((5, 5, 3), np.uint8)).shape == (5, 23, 3)


def test_panels_of_the_autoencoder_of_each_sample_over_the_epochs(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = study.grid({"objective.gamma": [0.3, 0.5, 0.7]}, samples=(1,))
    for epoch in range(1, 42):
        study.store.write(f"samples/{first}/autoencoder-{epoch:04d}.png", png(np.full((8, 8), epoch, np.uint8)))
    study.store.write(f"samples/{second}/autoencoder-0003.png", b"no picture")
    for epoch in (2, 9):
        study.store.write(f"samples/{third}/autoencoder-{epoch:04d}.png", png(np.full((8, 8), epoch, np.uint8)))
    found = samples.reconstructions(load_study(study.store), shown(study).samples)
    of_each = [(first, "0.3", epoch) for epoch in (1, 11, 21, 31, 41)] + [(third, "0.7", epoch) for epoch in (2, 9)]
    assert [(one.trial_id, one.title) for one in found.pictures] == [
        (trial, f"gamma = {gamma}, epoch {epoch}") for trial, gamma, epoch in of_each
    ]
    assert [int(one.frames[0][0, 0]) for one in found.pictures] == [epoch for _, _, epoch in of_each]
    assert all(one.alt.startswith(f"{one.title}: training images") for one in found.pictures)
    assert found.problems == [f"samples/{second}/autoencoder-0003.png: not a readable PNG"]
    monkeypatch.setattr(samples, "Album", partial(samples.Album, most=4))
    few = samples.reconstructions(load_study(study.store), shown(study).samples)
    assert [one.title.partition(", ")[2] for one in few.pictures] == [f"epoch {epoch}" for epoch in (1, 41, 2, 9)]


@pytest.mark.slow
def test_the_page_shows_them_only_where_there_are_any(study: Any, report: Any) -> None:
    trial = study.trial({}, samples=(1,))
    assert "Before and after" not in report().text("samples")
    study.store.write(f"samples/{trial}/autoencoder-0001.png", png(np.zeros((8, 8), np.uint8)))
    assert "Before and after" in report().text("samples")
