"""Claims judged from what lies in storage, with values that a test knows, and told on the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from orchestrator.plan.files import write_job
from orchestrator.plan.ledger import Status, provenance, record
from orchestrator.report import forest
from orchestrator.report.claims import claims_table, judge_claims, judge_job
from orchestrator.spec.columns import evaluation_columns
from orchestrator.spec.job import Job, make_job
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from orchestrator.report.claims import Verdict
    from orchestrator.spec.job import Trial

FID = {"saturating": [90.0, 95.0, 93.0], "non_saturating": [10.0, 12.0, 14.0]}


def claim(name: str, measure: str = "fid", better: str = "lower", **more: Any) -> dict[str, Any]:
    sides = {"group": {"objective.kind": "non_saturating"}, "than": {"objective.kind": "saturating"}}
    return {"id": name, "says": f"{name} holds.", "measure": measure, "better": better, **sides, **more}


def study(*claims: dict[str, Any], seeds: int = 3, **more: Any) -> Job:
    raw = {
        "name": "study",
        "data": {"name": "digits"},
        "model": {"kind": "dcgan", "latent_dim": 4, "width": 4},
        "training": {"measure_every": 1},
        "grid": {"objective.kind": list(FID), "training.seed": list(range(seeds))},
        "claims": list(claims),
    }
    return make_job({**raw, **more}, "job.yaml")


class Stored:
    """A job in a folder, and what a test puts beside it."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.store, self.job = LocalStore(folder / "study"), job
        write_job(self.store, job)

    def end(self, trial: Trial, status: Status = Status.FINISHED, **measured: Any) -> None:
        record(self.store, "study", trial, status, {"step": 10, "epoch": 20.0, **measured}, provenance())

    def end_all(self) -> None:
        for trial in self.job.trials:
            kind, seed = trial.settings.objective.kind, trial.settings.training.seed
            self.end(trial, fid=FID[kind][seed], saturated_at=9 if kind == "saturating" else None)

    def judge(self, trial: Trial, number: int = 0, shard: int = 0, **found: Any) -> None:
        evaluation = self.job.header.evaluate[number]
        row = {"trial_id": trial.id, "evaluation_id": evaluation.id, "shard": shard, **found}
        count = len(self.store.keys("evaluations"))
        schema = schema_of(evaluation_columns(type(evaluation)))
        write_rows(
            self.store, f"evaluations/{evaluation.kind}/{trial.id}-{evaluation.id}-{count:04d}.parquet", schema, [row]
        )

    def found(self) -> list[Verdict]:
        return list(judge_job(self.store, self.job).verdicts)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Stored]:
    return lambda job: Stored(tmp_path, job)


def told(one: Verdict) -> tuple[str, str]:
    return str(one.judgement.word), one.judgement.why


