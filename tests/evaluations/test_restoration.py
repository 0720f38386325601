"""The kind ``restoration``: what is restored of images whose generator is known, and by what figures that is told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage
from skimage import metrics

from orchestrator.data.corruptions import Crosswalk, GaussianNoise, Holes, Pepper, Square
from orchestrator.data.images import ImageSet
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations import compute_on_host, compute_shard
from orchestrator.evaluations.cache import Cache, cache_of_values
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.evaluations.inputs.image_batch import ImageBatch, choose
from orchestrator.evaluations.restoration import compute
from orchestrator.evaluations.restoration.compute import RING_PX, edges, restore, rows_of, surroundings
from orchestrator.evaluations.restoration.settings import EVERY_CORRUPTION, Restoration
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import LATENTS, SHAPE, Affine, convolutional
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from orchestrator.data.corruptions import AnyCorruption, Corruption
    from orchestrator.training.settings import TrialSettings

TOLD = ("image_id", "label", "corruption", "method", "norm", "mask", "top", "left", "class_kept", "classifier")
SMALL: tuple[AnyCorruption, ...] = (Holes(size=3, number=2), Square(size=3))


@pytest.fixture(scope="module")
def settings() -> TrialSettings:
    return trial_settings(model={"latent_dim": LATENTS})


def held_out(count: int) -> ImageSet:
    random = np.random.default_rng(0)
    return ImageSet(random.integers(0, 256, (count, *SHAPE), np.uint8), np.arange(count) % 10)


def subject_of(settings: TrialSettings, generator: nn.Module, images: ImageSet | None = None) -> TrainedModel:
    def nobody() -> Any:
        raise AssertionError("nobody is asked to judge")

    images = held_out(10) if images is None else images
    return TrainedModel("abc", settings, generator, torch.device("cpu"), {"test": images}, None, nobody)


def search(**changes: Any) -> Restoration:
    return Restoration(**{"images": 10, "restarts": 2, "optimizer": "lbfgs", "steps": 25, "norms": ("l2",), **changes})


def made_by(generator: Affine, count: int = 4) -> ImageBatch:
    latents = torch.randn(count, LATENTS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    images = ((generator(latents) + 1) / 2).detach()
    return ImageBatch(tuple(range(20, 20 + count)), (None,) * count, images)


@pytest.mark.parametrize("corruption", [*SMALL, Pepper(), Crosswalk()], ids=lambda kind: kind.name)
def test_an_image_that_the_generator_makes_comes_back_from_what_is_left_of_it(
    settings: TrialSettings, corruption: Corruption
) -> None:
    generator = Affine()
    chosen = made_by(generator)
    restored = restore(search(), subject_of(settings, generator), chosen, corruption)
    as_it_is, found, _ = restored.attempts
    assert (as_it_is.images - chosen.images).abs().amax() > 0.1
    torch.testing.assert_close(found.images, chosen.images, rtol=0, atol=1e-6)
    assert found.losses is not None
    assert found.losses.max() < 1e-12


@pytest.mark.parametrize("corruption", [*SMALL, GaussianNoise()], ids=lambda kind: kind.name)
def test_without_the_mask_it_is_the_least_squares_of_the_corrupted_image(
    settings: TrialSettings, corruption: Corruption
) -> None:
    generator = Affine()
    chosen = made_by(generator)
    restored = restore(search(masks=("unknown",)), subject_of(settings, generator), chosen, corruption)
    everything = torch.ones_like(restored.corrupted.observed)
    expected = (generator(generator.least_squares(restored.corrupted.images, everything)) + 1) / 2
    torch.testing.assert_close(restored.attempts[1].images, expected.detach(), rtol=0, atol=1e-6)
    assert (restored.attempts[1].images - chosen.images).abs().amax() > 0.01


def test_each_norm_and_mask_is_an_attempt_and_those_that_are_the_same_are_one(settings: TrialSettings) -> None:
    generator = Affine()
    evaluation = search(norms=("l1", "l2"), masks=("known", "unknown"), steps=2)
    told = [
        [attempt[:3] for attempt in restore(evaluation, subject_of(settings, generator), made_by(generator), one)[1]]
        for one in (SMALL[0], GaussianNoise())
    ]
    searches = [("search", norm, mask) for mask, norm in product(("known", "unknown"), ("l1", "l2"))]
    assert told[0] == [("corrupted", None, None), *searches, ("biharmonic", None, None)]
    assert told[1] == [("corrupted", None, None), *searches[:2], ("total_variation", None, None)]


def test_rows_hold_the_figures_of_scikit_image(settings: TrialSettings) -> None:
    generator = convolutional()
    subject = subject_of(settings, generator, held_out(5))
    evaluation = search(images=5, steps=3, corruptions=(SMALL[0],), optimizer="adam")
    chosen = choose(evaluation, subject, 0)
    restored = restore(evaluation, subject, chosen, SMALL[0])
    rows = rows_of(subject, chosen, SMALL[0], restored)
    assert {(row["image_id"], row["method"]) for row in rows} == set(
        product(chosen.indices, ("corrupted", "search", "biharmonic"))
    )
    assert [row["label"] for row in rows[::3]] == [number % 10 for number in chosen.indices]
    for place, row in enumerate(rows):
        image, attempt = divmod(place, 3)
        clean, made = chosen.images[image, 0].numpy(), restored.attempts[attempt].images[image, 0].numpy()
        touched = restored.corrupted.touched[image, 0].numpy()
        edge = ndimage.binary_dilation(touched) & ndimage.binary_dilation(~touched)
        assert row["mse"] == pytest.approx(metrics.mean_squared_error(clean, made), rel=1e-5)
        assert row["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(clean, made, data_range=1), rel=1e-5)
        assert row["mse_touched"] == pytest.approx(metrics.mean_squared_error(clean[touched], made[touched]), rel=1e-5)
        assert row["psnr_touched"] == pytest.approx(
            metrics.peak_signal_noise_ratio(clean[touched], made[touched], data_range=1), rel=1e-5
        )
        assert row["mse_edge"] == pytest.approx(metrics.mean_squared_error(clean[edge], made[edge]), rel=1e-5)
        assert ("loss" in row) == (row["method"] == "search")


def test_structural_similarity_is_that_of_scikit_image_where_it_has_one(settings: TrialSettings) -> None:
    # of whole windows only: the touched pixels are those whose windows lie within the image
    from orchestrator.data.corruptions import Corrupted
    from orchestrator.evaluations.restoration.compute import Attempt, Restored

    random = np.random.default_rng(1)
    clean = random.random((2, 1, 20, 24))
    made = np.clip(clean + 0.2 * random.standard_normal(clean.shape), 0, 1)
    touched = torch.zeros(2, 1, 20, 24, dtype=torch.bool)
    touched[..., 5:-5, 5:-5] = True
    chosen = ImageBatch((0, 1), (None, None), torch.from_numpy(clean))
    attempt = Attempt("corrupted", None, None, torch.from_numpy(made), None)
    restored = Restored(Corrupted(attempt.images, ~touched, touched), [attempt])
    rows = rows_of(subject_of(settings, Affine()), chosen, Square(), restored)
    for row, one, other in zip(rows, clean, made, strict=True):
        expected = metrics.structural_similarity(
            one[0], other[0], data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert row["ssim_touched"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("corruption", EVERY_CORRUPTION, ids=lambda kind: kind.name)
def test_edges_are_where_two_dilations_meet(corruption: Corruption) -> None:
    touched = corruption.apply(torch.rand(6, 3, 28, 20), range(6), seed=0).touched
    for mask, edge in zip(touched[:, 0].numpy(), edges(touched)[:, 0].numpy(), strict=True):
        expected = ndimage.binary_dilation(mask) & ndimage.binary_dilation(~mask)
        assert (edge == (expected & ~expected.all())).all()
        assert edge.any() == (corruption.kind not in ("gaussian_noise", "crosswalk"))


def test_where_everything_or_nothing_is_edge_there_is_no_figure_of_it(settings: TrialSettings) -> None:
    generator = Affine()
    for corruption in (GaussianNoise(), Crosswalk()):
        chosen = made_by(generator)
        subject = subject_of(settings, generator)
        restored = restore(search(steps=1), subject, chosen, corruption)
        rows = rows_of(subject, chosen, corruption, restored)
        assert {row["mse_edge"] for row in rows} == {None}
        assert not any("ring_excess" in row for row in rows)


@pytest.mark.parametrize("corruption", [Holes(), Holes(number=1), Square(), Pepper(), GaussianNoise()], ids=str)
def test_the_ring_is_as_wide_as_scipys_chessboard_distance_says(corruption: Corruption) -> None:
    touched = corruption.apply(torch.rand(6, 3, 28, 20), range(6), seed=0).touched
    masks = [mask[:, 0].numpy() for mask in (touched, *surroundings(touched))]
    for hidden, ring, far in zip(*masks, strict=True):
        distance = ndimage.distance_transform_cdt(~hidden, "chessboard")
        near, beyond = (distance >= 1) & (distance <= RING_PX), distance > RING_PX
        some = near.any() and beyond.any()
        assert (ring == (near & some)).all()
        assert (far == (beyond & some)).all()
        assert some or corruption.kind in ("gaussian_noise", "pepper")


def test_what_a_hole_adds_around_it_is_told_from_what_the_inversion_of_the_clean_image_lacks(
    settings: TrialSettings,
) -> None:
    generator = Affine()
    evaluation, corruption = search(masks=("known", "unknown")), Holes(number=1, size=2)
    chosen = ImageBatch(
        (3, 4), (None, None), torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2)).double()
    )
    subject = subject_of(settings, generator)
    restored = restore(evaluation, subject, chosen, corruption)
    everything = torch.ones_like(restored.corrupted.observed)
    inverted = (generator(generator.least_squares(chosen.images, everything)) + 1) / 2
    rows = rows_of(subject, chosen, corruption, restored)
    for row, (place, attempt) in zip(rows, product(range(2), restored.attempts), strict=True):
        if attempt.method != "search":
            assert "ring_excess" not in row
            continue
        distance = ndimage.distance_transform_cdt(restored.corrupted.observed[place, 0].numpy(), "chessboard")
        clean, made, plain = (images[place, 0].detach().numpy() for images in (chosen.images, attempt.images, inverted))
        for name, mask in (("ring_excess", (distance >= 1) & (distance <= 2)), ("far_excess", distance > 2)):
            expected = np.square(made - clean)[mask].mean() - np.square(plain - clean)[mask].mean()
            assert row[name] == pytest.approx(expected, abs=1e-6)
            assert abs(expected) > 1e-5


def test_the_place_of_a_square_is_told(settings: TrialSettings) -> None:
    evaluation = search(images=6, steps=1, corruptions=(Square(size=3, place="random"), SMALL[0]))
    subject = subject_of(settings, Affine().float())
    squares, holes = (compute_shard(evaluation, subject, shard).rows for shard in range(2))
    assert {(row["top"], row["left"]) for row in holes} == {(None, None)}
    chosen = choose(evaluation, subject, 0)
    corrupted = evaluation.corruptions[0].apply(chosen.images, chosen.indices, 0)
    for row, place in zip(squares, np.repeat(np.arange(6), 3), strict=True):
        assert corrupted.touched[place, 0, row["top"] : row["top"] + 3, row["left"] : row["left"] + 3].all()
    assert len({(row["top"], row["left"]) for row in squares}) > 1


def test_shards_are_corruptions_of_parts_and_an_image_is_the_same_in_any_company(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.evaluations.held_out.HeldOutEvaluation.shard_images", 4)
    count = 7
    evaluation = search(images=count, steps=4, optimizer="adam", corruptions=SMALL)
    subject = subject_of(settings, convolutional(), held_out(count))
    assert evaluation.shards(settings) == 4
    found = [compute_shard(evaluation, subject, shard) for shard in range(4)]
    assert [len(one.rows) for one in found] == [12, 9] * 2
    assert [set(one.pictures) for one in found] == [{"holes_grey_number_2_size_3"}, set(), {"square_size_3"}, set()]
    assert [{row["corruption"] for row in one.rows} for one in found] == [
        {corruption.name} for corruption in SMALL for _ in range(2)
    ]
    fewer = search(images=3, steps=4, optimizer="adam", corruptions=SMALL[1:])
    for row, among in zip(compute_shard(fewer, subject, 0).rows, found[2].rows, strict=False):
        assert [row[name] for name in TOLD] == [among[name] for name in TOLD]
        assert row.keys() == among.keys()
        measured = {name for name in row.keys() - set(TOLD) if row[name] is not None}
        assert [row[name] for name in measured] == pytest.approx([among[name] for name in measured], rel=1e-4)


def test_the_picture_shows_the_first_images_a_row_an_attempt(settings: TrialSettings) -> None:
    evaluation = search(steps=1, corruptions=SMALL[:1], norms=("l1", "l2"))
    subject = subject_of(settings, Affine().float())
    (png,) = compute_shard(evaluation, subject, 0).pictures.values()
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (5 * 10 - 2, 8 * 10 - 2)  # clean, corrupted, two norms, baseline; eight images
    chosen = choose(evaluation, subject, 0)
    assert (pixels[:8, 10:18] == chosen.images[1, 0].mul(255).round().numpy()).all()
    corrupted = SMALL[0].apply(chosen.images, chosen.indices, 0).images
    assert (pixels[10:18, :8] == corrupted[0, 0].mul(255).round().numpy()).all()


def test_rows_and_settings_fit_their_columns(settings: TrialSettings, tmp_path: Path) -> None:
    from orchestrator.store.local import LocalStore

    evaluation = search(steps=1, corruptions=SMALL, images=3)
    names = [column.name for column in evaluation_columns(Restoration)]
    assert len(set(names)) == len(names)
    told = evaluation_settings(evaluation)
    assert {f"evaluation.{name}" for name in Restoration.model_fields} == set(told) <= set(names)
    assert [json.loads(text) for text in told["evaluation.corruptions"]] == [one.model_dump() for one in SMALL]
    rows = compute_shard(evaluation, subject_of(settings, Affine().float()), 0).rows
    write_rows(LocalStore(tmp_path), "a.parquet", schema_of(evaluation_columns(Restoration)), [told | {**rows[0]}])


def test_names_tell_corruptions_apart() -> None:
    names = [corruption.name for corruption in EVERY_CORRUPTION]
    assert names == ["gaussian_noise", "holes_grey", "holes_black", "pepper", "crosswalk", "square_random"]
    assert Square().name == "square"
    assert Holes(fill="black", size=4).name == "holes_black_size_4"
    assert GaussianNoise(std=0.25).name == "gaussian_noise_std_0.25"
    assert Pepper(share=0.30000001).name != Pepper().name


def test_ids_are_those_of_all_settings() -> None:
    same = Restoration.model_validate(
        {"kind": "restoration", "corruptions": [one.model_dump() for one in EVERY_CORRUPTION]}
    )
    assert same.id == Restoration().id
    changed: Sequence[dict[str, Any]] = [
        {"corruptions": SMALL},
        {"norms": ("l2",)},
        {"masks": ("known", "unknown")},
        {"restarts": 5},
        {"steps": 5},
        {"images": 5},
    ]
    assert len({Restoration().id, *(Restoration(**change).id for change in changed)}) == 7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"norms": ["l1", "l1"]}, "got l1 twice; take one out"),
        ({"corruptions": [{"kind": "holes"}, {"kind": "holes", "size": 8}]}, "got holes_grey twice; take one out"),
        ({"masks": ["known", "known"]}, "got known twice"),
        ({"norms": []}, "at least 1"),
        ({"corruptions": []}, "at least 1"),
        ({"masks": []}, "at least 1"),
        ({"restarts": 0}, "greater than or equal to 1"),
    ],
    ids=str,
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Restoration.model_validate(wrong)


def test_what_cannot_be_restored_is_told_in_one_line(settings: TrialSettings) -> None:
    assert search(corruptions=SMALL).reject(settings) is None
    assert search(corruptions=(Square(size=29),)).reject(settings) == (
        "corruptions: square: 29x29 pixels do not fit into images of 28x28; lower size to 28 or less"
    )
    with pytest.raises(DataError, match="restoration: images: got 11, but the held-out images of digits are 10"):
        compute_shard(search(images=11, corruptions=SMALL), subject_of(settings, Affine().float()), 0)
    broken = Affine().float()
    torch.nn.init.constant_(broken.bias, torch.nan)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(search(corruptions=SMALL, steps=1), subject_of(settings, broken), 0)


def test_what_trials_or_corruptions_share_is_computed_once_and_changes_nothing(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean images are inverted once for all corruptions of a trial, and a baseline is made once for all trials."""
    corruptions = (Holes(size=3), Holes(size=3, fill="black"), Square(size=3), Pepper())
    evaluation = search(corruptions=corruptions, optimizer="adam", steps=2, images=5)
    subjects = [replace(subject_of(settings, convolutional(seed)), trial_id=str(seed)) for seed in (0, 1)]

    def shards_of(subject: TrainedModel, cache: Cache | None = None) -> list[Any]:
        return [
            compute_shard(evaluation, replace(subject, cache=cache or cache_of_values()), shard)
            for shard in range(len(corruptions))
        ]

    alone = [shards_of(subject) for subject in subjects]
    counts = {"search": 0, "baseline": 0}
    for name in counts:
        original = getattr(compute, name)

        def counting(*given: Any, name: str = name, original: Any = original) -> Any:
            counts[name] += 1
            return original(*given)

        monkeypatch.setattr(compute, name, counting)
    cache = cache_of_values()
    together = [shards_of(subject, cache) for subject in subjects]
    assert together == alone
    assert counts == {"search": 2 * (len(corruptions) + 1), "baseline": len(corruptions)}


def test_the_part_of_a_shard_without_networks_is_its_baseline(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = search(corruptions=(GaussianNoise(), Pepper()), optimizer="adam", steps=2, images=70)
    subject = subject_of(settings, convolutional(), held_out(70))
    expected = [compute_shard(evaluation, replace(subject, cache=cache_of_values()), shard) for shard in range(4)]
    for shard in range(4):
        for name, value in compute_on_host(evaluation, settings.data, subject.splits, shard).items():
            subject.cache.get(name, lambda value=value: value)  # type: ignore[misc]
    monkeypatch.setattr(compute, "baseline", lambda *_: pytest.fail("the worker makes a baseline"))
    assert [compute_shard(evaluation, subject, shard) for shard in range(4)] == expected
