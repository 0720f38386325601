"""Claims about rows of evaluations, judged from what lies in storage, with values that a test knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from orchestrator.report.claims import judge_job
from tests.report.claimed import claim, study

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.claimed import Stored


class TestEvaluations:
    """Rows of evaluations/: averaged within their trial, one trial on both sides where rows tell them apart."""

    JOB: dict[str, Any] = {  # noqa: RUF012
        "evaluate": [
            {"kind": "quality", "samples": 1000, "truncation": [0.5]},
            {"kind": "quality", "samples": 2000, "truncation": [0.5]},
        ]
    }

    def test_rows_are_chosen_and_averaged_within_a_trial(self, stored: Callable[..., Stored]) -> None:
        only = claim("A", "quality.fid", group={"truncation": 0.5}, than={"truncation": None})
        for side in ("group", "than"):
            only[side] |= {"evaluation.samples": 1000, "objective.kind": "saturating"}
        other = claim("B", "quality.fid", group={"truncation": 0.5}, than={"truncation": None})
        for side in ("group", "than"):
            other[side] |= {"evaluation.samples": 2000}
        unnamed = claim("C", "quality.fid", group={"truncation": 0.5}, than={"truncation": None})
        study_at = stored(study(only, other, unnamed, **self.JOB))
        for trial in study_at.job.trials:
            value = 10.0 * trial.settings.training.seed + (
                5.0 if trial.settings.objective.kind == "saturating" else 0.0
            )
            for number, shift in ((0, 0.0), (1, 2.0)):
                study_at.judge(trial, number, truncation=None, fid=value + shift, samples=1000)
                study_at.judge(trial, number, 1, truncation=0.5, fid=value + shift - 1 - value / 100, samples=1000)
        first, second, third = study_at.found()
        assert first.than.known == pytest.approx({0: 5.0, 1: 15.0, 2: 25.0})
        assert first.group.known == pytest.approx({0: 3.95, 1: 13.85, 2: 23.75})
        assert second.than.known == pytest.approx({0: 4.5, 1: 14.5, 2: 24.5})
        assert third.than.known == pytest.approx({0: 2.5, 1: 12.5, 2: 22.5})  # of the first one under evaluate
        assert str(first.judgement.word) == "supported"  # pairs, for the spread between seeds is ten times the effect

    def test_the_best_start_is_compared_with_a_single_one_within_each_trial(
        self, stored: Callable[..., Stored]
    ) -> None:
        """Rows of both sides may be the same ones: here the first start is the best of the first image."""
        ours = claim("D1", "inversion.mse", factor=2, group={"chosen": True}, than={"restart": 0})
        study_at = stored(study(ours, evaluate=[{"kind": "inversion", "restarts": 2, "images": 2}]))
        for trial in study_at.job.trials:
            scale = 10.0**trial.settings.training.seed * (1.1 if trial.settings.objective.kind == "saturating" else 1.0)
            for image, errors in enumerate(((1.0, 4.0), (9.0, 1.0 + trial.settings.training.seed / 10))):
                for restart, mse in enumerate(errors):
                    best = mse == min(errors)
                    study_at.judge(trial, image_id=image, restart=restart, chosen=best, mse=scale * mse)
        (one,) = study_at.found()
        ratios = [(1.0 + 1.0 + seed / 10) / 10.0 for seed in range(3)]
        assert one.judgement.effect is not None
        assert one.judgement.effect.estimate == pytest.approx(stats.gmean(ratios))
        assert str(one.judgement.word) == "supported"

    def test_rows_of_other_evaluations_do_not_count(self, stored: Callable[..., Stored]) -> None:
        study_at = stored(study(claim("A", "quality.fid"), evaluate=[self.JOB["evaluate"][0]]))
        for trial in study_at.job.trials:
            for shard, truncation in enumerate((None, 0.5)):
                study_at.judge(trial, shard=shard, truncation=truncation, fid=1.0 + trial.settings.training.seed)
        before = study_at.found()
        assert before[0].group.known == {0: 1.0, 1: 2.0, 2: 3.0}
        study_at.job = study(claim("A", "quality.fid"), **self.JOB)
        for trial in study_at.job.trials:
            study_at.judge(trial, 1, truncation=None, fid=500.0)
        study_at.job = study(claim("A", "quality.fid"), evaluate=[self.JOB["evaluate"][0]])
        assert study_at.found() == before

    def test_an_evaluation_that_is_added_changes_no_verdict(self, stored: Callable[..., Stored]) -> None:
        """As by ``orch evaluate study --kind inversion --set restarts=20``, whose best start is better."""
        ours = claim("D1", "inversion.mse", factor=2, group={"chosen": True}, than={"restart": 0})
        first, added = {"kind": "inversion", "images": 8}, {"kind": "inversion", "images": 8, "restarts": 20}
        study_at = stored(study(ours, evaluate=[first, added]))
        told = []
        for number, best in ((0, 0.9), (1, 0.01)):
            for trial in study_at.job.trials:
                single = 1.0 + trial.settings.training.seed / 10
                study_at.judge(trial, number, image_id=0, restart=0, chosen=False, mse=single)
                study_at.judge(trial, number, image_id=0, restart=1, chosen=True, mse=single**2 * best)
            told.append(study_at.found())
        assert told[0] == told[1]
        assert str(told[0][0].judgement.word) == "refuted"

    def test_an_evaluation_counts_once_all_of_its_parts_are_there(self, stored: Callable[..., Stored]) -> None:
        """Parts are systematic: here the second one is of the corruption that is harder, and the claim not of it."""
        both = claim("A", "restoration.mse", group={"norm": "l1"}, than={"norm": "l2"})
        easy = claim("B", "restoration.mse", group={"norm": "l1", "corruption": "pepper"}, than={"norm": "l2"})
        corruptions = [{"kind": "pepper"}, {"kind": "crosswalk"}]
        study_at = stored(
            study(both, easy, evaluate=[{"kind": "restoration", "images": 2, "corruptions": corruptions}])
        )
        assert judge_job(study_at.store, study_at.job).notices == ()
        for trial in study_at.job.trials:
            seed, saturating = trial.settings.training.seed, trial.settings.objective.kind == "saturating"
            for shard, name in enumerate(("pepper", "crosswalk")):
                if not (shard and (seed == 2 or (seed == 1 and saturating))):
                    for norm in ("l1", "l2"):
                        mse = 1.0 + shard + seed / 8
                        study_at.judge(trial, shard=shard, image_id=0, corruption=name, norm=norm, mse=mse)
        judged = judge_job(study_at.store, study_at.job)
        first, second = judged.verdicts
        assert first.group.known == first.than.known == {0: 1.5}
        assert second.group.known == {0: 1.0}
        assert second.group.missing == 2
        assert judged.notices == (
            "3 evaluations are incomplete and count as missing in the claims; 'orch evaluate study' computes the rest.",
        )

    def test_means_of_counts_over_many_rows_are_no_whole_numbers(self, stored: Callable[..., Stored]) -> None:
        """Third classes of a pair are whole, their mean over pairs is known far better than to a half."""
        ours = claim("A", "interpolation.third_classes", group={"alike": True}, than={"alike": False})
        study_at = stored(study(ours, evaluate=[{"kind": "interpolation", "pairs": 20}]))
        for trial in study_at.job.trials:
            for pair in range(20):
                met = pair < 2 + trial.settings.training.seed and pair % 2
                study_at.judge(trial, pair=pair, alike=pair % 2 == 0, third_classes=int(met))
        (one,) = study_at.found()
        shares = [0.1, 0.1, 0.2]
        assert list(one.than.known.values()) == pytest.approx(shares)
        expected = stats.t.interval(0.95, 2, -0.4 / 3, stats.sem(shares))
        assert one.judgement.effect is not None
        assert (one.judgement.effect.low, one.judgement.effect.high) == pytest.approx(expected)

    def test_rows_without_a_value_are_passed_over(self, stored: Callable[..., Stored]) -> None:
        study_at = stored(study(claim("A", "quality.fid"), **self.JOB))
        for trial in study_at.job.trials:
            study_at.judge(trial, truncation=None, fid=3.0)
            study_at.judge(trial, shard=1, truncation=0.5, fid=None)
        (one,) = study_at.found()
        assert one.group.known == {0: 3.0, 1: 3.0, 2: 3.0}