def test_a_measure_of_trials_is_compared_seed_by_seed(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", by=100), claim("C", "saturated"), claim("D", factor=4)))
    study_at.end_all()
    first, second, third, fourth = study_at.found()
    expected = stats.ttest_rel(FID["non_saturating"], FID["saturating"]).confidence_interval()
    assert first.judgement.effect is not None
    assert (first.judgement.effect.low, first.judgement.effect.high) == pytest.approx((expected.low, expected.high))
    assert [str(one.judgement.word) for one in (first, second, third, fourth)] == [
        "supported", "refuted", "supported", "supported",
    ]  # fmt: skip
    assert (first.group.mean, first.than.mean) == pytest.approx((12.0, 278 / 3))
    assert first.group.words == "objective = non_saturating"
    assert third.than.mean == 1.0


def test_one_seed_supports_nothing(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", "saturated"), seeds=1))
    study_at.end_all()
    assert [told(one) for one in study_at.found()] == [("undecided", "one seed says nothing of another")] * 2


def test_nothing_is_claimed_of_nothing(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", "quality.fid"), evaluate=[{"kind": "quality"}]))
    assert [told(one) for one in study_at.found()] == [("undecided", "nothing was measured")] * 2
    assert [one.group.missing for one in study_at.found()] == [3, 3]


@pytest.mark.parametrize(
    ("status", "measured"),
    [
        (Status.FAILED, {"error": "boom", "error_kind": "program", "fid": 1.0}),
        (Status.STOPPED, {"fid": 1.0}),
        (Status.FINISHED, {"fid": None}),
        (Status.FINISHED, {"fid": float("nan")}),
        (Status.FINISHED, {"fid": float("inf")}),
    ],
)
def test_a_seed_without_its_value_is_none(
    stored: Callable[..., Stored], status: Status, measured: dict[str, Any]
) -> None:
    study_at = stored(study(claim("A")))
    odd, *rest = [trial for trial in study_at.job.trials if trial.settings.objective.kind == "saturating"]
    study_at.end(odd, status, **measured)
    for trial in study_at.job.trials:
        if trial is not odd:
            study_at.end(trial, fid=FID[trial.settings.objective.kind][trial.settings.training.seed])
    (one,) = study_at.found()
    assert one.than.known == {trial.settings.training.seed: FID["saturating"][i] for i, trial in enumerate(rest, 1)}
    assert one.than.missing == 1
    assert one.judgement.effect is not None
    assert one.judgement.effect.method.startswith("paired over 2 seeds")


def test_trials_of_a_seed_are_averaged_and_all_needed(stored: Callable[..., Stored]) -> None:
    grid = {"objective.kind": list(FID), "training.d_steps": [1, 2], "training.seed": [0, 1, 2]}
    study_at = stored(study(claim("A"), grid=grid))
    for trial in study_at.job.trials:
        settings = trial.settings
        if settings.training.d_steps == 1 or settings.training.seed:
            study_at.end(trial, fid=FID[settings.objective.kind][settings.training.seed] * settings.training.d_steps)
    (one,) = study_at.found()
    assert one.group.known == pytest.approx({1: 18.0, 2: 21.0})
    assert [len(seed.trials) for seed in one.group.seeds] == [2, 2, 2]


def test_two_measures_of_the_same_trials_are_compared(stored: Callable[..., Stored]) -> None:
    sides = {"group": {"objective.kind": "saturating"}, "than": {"objective.kind": "saturating"}}
    study_at = stored(study(claim("A", "best_fid", than_measure="fid", **sides), claim("B")))
    for trial in study_at.job.trials:
        value = FID[trial.settings.objective.kind][trial.settings.training.seed]
        study_at.end(trial, fid=value, best_fid=value - trial.settings.training.seed - 1)
    first, second = study_at.found()
    assert first.group.known == {0: 89.0, 1: 93.0, 2: 90.0}
    assert first.than.known == dict(enumerate(FID["saturating"]))
    assert first.judgement.effect is not None
    assert first.judgement.effect.estimate == pytest.approx(-2.0)
    assert (first.compared, second.compared) == ("best_fid against fid", "fid")
    rows = claims_table([first, second]).to_pylist()
    assert [(row["measure"], row["than_measure"]) for row in rows] == [("best_fid", "fid"), ("fid", None)]


def test_trials_of_other_submissions_do_not_count(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A")))
    study_at.end_all()
    before = study_at.found()
    for trial in study(model={"kind": "dcgan", "latent_dim": 4, "width": 8}).trials:
        study_at.end(trial, fid=1000.0)
    assert study_at.found() == before


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


def test_the_table_has_what_a_script_needs(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A", factor=4), claim("B", "collapsed")))
    study_at.end_all()
    first, second = claims_table(study_at.found()).to_pylist()
    assert (first["claim"], first["verdict"], first["effect"], first["claimed"], first["bound"]) == (
        "A", "supported", "ratio", "below", 0.25,
    )  # fmt: skip
    assert first["low"] < first["estimate"] < first["high"] < 0.25
    assert json.loads(first["group"]) == {"objective.kind": "non_saturating"}
    assert (first["group_seeds"], first["than_seeds"], second["than_mean"]) == (3, 3, 0.0)


@pytest.mark.parametrize("factor", [1.5, 7.0, 400.0])
def test_axes_of_ratios_have_numbers_to_read_them_by(
    stored: Callable[..., Stored], monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    study_at = stored(study(claim("A", factor=factor), claim("B")))
    study_at.end_all()
    figures: list[Figure] = []
    monkeypatch.setattr(forest, "png_of", lambda figure: figures.append(figure) or b"")
    assert forest.draw_claims(study_at.found())
    for figure in figures:
        figure.draw_without_rendering()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            shown = [
                word for at, word in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low <= at <= high
            ]
            assert len({word.get_text() for word in shown}) >= 2


def test_a_job_of_another_version_is_a_notice(stored: Callable[..., Stored]) -> None:
    study_at = stored(study())
    assert judge_claims(study_at.store, {}).verdicts == ()
    study_at.store.write("job.yaml", b"name: study\nclaims: [{id: A}]\nepochs: 3\n")
    found = judge_claims(study_at.store, {"claims": [{"id": "A"}]})
    assert found.verdicts == ()
    (notice,) = found.notices
    assert notice.startswith("The claims cannot be judged: ")
    assert "epochs: unknown key" in notice


@pytest.mark.slow
class TestPage:
    """Three claims on top of a report, a verdict each."""

    @pytest.fixture
    def page(self, stored: Callable[..., Stored], report_of: Callable[[Any], Any]) -> Any:
        script = claim("evil", says="Is <script>alert(1)</script> escaped?", by=100)
        third = claim("third", "diversity", "higher", than_measure="fid")
        study_at = stored(study(claim("first"), script, third))
        study_at.end_all()
        return report_of(study_at)

    def test_verdicts_come_first_in_words(self, page: Any) -> None:
        assert page.ids.index("claims") < page.ids.index("run")
        words = page.text("claims")
        assert "1 supported, 1 refuted, 1 undecided." in words
        for word in (
            "supported first", "refuted evil", "undecided third", "Is <script>alert(1)</script> escaped?",
            "mean 12, 3 of 3 seeds", "claimed: below 0", "claimed: below -100", "nothing was measured",
            "the whole interval is below the bound, as claimed", "paired over 3 seeds",
        ):  # fmt: skip
            assert word in words
        assert "no value, 0 of 3 seeds" in words
        assert "diversity against fid, higher is better" in words
        assert words.count("mean 92.67, 3 of 3 seeds") == 3

    def test_each_value_leads_to_its_trials(self, page: Any) -> None:
        anchors = [found["href"] for found in page.all("a") if found["href"].startswith("#trial-")]
        assert len(anchors) == 3 * 6
        assert {anchor.removeprefix("#") for anchor in anchors} <= set(page.ids)
        assert page.all("a")[0]["href"] == "#claims"

    def test_it_is_accessible(self, page: Any) -> None:
        assert len(page.ids) == len(set(page.ids))
        picture = next(image for image in page.all("img") if "first supported" in image["alt"])
        assert "evil refuted" in picture["alt"]
        assert "figure-claims" in page.ids

    def test_there_is_no_section_without_claims(self, stored: Callable[..., Stored], report_of: Any) -> None:
        study_at = stored(study())
        study_at.end_all()
        assert "claims" not in report_of(study_at).ids


@pytest.mark.slow
def test_a_report_without_any_value_has_no_figure(
    stored: Callable[..., Stored], report_of: Callable[[Any], Any]
) -> None:
    study_at = stored(study(claim("A", "diversity")))
    study_at.end_all()
    page = report_of(study_at)
    assert "1 undecided." in page.text("claims")
    assert "figure-claims" not in page.ids
