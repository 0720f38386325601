"""Pages of studies of the latent space: what was restored, and which ways were walked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.data.corruptions import GaussianNoise, Holes
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.interpolation.settings import Interpolation
from orchestrator.evaluations.restoration.settings import Restoration
from orchestrator.report.pictures import Album
from orchestrator.report.sections.interpolation import build as build_interpolation
from orchestrator.report.sections.interpolation import path_table, strips
from orchestrator.report.sections.restoration import restoration_tables, restored_images
from orchestrator.study import load_study
from tests.report.tables import EMPTY, column, heads, shows, words

if TYPE_CHECKING:
    from collections.abc import Callable

GRID = {"model.width": [16, 64], "training.seed": [0, 1]}
RESTORATION = Restoration(images=3, norms=("l1", "l2"), corruptions=(GaussianNoise(), Holes()))
INTERPOLATION = Interpolation(pairs=4)


def png(height: int = 20, width: int = 30, shade: int = 99) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width), shade, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def of_restoration(trial: int, evaluation: Restoration = RESTORATION) -> list[ShardResult]:
    """A shard a corruption; L2 is best for noise and L1 for holes, more so in later trials."""
    shards = []
    for corruption in evaluation.corruptions:
        noise = corruption.kind == "gaussian_noise"
        masks = evaluation.masks[:1] if noise else evaluation.masks
        searches = [("search", norm, mask) for mask in masks for norm in evaluation.norms]
        rows = []
        for image in range(3):
            for method, norm, mask in [
                ("corrupted", None, None), *searches, ("total_variation" if noise else "biharmonic", None, None)
            ]:  # fmt: skip
                worse = {"corrupted": 4, "search": 1 if (norm == "l2") == noise else 2}.get(method, 3)
                mse = 0.01 * worse / (1 + trial) + 0.001 * image
                rows.append(
                    {"image_id": image, "corruption": corruption.name, "method": method, "norm": norm, "mask": mask,
                     "mse": mse, "psnr": -10 * np.log10(mse), "ssim": 0.5, "mse_touched": 2 * mse,
                     "ring_excess": None if noise or method != "search" else 3 * mse,
                     "far_excess": None if noise or method != "search" else -mse,
                     "class_kept": None if image == 2 else int(image == 0), "classifier": "0123456789abcdef"}
                )  # fmt: skip
        shards.append(ShardResult(rows, pictures={corruption.name: png()}))
    return shards


def of_interpolation(trial: int) -> ShardResult:
    rows = [
        {
            "pair": pair,
            "first_id": pair,
            "second_id": 9 - pair,
            "first_label": 4,
            "second_label": 9 if pair % 2 else 4,
            "alike": pair % 2 == 0,
            "way": way,
            "features": "classifier:0123456789abcdef",
            "path_length": 10.0 + trial + pair,
            "detour": 1.5,
            "largest_step": 3.0,
            "classes": "9-7-4" if pair % 2 else "4",
            "third_classes": pair % 2,
            "ends_mse": 0.01,
        }
        for way in ("linear", "spherical")
        for pair in range(4)
    ]
    return ShardResult(rows, {"points": []}, {"linear": png(), "spherical": png()})


@pytest.fixture
def latent(study: Any) -> Any:
    study.steps = 100
    study.job(GRID)
    ids = study.grid(GRID, samples=())
    for place, trial in enumerate(ids):
        for shard, found in enumerate(of_restoration(place)):
            study.evaluated(trial, RESTORATION, found, shard)
        study.evaluated(trial, INTERPOLATION, of_interpolation(place))
    return study


class TestRestoration:
    def test_cells_equal_pandas_and_the_best_of_a_row_is_marked(self, latent: Any) -> None:
        overall, _ = restoration_tables(load_study(latent.store))
        assert heads(overall) == ["width", "corruption", "seeds", "images", "as corrupted", "classical", "l1", "l2"]
        assert [words(row, 2) for row in overall.rows] == [
            ("16", "gaussian_noise"), ("16", "holes_grey"), ("64", "gaussian_noise"), ("64", "holes_grey"),
        ]  # fmt: skip
        assert [[cell.strong for cell in row.cells[4:]].index(True) for row in overall.rows] == [3, 2, 3, 2]
        rows = pd.read_parquet(f"{latent.store.uri}/evaluations/restoration")
        rows = rows.merge(pd.read_parquet(f"{latent.store.uri}/trials")[["trial_id", "model.width"]], on="trial_id")
        own = rows[(rows["model.width"] == 64) & (rows["corruption"] == "holes_grey") & (rows["norm"] == "l1")]
        cell = column(overall, "l1")[3]
        assert shows(cell, own.groupby("trial_id")["psnr"].mean())
        assert (
            cell.small[-1]
            == f"MSE {own.groupby('trial_id')['mse'].mean().mean():#.4g}, SSIM 0.5000, class kept 50\N{NO-BREAK SPACE}%"
        )
        assert words(overall.rows[3], 4)[2:] == ("2", "3")

    def test_parts_of_images_that_are_not_there_have_no_row(self, latent: Any) -> None:
        _, parts = restoration_tables(load_study(latent.store))
        assert [words(row, 3)[1:] for row in parts.rows if row.cells[0].words == "16"] == [
            ("gaussian_noise", "all pixels"),
            ("gaussian_noise", "corrupted pixels"),
            ("holes_grey", "all pixels"),
            ("holes_grey", "corrupted pixels"),
            ("holes_grey", "ring around holes, excess"),
            ("holes_grey", "far from holes, excess"),
        ]
        whole, _, ring, far = parts.rows[2:6]
        assert [row.cells[3:5] for row in (ring, far)] == [(EMPTY, EMPTY)] * 2  # no searches
        for all_pixels, near, beyond in zip(whole.cells[5:], ring.cells[5:], far.cells[5:], strict=True):
            assert (near.value, beyond.value) == pytest.approx((3 * all_pixels.value, -all_pixels.value))

    def test_masks_are_columns_and_other_settings_rows(self, latent: Any) -> None:
        both = RESTORATION.model_copy(update={"masks": ("known", "unknown")})
        longer = RESTORATION.model_copy(update={"steps": 900})
        for evaluation in (both, longer):
            for shard, found in enumerate(of_restoration(0, evaluation)):
                latent.evaluated(latent.rows[0]["trial_id"], evaluation, found, shard)
        overall, _ = restoration_tables(load_study(latent.store))
        assert heads(overall)[:2] == ["width", "steps"]
        assert heads(overall)[-4:] == ["l1 (mask known)", "l2 (mask known)", "l1 (mask unknown)", "l2 (mask unknown)"]
        assert [words(row, 2) for row in overall.rows[::2]] == [("16", "500"), ("16", "900"), ("64", "500")]
        noise, holes = overall.rows[:2]
        assert [cell == EMPTY for cell in noise.cells[-2:]] == [True, True]
        assert [cell == EMPTY for cell in holes.cells[-2:]] == [False, False]
        # the same was computed twice for the first trial: it counts once
        assert noise.cells[3].words == "2"
        rows = pd.read_parquet(f"{latent.store.uri}/evaluations/restoration").drop_duplicates(
            ["trial_id", "image_id", "corruption", "method", "norm", "mask"]
        )
        own = rows[rows["trial_id"].isin([row["trial_id"] for row in latent.rows[:2]])]
        own = own[(own["corruption"] == "gaussian_noise") & (own["norm"] == "l1")]
        assert shows(noise.cells[7], own.groupby("trial_id")["psnr"].mean())

    def test_a_panel_is_of_the_first_seed_and_says_what_its_rows_are(self, latent: Any) -> None:
        album = restored_images(load_study(latent.store))
        assert (album.left_out, album.problems) == (0, [])
        assert [picture.trial_id for picture in album.pictures] == [
            latent.rows[place]["trial_id"] for place in (0, 0, 2, 2)
        ]
        assert album.pictures[0].alt == (
            "gaussian_noise, width = 16: 3 held-out images; rows from above: clean, corrupted, l1 (mask known), l2 "
            "(mask known) and total variation."
        )

    def test_nothing_restored_is_no_table(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        loaded = load_study(study.store)
        assert [table.rows for table in restoration_tables(loaded)] == [(), ()]
        assert restored_images(loaded).pictures == []


class TestInterpolation:
    def test_likes_and_unlikes_are_rows_of_each_way(self, latent: Any) -> None:
        study = load_study(latent.store)
        table = path_table(study)
        assert table is not None
        assert heads(table) == [
            "width", "way", "ends", "seeds", "pairs", "path length", "detour", "largest step", "MSE of the ends",
            "with a third class",
        ]  # fmt: skip
        assert [words(row, 5) for row in table.rows[:4]] == [
            ("16", "linear", "of one class", "2", "2"),
            ("16", "linear", "of two classes", "2", "2"),
            ("16", "spherical", "of one class", "2", "2"),
            ("16", "spherical", "of two classes", "2", "2"),
        ]
        # pairs 1 and 3 of trials 0 and 1: means 12 and 13
        assert shows(column(table, "path length")[1], pd.Series([12.0, 13.0]))
        assert [cell.value for cell in column(table, "with a third class")[:2]] == [0.0, 1.0]
        section = build_interpolation(study)
        assert section is not None
        assert "classifier 0123456789abcdef" in section.blocks[0].words  # type: ignore[union-attr]

    def test_strips_tell_the_classes_met(self, latent: Any) -> None:
        album = strips(load_study(latent.store))
        assert [picture.title for picture in album.pictures] == [
            f"{way}, width = {width}" for way in ("linear", "spherical") for width in (16, 64)
        ]
        assert album.pictures[0].alt == "linear, width = 16: 4 pairs; classes met from above: 4, 9-7-4, 4, 9-7-4."

    def test_nothing_walked_is_no_table(self, study: Any) -> None:
        study.trial({}, samples=(), metrics=False)
        loaded = load_study(study.store)
        assert path_table(loaded) is None
        assert strips(loaded).pictures == []

    def test_rows_of_a_version_without_likeness_are_left_out(self, study: Any) -> None:
        found = of_interpolation(0)
        rows = [{name: value for name, value in row.items() if name != "alike"} for row in found.rows]
        study.evaluated(
            study.trial({}, samples=(), metrics=False), INTERPOLATION, ShardResult(rows, pictures=found.pictures)
        )
        loaded = load_study(study.store)
        assert path_table(loaded) is None
        assert strips(loaded).pictures == []


class TestAlbum:
    def test_it_is_full_when_it_says_so(self, study: Any) -> None:
        study.store.write("samples/a.png", png())
        album = Album(study.store, most=2)
        for _ in range(5):
            album.add("samples/a.png", "t", "title", "alt")
        assert (len(album.pictures), album.left_out) == (2, 3)
        album.most = 100
        album.budget = len(album.pictures[0].png)
        album.add("samples/a.png", "t", "title", "alt")
        assert (len(album.pictures), album.left_out) == (2, 4)

    def test_large_pictures_are_scaled_and_bad_ones_told(self, study: Any) -> None:
        study.store.write("samples/large.png", png(2000, 500))
        study.store.write("samples/bad.png", b"\x89PNG")
        album = Album(study.store)
        for key in ("samples/large.png", "samples/bad.png", "samples/none.png", "samples/../none.png"):
            album.add(key, "t", "title", "alt")
        (large,) = album.pictures
        assert Image.open(io.BytesIO(large.png)).size == (180, 720)
        assert album.problems == [
            "samples/bad.png: not a readable PNG",
            "samples/none.png: not there, or no longer",
            "'samples/../none.png': not the name of a picture",
        ]


@pytest.mark.slow
def test_page_of_a_latent_study(latent: Any, report: Callable[[], Any]) -> None:
    latent.store.delete(RESTORATION.picture_key(latent.rows[0]["trial_id"], "holes_grey"))
    page = report()
    assert {"restoration", "interpolation"} <= set(page.ids)
    linked = [found["href"] for found in page.all("a")]
    assert {"#restoration", "#interpolation"} <= set(linked)
    assert all(link.removeprefix("#") in page.ids for link in linked)
    shown = [found["alt"] for found in page.all("img")]
    assert sum("held-out images; rows from above" in alt for alt in shown) == 3
    assert sum("classes met from above" in alt for alt in shown) == 4
    assert "not there, or no longer" in page.text("restoration")
    assert "classifier 0123456789abcdef" in page.text("interpolation")
    assert "100\N{NO-BREAK SPACE}%" in page.text_of["interpolation"]
