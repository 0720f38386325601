"""The latent search against plain loops and closed forms, and that no item's path depends on the others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from orchestrator.errors import DataError
from orchestrator.evaluations.latent_search.norms import Norm, per_pixel
from orchestrator.evaluations.latent_search.search import SearchResult, Targets, draw_starts, search
from orchestrator.evaluations.latent_search.settings import LatentSearch
from tests.evaluations.generators import LATENTS, Affine, Curved, convolutional, targets

OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "adam"},
    {"optimizer": "adam", "schedule": "cosine"},
    {"optimizer": "sgd", "lr": 3.0},
    {"optimizer": "lbfgs"},
]
NORMS: list[Norm] = ["l1", "l2", "huber"]


def run(
    generator: nn.Module, wanted: Targets, settings: LatentSearch, norm: Norm = "l2", starts: Tensor | None = None
) -> SearchResult:
    if starts is None:
        starts = draw_starts(wanted, settings.restarts, LATENTS, seed=0).to(wanted.images.dtype)
    return search(settings, generator, wanted, starts, norm)


def part(wanted: Targets, place: int) -> Targets:
    own = slice(place, place + 1)
    return Targets(wanted.images[own], wanted.observed[own], [wanted.indices[place]])


@pytest.mark.parametrize("options", [*OPTIMIZERS, {"halving": True, "prior": 0.01}], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=str)
def test_an_image_alone_takes_the_path_it_takes_among_63_others(
    options: dict[str, Any], dtype: torch.dtype, tolerance: float
) -> None:
    if options.get("optimizer") == "lbfgs" and dtype is torch.float32:
        tolerance = 1e-2  # its step is a quotient of small differences, in which rounding grows
    generator = convolutional().to(dtype)
    wanted = targets(64, dtype=dtype)
    settings = LatentSearch(steps=24, restarts=3, log_every=1, batch=1000, **options)
    together = run(generator, wanted, settings)
    for place in (0, 41):
        alone = run(generator, part(wanted, place), settings)
        for one, among in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], among[place], rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("halving", [False, True])
def test_chunks_change_nothing(halving: bool) -> None:
    generator, wanted = convolutional().double(), targets(7, dtype=torch.float64)
    results = [
        run(generator, wanted, LatentSearch(steps=12, restarts=3, halving=halving, batch=batch))
        for batch in (1000, 7, 1)
    ]
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("options", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_what_is_hidden_does_not_matter(options: dict[str, Any], norm: Norm) -> None:
    generator, wanted = convolutional(), targets(4)
    settings = LatentSearch(steps=10, restarts=2, **options)
    expected = run(generator, wanted, settings, norm)
    for value in (torch.rand_like(wanted.images), torch.full_like(wanted.images, torch.nan)):
        spoilt = Targets(wanted.images.where(wanted.observed, value), wanted.observed, wanted.indices)
        for got, same in zip(run(generator, spoilt, settings, norm), expected, strict=True):
            assert torch.equal(got, same)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "options", "prior"), [
    ("Adam", OPTIMIZERS[0], 0.0),
    ("Adam", OPTIMIZERS[1], 0.02),
    ("SGD", OPTIMIZERS[2], 0.02),
])  # fmt: skip
def test_the_path_is_that_of_a_plain_loop(name: str, options: dict[str, Any], prior: float, norm: Norm) -> None:
    generator, wanted = convolutional().double(), targets(3, dtype=torch.float64)
    settings = LatentSearch(steps=30, restarts=2, log_every=1, prior=prior, **options)
    found = run(generator, wanted, settings, norm)
    image, mask = wanted.images[1, 0], wanted.observed[1, 0]
    latent = draw_starts(wanted, settings.restarts, LATENTS, seed=0)[1, 1].double().requires_grad_()
    optimizer = getattr(torch.optim, name)([latent], lr=settings.lr)
    losses, places = [], []
    for step in range(31):
        made = (generator(latent[None])[0, 0] + 1) / 2
        loss = per_pixel(norm, made[mask] - image[mask]).mean() + prior * latent.dot(latent)
        losses.append(loss.item())
        places.append(latent.detach().clone())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = settings.rate(step) if step < 30 else 0.0
        optimizer.step()
    torch.testing.assert_close(found.curves[1, 1], torch.tensor(losses, dtype=torch.float64), rtol=1e-8, atol=1e-10)
    best = min(range(31), key=losses.__getitem__)
    assert found.losses[1, 1].item() == pytest.approx(losses[best], rel=1e-8)
    torch.testing.assert_close(found.latents[1, 1], places[best], rtol=1e-6, atol=1e-8)


def test_the_cosine_is_that_of_the_projector() -> None:
    # StyleGAN2, projector.py: t = step / num_steps, lr_rampdown_length = 0.25, lr_rampup_length = 0.05
    settings = LatentSearch(steps=1000, lr=0.1, schedule="cosine")
    for step, share in ((0, 0), (25, 0.5), (50, 1), (500, 1), (750, 1), (875, 0.5), (999, 3.95e-5)):
        assert settings.rate(step) == pytest.approx(0.1 * share, rel=1e-2, abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("prior", [0.0, 0.003])
@pytest.mark.parametrize(
    "options",
    [{"optimizer": "lbfgs", "steps": 60}, {"optimizer": "sgd", "lr": 8.0, "steps": 1500}],
    ids=["lbfgs", "sgd"],
)
def test_the_optimum_of_an_affine_generator_is_least_squares(
    options: dict[str, Any], prior: float, masked: bool
) -> None:
    generator, wanted = Affine(), targets(5, dtype=torch.float64, masked=masked)
    expected = generator.least_squares(wanted.images, wanted.observed, prior)
    if prior == 0 and not masked:
        inverse = torch.linalg.pinv(generator.weight / 2)
        torch.testing.assert_close(expected, (wanted.images.flatten(1) - (generator.bias + 1) / 2) @ inverse.T)
    found = run(generator, wanted, LatentSearch(restarts=3, prior=prior, **options))
    for restart in range(3):
        torch.testing.assert_close(found.latents[:, restart], expected, rtol=1e-5, atol=1e-6)
    at_best = ((generator(expected) + 1) / 2 - wanted.images).square().where(wanted.observed, 0)
    losses = at_best.flatten(1).sum(1) / wanted.observed.flatten(1).sum(1) + prior * expected.square().sum(1)
    torch.testing.assert_close(found.losses.min(1).values, losses, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("norm", "tolerance"), [("l2", 1e-6), ("huber", 1e-6), ("l1", 0.01)])
def test_lbfgs_comes_as_low_as_that_of_torch(norm: Norm, tolerance: float) -> None:
    # curved, but with one minimum near the starts; kinks of L1 stop either of them a little above it
    generator, wanted = Curved(), targets(6, dtype=torch.float64)
    settings = LatentSearch(steps=150, restarts=1, optimizer="lbfgs")
    starts = 0.1 * draw_starts(wanted, settings.restarts, LATENTS, seed=0).double()
    ours = run(generator, wanted, settings, norm, starts).losses[:, 0]
    theirs = []
    for start, image, mask in zip(starts, wanted.images, wanted.observed, strict=True):
        latent = start[0].clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [latent], max_iter=150, max_eval=150, history_size=10, line_search_fn="strong_wolfe",
            tolerance_grad=1e-12, tolerance_change=1e-14,
        )  # fmt: skip

        def closure(latent: Tensor = latent, image: Tensor = image, mask: Tensor = mask) -> Tensor:
            latent.grad = None
            loss = per_pixel(norm, ((generator(latent[None])[0] + 1) / 2 - image)[mask]).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        theirs.append(closure().item())
    assert (ours / torch.tensor(theirs, dtype=torch.float64) < 1 + tolerance).all()


def test_lbfgs_needs_few_steps_where_descent_needs_many() -> None:
    generator, wanted = Affine(), targets(4, dtype=torch.float64)
    least = run(generator, wanted, LatentSearch(steps=80, restarts=1, optimizer="lbfgs")).losses
    for options, share in (({"optimizer": "lbfgs"}, 1e-3), ({"optimizer": "sgd", "lr": 8.0}, 1e9)):
        found = run(generator, wanted, LatentSearch(steps=15, restarts=1, log_every=1, **options))  # type: ignore[arg-type]
        left = (found.losses - least) / (found.curves[:, :, 0] - least)
        assert (left < share).all(), left
        if options["optimizer"] == "sgd":
            assert (left > 1e-3).any()


@pytest.mark.parametrize("options", [{"lr": 1.0}, {"optimizer": "sgd", "lr": 60.0}, {"optimizer": "lbfgs"}], ids=str)
def test_the_best_seen_is_kept(options: dict[str, Any]) -> None:
    # rates so high that the last loss is not the lowest
    generator, wanted = convolutional().double(), targets(4, dtype=torch.float64)
    settings = [LatentSearch(steps=steps, restarts=3, log_every=1, **options) for steps in (5, 10, 20, 40)]
    found = [run(generator, wanted, setting) for setting in settings]
    for shorter, longer in pairwise(found):
        assert (longer.losses <= shorter.losses).all()
        torch.testing.assert_close(longer.curves[:, :, :5], shorter.curves[:, :, :5])
    for one in found:
        assert torch.equal(one.losses, one.curves.min(2).values)
        assert torch.equal(one.best, one.losses.argmin(1))
        error = (generator(one.chosen) + 1) / 2 - wanted.images
        losses = [e[m].square().mean() for e, m in zip(error, wanted.observed, strict=True)]
        torch.testing.assert_close(torch.stack(losses), one.losses.min(1).values)
    if options.get("optimizer") != "lbfgs":
        assert (found[-1].curves[:, :, -1] > found[-1].losses).any()


def test_dropping_keeps_the_best_and_its_path() -> None:
    # equal curvature in all directions: every restart's excess loss shrinks alike, so that ranks never change
    generator, wanted = Affine(orthonormal=True), targets(5, dtype=torch.float64, masked=False)
    common: dict[str, Any] = {"steps": 48, "restarts": 6, "log_every": 1, "optimizer": "sgd", "lr": 8.0}
    whole, halved = (run(generator, wanted, LatentSearch(halving=halving, **common)) for halving in (False, True))
    assert torch.equal(halved.best, whole.best)
    assert len(set(whole.best.tolist())) > 1
    torch.testing.assert_close(halved.chosen, whole.chosen, rtol=1e-12, atol=1e-12)
    alive = ~halved.curves.isnan()
    assert [alive[:, :, step].sum(1).unique().tolist() for step in (5, 6, 12, 24, 48)] == [[6], [3], [2], [1], [1]]
    torch.testing.assert_close(halved.curves[alive], whole.curves[alive], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_dropping_leaves_the_paths_of_the_rest_as_they_were(optimizer: str) -> None:
    generator, wanted = convolutional().double(), targets(5, dtype=torch.float64)
    common: dict[str, Any] = {"steps": 40, "restarts": 5, "log_every": 1, "optimizer": optimizer}
    whole, halved = (run(generator, wanted, LatentSearch(halving=halving, **common)) for halving in (False, True))
    alive = ~halved.curves.isnan()
    torch.testing.assert_close(halved.curves[alive], whole.curves[alive], rtol=1e-9, atol=1e-9)
    assert alive[:, :, -1].sum() == 5
    assert torch.equal(alive.int(), alive.int().cummin(2).values)


@pytest.mark.parametrize(
    ("restarts", "steps", "drops", "budget"),
    [
        (5, 200, {25: 3, 50: 2, 100: 1}, 5 * 25 + 3 * 25 + 2 * 50 + 100),
        (8, 80, {10: 4, 20: 2, 40: 1}, 8 * 10 + 4 * 10 + 2 * 20 + 40),
        (2, 7, {3: 1}, 2 * 3 + 4),
        (1, 7, {}, 7),
        (9, 3, {1: 1}, 9 + 2),
    ],
)
def test_dropping_has_its_budget(restarts: int, steps: int, drops: dict[int, int], budget: int) -> None:
    halved = LatentSearch(restarts=restarts, steps=steps, halving=True)
    assert halved.drops == drops
    counted = _Counting()
    run(counted, targets(1, dtype=torch.float64), halved)
    # the last points are evaluated too, without a gradient
    assert counted.evaluations == budget + (list(drops.values()) or [restarts])[-1]


class _Counting(Affine):
    evaluations = 0

    def forward(self, latents: Tensor) -> Tensor:
        self.evaluations += len(latents)
        return super().forward(latents)


def test_a_start_depends_on_seed_image_and_restart_alone() -> None:
    settings = LatentSearch(restarts=3)
    many = draw_starts(targets(6), settings.restarts, LATENTS, seed=0)
    assert torch.equal(draw_starts(targets(2, first=3), settings.restarts, LATENTS, seed=0), many[3:5])
    assert torch.equal(draw_starts(targets(6), LatentSearch(restarts=2).restarts, LATENTS, seed=0), many[:, :2])
    other = draw_starts(targets(6), settings.restarts, LATENTS, seed=1)
    rows = torch.cat([many, other]).flatten(0, 1)
    assert len(rows.unique(dim=0)) == len(rows)
    large = draw_starts(targets(40), LatentSearch(restarts=50).restarts, LATENTS, seed=0)
    assert abs(large.mean().item()) < 5 / large.numel() ** 0.5
    assert abs(large.var().item() - 1) < 5 * (2 / large.numel()) ** 0.5


def test_the_curves_have_the_points_that_are_promised() -> None:
    settings = LatentSearch(steps=25, log_every=10, restarts=2)
    assert settings.points == (0, 10, 20, 25)
    assert LatentSearch(steps=20, log_every=10).points == (0, 10, 20)
    found = run(convolutional(), targets(3), settings)
    assert found.curves.shape == (3, 2, 4)
    every = run(convolutional(), targets(3), LatentSearch(steps=25, log_every=1, restarts=2))
    assert torch.equal(found.curves, every.curves[:, :, [0, 10, 20, 25]])


def test_the_generator_is_left_as_it_was() -> None:
    generator = Affine()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    run(generator, targets(2, dtype=torch.float64), LatentSearch(steps=3, restarts=2))
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_images_that_nothing_can_be_found_for_are_named() -> None:
    settings = LatentSearch(steps=1, restarts=1)
    for number, image, observed, said in (
        (7, torch.nan, True, "image 7: holds numbers that are not finite; leave it out"),
        (8, 0.5, False, "image 8: no pixel of it is observed; leave it out, or corrupt less of it"),
    ):
        wanted = targets(3, first=6)
        wanted.images[number - 6, 0, 0, 0] = image
        wanted.observed[number - 6] = observed
        with pytest.raises(DataError) as raised:
            run(convolutional(), wanted, settings)
        assert str(raised.value) == said


def test_a_diverging_item_spoils_no_other() -> None:
    generator, wanted = Affine(), targets(3, dtype=torch.float64)
    settings = LatentSearch(steps=20, restarts=1)
    starts = draw_starts(wanted, settings.restarts, LATENTS, seed=0).double()
    expected = run(generator, wanted, settings, starts=starts)
    broken = starts.clone()
    broken[1] = torch.nan
    found = run(generator, wanted, settings, starts=broken)
    assert torch.equal(found.losses[[0, 2]], expected.losses[[0, 2]])
    assert found.losses[1].isinf().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"restarts": 0},
        {"steps": 0},
        {"lr": 0.0},
        {"prior": -1.0},
        {"optimizer": "newton"},
        {"optimizer": "lbfgs", "schedule": "cosine"},
        {"optimizer": "lbfgs", "lr": 0.1},
    ],
    ids=str,
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LatentSearch(**wrong)
