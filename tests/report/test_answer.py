from __future__ import annotations

import pytest

from orchestrator.report.answer import Answer, State, answer, state_of
from orchestrator.report.saturation import Agreement, GradientRow
from orchestrator.study import Spread


def row(
    kind: str, d_steps: int, seeds: list[float], rejected: tuple[int | None, ...] = (), **more: object
) -> GradientRow:
    place = ", ".join(f"{name} = {value}" for name, value in {"d_steps": d_steps, **more}.items())
    spread = Spread.of(seeds)
    return GradientRow((), kind, place, len(seeds), spread, spread, spread, spread, spread, rejected)


def judged(factors: dict[int, list[float]], rejected: tuple[int | None, ...] = ()) -> Answer:
    rows = [row("saturating", d_steps, seeds, rejected) for d_steps, seeds in factors.items()]
    rows += [row("non_saturating", d_steps, [0.998] * len(seeds)) for d_steps, seeds in factors.items()]
    return answer(rows, None, [])


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_vanished_everywhere() -> None:
    found = judged({1: [0.002, 0.003], 3: [0.001, 0.001]})
    assert plain(found.verdict) == (
        "Yes: the saturating gradient vanishes in each of the 2 settings tried; at most 0.3 % of it is passed on."
    )
    assert plain(found.cells[0]) == (
        "At d_steps = 1 the saturating loss passes on 0.25 % (0.2 to 0.3 % over 2 seeds) of the gradient, "
        "the non-saturating loss 99.80 % (99.80 to 99.80 % over 2 seeds): the saturating gradient vanishes."
    )


def test_vanished_nowhere() -> None:
    found = judged({1: [0.4], 3: [0.3]})
    assert plain(found.verdict) == "No: the saturating gradient does not vanish here; at least 30 % of it is passed on."
    assert "(one seed)" in found.cells[0]
    assert any("one seed" in note for note in found.notes)


def test_vanished_in_part_names_where() -> None:
    found = judged({1: [0.4], 2: [0.05], 3: [0.001], 4: [0.001]})
    assert found.verdict == (
        "In part: the saturating gradient vanishes at d_steps = 3 and 4, is strongly damped at d_steps = 2 "
        "and does not vanish at d_steps = 1."
    )


def test_damped_is_told_apart_from_passed() -> None:
    everywhere = "No: the saturating gradient does not vanish here, though it is strongly damped; at least 5 % of it"
    assert plain(judged({1: [0.05], 2: [0.06]}).verdict).startswith(everywhere)
    assert "though it is strongly damped at d_steps = 2; at least 5 %" in plain(judged({1: [0.4], 2: [0.05]}).verdict)


def test_seeds_that_disagree_are_not_averaged_away() -> None:
    found = judged({1: [0.001, 0.9]})
    assert "vanishes for some seeds at d_steps = 1" in found.verdict
    assert not found.verdict.startswith("Yes")


def test_rejection_names_seeds_and_steps() -> None:
    found = judged({3: [0.001, 0.002, 0.003]}, rejected=(400, None, 900))
    assert found.cells[0].endswith(
        "In 2 of 3 seeds mean σ(F) fell below 0.001 and stayed there (from step 400 to 900, by seed)."
    )


def test_rejection_of_a_single_seed_is_a_sentence_too() -> None:
    found = judged({3: [0.001]}, rejected=(400,))
    assert found.cells[0].endswith("vanishes. Mean σ(F) fell below 0.001 and stayed there (from step 400).")


@pytest.mark.parametrize(
    ("seeds", "state"),
    [
        ([0.009, 0.001], State.VANISHED),
        ([0.01, 0.001], State.MIXED),
        ([0.01, 0.02], State.DAMPED),
        ([0.2, 0.1], State.PASSED),
    ],
)
def test_states(seeds: list[float], state: State) -> None:
    assert state_of(Spread.of(seeds)) is state


def test_a_setting_with_one_loss_only_is_not_judged() -> None:
    found = answer([row("saturating", 1, [0.001]), row("non_saturating", 2, [0.9])], None, [])
    assert found == Answer("Not answered yet: no setting has a finished trial of both losses.", (), ())


def test_many_settings_are_counted_not_listed() -> None:
    rows = [row(kind, d, [0.001 if w else 0.5], width=w) for kind in ("saturating", "non_saturating")
            for d in range(6) for w in (0, 1)]  # fmt: skip
    found = answer(rows, None, [])
    assert found.verdict == (
        "In part: the saturating gradient vanishes in 6 settings and does not vanish in 6 settings."
    )
    assert len(found.cells) == 9
    assert found.cells[-1] == "4 further settings are in the table."


def test_disagreement_with_theory_is_said_aloud() -> None:
    rows = [row("saturating", 1, [0.5]), row("non_saturating", 1, [0.5])]
    assert "agrees with theory" in answer(rows, Agreement(2, 1e-6), []).notes[1]
    assert "DOES NOT agree" in answer(rows, Agreement(2, 0.02), []).notes[1]
    assert "2.0e\u201102" in answer(rows, Agreement(2, 0.02), []).notes[1]


def test_adams_rescaling_is_a_note_only_where_adam_was_used() -> None:
    rows = [row("saturating", 1, [0.5]), row("non_saturating", 1, [0.5])]
    assert any("Adam" in note for note in answer(rows, None, ["adam"]).notes)
    assert not any("Adam" in note for note in answer(rows, None, ["sgd"]).notes)


def test_nothing_is_said_of_quality_but_that_it_was_not_measured() -> None:
    found = judged({1: [0.002, 0.003], 3: [0.5, 0.6]})
    words = " ".join([found.verdict, *found.cells, *found.notes[:-1]]).lower()
    assert not any(claim in words for claim in ("quality", "better", "worse", "sharper", "fid"))
    assert "no measure of quality was taken" in found.notes[-1]
