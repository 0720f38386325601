"""When a run counts as saturated, collapsed or diverged, and when not."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.metrics.health import ALIKE, REJECTED, Condition, Course, Health

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGISTIC = Course(total_steps=1000, logistic=True, classes=10)
CRITIC = Course(total_steps=1000, logistic=False, classes=10)
UNLABELLED = Course(total_steps=1000, logistic=True, classes=None)


def row(step: int, sigma: float = 0.3, **more: Any) -> dict[str, Any]:
    """Of the saturating loss, whose gradient in F is sigma(F)."""
    signals = {"d_fake_probability": sigma, "g_score_gradient": sigma, "g_image_gradient": 1.0}
    return {"step": step, **signals, "d_loss": 1.0, "g_loss": -1.0, **more}


def look(step: int, fid: float | None = 50.0, modes: int | None = 10, diversity: float = 1.0) -> dict[str, Any]:
    return row(step, fid=fid, modes=modes, class_kl=0.1, diversity=diversity)


def health(rows: Sequence[dict[str, Any]], course: Course = LOGISTIC) -> Health:
    return reduce(lambda known, one: known.after(one, course), rows, Health())


def every_ten(sigmas: dict[range, float]) -> list[dict[str, Any]]:
    """A row every 10 steps up to 1000; sigma is 0.3 but where told otherwise."""
    return [
        row(step, next((sigma for steps, sigma in sigmas.items() if step in steps), 0.3))
        for step in range(10, 1001, 10)
    ]


def test_a_run_whose_samples_are_all_rejected_for_a_tenth_of_it_is_saturated_from_where_that_began() -> None:
    known = health(every_ten({range(210, 1001): REJECTED / 2}))
    assert known.saturated_at == 200  # the row of step 210 is of the steps after 200
    assert known.condition is Condition.SATURATED


@pytest.mark.parametrize("length", [10, 50, 90])
def test_a_shorter_stretch_is_not_saturation(length: int) -> None:
    assert health(every_ten({range(210, 201 + length, 10): REJECTED / 2})).saturated_at is None


def test_the_stretch_must_not_be_broken() -> None:
    broken = every_ten({range(210, 290): 0.0, range(300, 390): 0.0})
    assert health(broken).saturated_at is None
    assert health(every_ten({range(210, 390): 0.0})).saturated_at == 200


def test_the_first_stretch_counts_and_recovery_does_not_undo_it() -> None:
    known = health(every_ten({range(110, 250): 0.0, range(500, 900): 0.0}))
    assert known.saturated_at == 100


def test_a_loss_that_keeps_its_gradient_is_given_a_thousand_steps_to_recover() -> None:
    """As the non-saturating one does, whose gradient in F is 1 - sigma(F)."""
    course = Course(3000, logistic=True, classes=None)
    rejected = [row(step, 1e-4, g_score_gradient=1 - 1e-4) for step in range(110, 1101, 10)]
    assert health([row(100), *rejected[:-1]], course).saturated_at is None
    assert health([row(100), *rejected], course).saturated_at == 100
    broken = [*rejected[:50], row(605), *rejected[50:]]
    assert health([row(100), *broken], course).saturated_at is None


def test_long_runs_are_given_a_thousand_steps() -> None:
    course = Course(100_000, logistic=True, classes=None)
    assert course.patience == 1000
    rows = [row(step, 0.0) for step in range(100, 1000, 100)]
    assert health(rows, course).saturated_at is None
    assert health([*rows, row(1000, 0.0)], course).saturated_at == 0


def test_scores_that_are_no_logits_saturate_by_the_gradient_in_images() -> None:
    early = [row(step, 0.0, g_image_gradient=2.0) for step in range(10, 101, 10)]
    faint = [row(step, 0.0, g_image_gradient=2.0 * 0.9e-3) for step in range(110, 211, 10)]
    weak = [row(step, 0.0, g_image_gradient=2.0 * 1.1e-3) for step in range(110, 1001, 10)]
    assert health([*early, *faint], CRITIC).saturated_at == 100
    assert health([*early, *weak], CRITIC).saturated_at is None


def test_a_fid_twice_the_one_held_counts_when_it_is_seen_twice_running() -> None:
    good = [look(100, 80.0), look(200, 40.0), look(300, 35.0)]
    once = [*good, look(400, 81.0), look(500, 60.0), look(600, 90.0), look(700, 45.0)]
    assert health(once).collapsed_at is None
    twice = health([*once, look(800, 81.0), look(900, 300.0)])
    assert twice.collapsed_at == 900
    assert (twice.best_fid, twice.best_step) == (35.0, 300)
    assert twice.condition is Condition.COLLAPSED


def test_a_single_low_fid_is_no_level_to_fall_from() -> None:
    """Of a healthy RaLSGAN on small fish: FIDs of few samples jump, none of them is a collapse."""
    fids = [147, 65, 66, 149, 51, 85, 83, 169, 78, 76, 90, 99, 81, 76, 76, 135, 113]
    assert health([look(100 * number, float(fid)) for number, fid in enumerate(fids, 1)]).collapsed_at is None
    lost = [102, 245, 177, 435, 249, 704, 176, 1696, 1674]  # ten times the rate
    assert health([look(100 * number, float(fid)) for number, fid in enumerate(lost, 1)]).collapsed_at == 900


def test_near_the_best_that_a_run_reaches_twice_its_fid_is_chance() -> None:
    """The last measures of the same: none comes a tenth of the way back to where it began."""
    fids = [1937, 1912, 1930, 300, 49, 103, 94, 54, 57, 36, 76, 169, 75, 94, 123, 124]
    assert health([look(100 * number, float(fid)) for number, fid in enumerate(fids, 1)]).collapsed_at is None
    back = [*fids, 300, 246]
    assert health([look(100 * number, float(fid)) for number, fid in enumerate(back, 1)]).collapsed_at == 1800


def test_few_modes_count_once_there_were_more_or_from_the_middle_on() -> None:
    never = [look(step, modes=3) for step in range(100, 1001, 100)]
    assert health(never).collapsed_at == 700  # 600 is the first measure past the middle, 700 the second
    fallen = [look(100, modes=2), look(200, modes=6), look(300, modes=4), look(400, modes=4)]
    assert health(fallen).collapsed_at == 400
    assert health([look(step, modes=5) for step in range(100, 1001, 100)]).collapsed_at is None


SLOW = {
    "two discriminator updates a step, all ten classes in the end": (
        [2746, 2831, 1574, 1261, 1028, 916, 817, 733, 735, 793, 739, 818, 814, 655, 506, 378, 383, 393, 363, 320],
        [1, 1, 1, 2, 2, 2, 2, 3, 3, 2, 4, 3, 2, 5, 6, 7, 7, 8, 10, 10],
        [110, 200, 300, 300, 280, 280, 310, 350, 390, 430, 480, 500, 550, 560, 600, 760, 790, 830, 870, 860],
    ),
    "one update a step at a small rate: blurred samples that cover some classes, then others": (
        [792, 805, 760, 751, 756, 769, 778, 776, 750, 719, 698, 685, 679, 675, 674, 672, 671, 670, 669, 668],
        [1, 1, 2, 5, 4, 2, 1, 1, 2, 5, 5, 4, 4, 3, 3, 3, 3, 3, 3, 4],
        [9, 50, 101, 114, 118, 120, 124, 150, 196, 240, 275, 299, 314, 323, 330, 335, 339, 342, 345, 348],
    ),
}
"""FID, classes and thousandths of diversity of runs at successive measures."""


@pytest.mark.parametrize(("fids", "modes", "varied"), SLOW.values(), ids=SLOW)
def test_a_slow_run_whose_variety_still_grows_is_no_collapse(
    fids: list[int], modes: list[int], varied: list[int]
) -> None:
    rows = zip(fids, modes, varied, strict=True)
    looks = [look(50 * at, float(fid), many, share / 1000) for at, (fid, many, share) in enumerate(rows, 1)]
    assert health(looks).condition is Condition.HEALTHY


def test_one_worse_fid_and_one_measure_of_few_modes_are_not_twice_in_a_row() -> None:
    good = [look(100, 500.0, 6, 0.3), look(200, 500.0, 6, 0.4)]
    jump = [*good, look(300, 1200.0, 1, 0.6), look(400, 800.0, 1, 0.1)]
    assert health(jump).collapsed_at is None
    assert health([*jump, look(500, 700.0, 6, 0.4)]).condition is Condition.HEALTHY
    assert health([*jump, look(500, 700.0, 1, 0.4)]).collapsed_at == 500
    assert health([*jump[:3], look(400, 1200.0, 6, 0.4)]).collapsed_at == 400


def test_without_classes_samples_that_are_all_alike_count() -> None:
    varied = [look(100, None, None, 0.9)]
    alike = [look(step, None, None, ALIKE * 0.9) for step in (200, 300)]
    assert health([*varied, *alike], UNLABELLED).collapsed_at == 300
    assert health([*varied, alike[0]], UNLABELLED).collapsed_at is None
    with_classes = [look(step, 50.0, 10, ALIKE * 0.9) for step in (200, 300)]
    assert health(with_classes, LOGISTIC).collapsed_at is None


def test_a_loss_beyond_all_measure_has_diverged() -> None:
    rows = [row(step) for step in range(10, 501, 10)]
    assert health([*rows, row(510, d_loss=999.0)]).diverged_at is None
    assert health([*rows, row(510, g_loss=-1001.0)]).diverged_at == 510
    worst = health([*every_ten({range(10, 1001): 0.0}), row(1010, d_loss=1e9)])
    assert worst.condition is Condition.DIVERGED
    assert worst.saturated_at == 0


def test_the_first_row_is_early_however_late_it_comes() -> None:
    course = Course(4000, logistic=False, classes=None)
    rows = [
        row(step, d_loss=10.0 ** (step // 500), g_image_gradient=10.0 ** -(step // 500))
        for step in range(500, 4001, 500)
    ]
    known = health(rows, course)
    assert known.diverged_at == 2500  # 1e5 is the first over 1000 times 1e1
    assert known.saturated_at == 2000


def test_what_ends_a_trial_is_what_it_asks_for() -> None:
    known = health(every_ten({range(10, 1001): 0.0}))
    assert known.first_of([Condition.SATURATED, Condition.COLLAPSED]) is Condition.SATURATED
    assert known.first_of([Condition.COLLAPSED, Condition.DIVERGED]) is None
    assert known.first_of([]) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 30))
def test_the_stretch_found_is_one_of_the_rows(sigmas: list[float], share: int) -> None:
    """Against a search over all stretches of rows."""
    sigmas = [REJECTED / 2 if sigma < 0.6 else sigma for sigma in sigmas]
    steps = [10 * (place + 1) for place in range(len(sigmas))]
    course = Course(share * 100, logistic=True, classes=None)
    found = health([row(*pair) for pair in zip(steps, sigmas, strict=True)], course).saturated_at
    begins = [0, *(after for (after, sigma) in zip(steps, sigmas, strict=True) if sigma >= REJECTED)]
    ends = [*begins[1:], None]
    stretches = []
    for begin, end in zip(begins, ends, strict=True):
        last = steps[-1] if end is None else end - 10
        stretches += [begin] if last - begin >= course.patience else []
    assert found == (stretches[0] if stretches else None)


def stored(job: str, classes: int | None = 10) -> dict[str, tuple[dict[str, Any], Health]]:
    """Of each trial of a reference run its row, and what the rules make of its rows of metrics/."""
    study = Path(__file__).parents[2] / "results" / job
    trials, metrics = pd.read_parquet(study / "trials"), pd.read_parquet(study / "metrics")
    found = {}
    for trial in trials.to_dict("records"):
        rows = metrics[metrics["trial_id"] == trial["trial_id"]].sort_values("step")
        logistic = trial["objective.kind"] in ("saturating", "non_saturating", "rsgan", "rasgan")
        total = int(rows["step"].max() * trial["training.epochs"] / trial["epoch"])
        plain = rows.astype(object).where(rows.notna(), None).to_dict("records")
        found[trial["trial_id"]] = (trial, health(plain, Course(total, logistic, classes)))
    return found


def test_the_committed_runs_are_told_apart() -> None:
    """Fifteen runs under the saturating objective that saturated, and thirty that did not."""
    runs = stored("saturation_sweep")
    assert len(runs) == 45
    for trial, known in runs.values():
        saturating = trial["objective.kind"] == "saturating"
        assert (known.saturated_at is not None) == saturating, trial
        assert saturating or known.condition is Condition.HEALTHY, trial


def test_no_healthy_run_raises_an_alarm_and_those_that_collapse_do() -> None:
    runs = list(stored("inverted_game").values())
    lost = [trial["training.g_steps"] == 10 and trial["training.g_optimizer.lr"] == 5e-3 for trial, _ in runs]
    assert sum(lost) == 5
    for (trial, known), collapses in zip(runs, lost, strict=True):
        assert (known.condition is Condition.COLLAPSED) == collapses, trial["trial_id"]
    # With five measures a run hardly has time to be seen twice with few classes; what is seen so has lost them.
    unrolled = [(trial["modes"], known.condition) for trial, known in stored("unrolled").values()]
    assert {condition for modes, condition in unrolled if modes >= 7} == {Condition.HEALTHY}
    assert max(modes for modes, condition in unrolled if condition is Condition.COLLAPSED) <= 2
