"""Claims judged from what lies in storage, with values that a test knows, and told on the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from orchestrator.report.charts import figure_of
from orchestrator.report.claims import judge_claims
from orchestrator.report.claims_chart import claims_chart
from orchestrator.report.claims_table import claims_table, seeds_words
from orchestrator.state.ledger import Status
from tests.report.claimed import FID, claim, study

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.report.claims import Verdict
    from tests.report.claimed import Stored


def told(one: Verdict) -> tuple[str, str]:
    return str(one.judgement.word), one.judgement.why


def test_trials_that_share_seeds_are_compared_as_independent(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", by=100), claim("C", "saturated"), claim("D", factor=4)))
    study_at.end_all()
    first, second, third, fourth = study_at.found()
    expected = stats.ttest_ind(FID["non_saturating"], FID["saturating"], equal_var=False).confidence_interval()
    assert first.judgement.effect is not None
    assert (first.judgement.effect.low, first.judgement.effect.high) == pytest.approx((expected.low, expected.high))
    assert [str(one.judgement.word) for one in (first, second, third, fourth)] == [
        "supported", "refuted", "supported", "supported",
    ]  # fmt: skip
    assert (first.group.mean, first.than.mean) == pytest.approx((12.0, 278 / 3))
    assert first.group.words == "objective = non_saturating"
    assert third.than.mean == 1.0


SATURATING, ALONE = {"objective.kind": "saturating"}, {"objective.kind": "non_saturating", "training.seed": [0, 1]}


@pytest.mark.parametrize(
    ("measure", "group", "than", "expected"),
    [
        ("fid", {"objective.kind": "non_saturating"}, SATURATING, "3 and 3 seeds, independent"),
        ("fid", ALONE, SATURATING, "2 and 3 seeds, independent"),
        ("fid", SATURATING, ALONE, "3 and 2 seeds, independent"),
        ("fid", {"training.seed": [0, 1, 2]}, {"training.seed": [3, 4]}, "3 and 2 seeds, independent"),
        ("saturated", {"objective.kind": "non_saturating"}, SATURATING, "shares of 3 and 3 seeds, independent"),
        ("best_fid against fid", SATURATING, SATURATING, "paired within the trained models of 3 seeds"),
        ("best_fid against fid", ALONE, SATURATING, "2 and 3 seeds, independent"),
        ("best_fid against fid", {}, SATURATING, "5 and 3 seeds, independent"),
        ("saturated against collapsed", SATURATING, SATURATING, "shares paired within the trained models of 3 seeds"),
    ],
)
def test_only_values_of_the_same_trials_are_pairs(
    stored: Callable[..., Stored], measure: str, group: dict[str, Any], than: dict[str, Any], expected: str
) -> None:
    name, _, other = measure.partition(" against ")
    more = {"than_measure": other} if other else {}
    grid = {
        "cell": [{"objective.kind": kind, "training.seed": seed} for kind in FID for seed in range(3)]
        + [{"objective.kind": "least_squares", "training.seed": seed} for seed in (3, 4)]
    }
    study_at = stored(study(claim("A", name, group=group, than=than, **more), grid=grid))
    for trial in study_at.job.trials:
        seed = trial.settings.training.seed
        study_at.end(trial, fid=10.0 + seed**2, best_fid=1.0 + seed, saturated_at=None)
    (one,) = study_at.found()
    assert one.judgement.effect is not None
    assert one.judgement.effect.method.startswith(expected)
    assert one.group.mean is not None
    assert one.than.mean is not None
    assert one.judgement.effect.estimate == pytest.approx(one.group.mean - one.than.mean)


def test_a_pair_takes_two_values(stored: Callable[..., Stored]) -> None:
    """Means and numbers of seeds are those of what is compared: here the third seed would turn the means around."""
    study_at = stored(study(claim("A", "best_fid", than_measure="fid", group=SATURATING, than=SATURATING)))
    for trial, best, last in zip(study_at.job.trials, (1.0, 2.0, 90.0), (5.0, 6.5, None), strict=False):
        study_at.end(trial, best_fid=best, fid=last)
    (one,) = study_at.found()
    assert (one.group.known, one.than.known) == ({0: 1.0, 1: 2.0}, {0: 5.0, 1: 6.5})
    assert (one.group.missing, one.than.missing) == (1, 1)


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
    assert one.judgement.effect.method.startswith("3 and 2 seeds, independent")


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


def test_a_constant_is_compared_with_one_group(stored: Callable[..., Stored]) -> None:
    only = {"than": None, "group": {"objective.kind": "saturating"}}
    study_at = stored(
        study(claim("A", than_value=99, **only), claim("B", "saturated", "higher", than_value=0.2, **only))
    )
    study_at.end_all()
    first, second = study_at.found()
    expected = stats.ttest_1samp(FID["saturating"], 99).confidence_interval()
    assert first.judgement.effect is not None
    assert first.judgement.effect.low == pytest.approx(expected.low - 99)
    assert [str(one.judgement.word) for one in (first, second)] == ["supported", "supported"]
    row, _ = claims_table([first, second]).to_pylist()
    assert (row["than"], row["than_mean"], row["than_seeds"], row["than_value"]) == (None, None, None, 99.0)


def test_each_value_is_judged_by_itself_and_all_of_them_together(stored: Callable[..., Stored]) -> None:
    kinds = ["saturating", "least_squares", "hinge"]
    grid = {"objective.kind": ["non_saturating", *kinds], "training.seed": [0, 1, 2]}
    each = {"group": {"objective.kind": "non_saturating"}, "than": {}, "each": {"objective.kind": kinds}}
    both = {"group": {"training.seed": [0, 1, 2]}, "than": None, "than_value": 50, "each": {"objective.kind": kinds}}
    study_at = stored(study(claim("A", **each), claim("B", "fid", "lower", **both), grid=grid))
    means = {"non_saturating": 10.0, "saturating": 90.0, "least_squares": 30.0, "hinge": 11.0}
    for trial in study_at.job.trials:
        study_at.end(trial, fid=means[trial.settings.objective.kind] + trial.settings.training.seed)
    first, second = study_at.found()
    assert [(one.value, str(one.judgement.word)) for one in first.members] == [
        ("saturating", "supported"), ("least_squares", "supported"), ("hinge", "undecided"),
    ]  # fmt: skip
    assert told(first) == ("undecided", "undecided for hinge")
    assert first.judgement.effect == first.members[2].judgement.effect  # the least supported
    assert (first.group.mean, first.than and first.than.words) == (
        11.0, "objective = each of saturating, least_squares, hinge",
    )  # fmt: skip
    assert told(second) == ("refuted", "refuted for saturating")
    assert (second.group.words, second.group.seeds, second.than) == (
        "seed = 0 or 1 or 2, objective = each of saturating, least_squares, hinge", (), None,
    )  # fmt: skip
    row, _ = claims_table([first, second]).to_pylist()
    assert [one["verdict"] for one in json.loads(row["members"])] == ["supported", "supported", "undecided"]
    assert json.loads(row["each"]) == {"objective.kind": kinds}


def test_a_claim_about_each_value_has_the_seeds_of_the_value_that_its_effect_is_of(
    stored: Callable[..., Stored],
) -> None:
    """Of both sides, also of one that takes each value in turn, while the other names the same setting for itself."""
    kinds = ["saturating", "hinge"]
    grid = {"objective.kind": ["non_saturating", *kinds], "training.seed": [0, 1, 2]}
    gan, each = {"objective.kind": "non_saturating"}, {"objective.kind": kinds}
    study_at = stored(
        study(
            claim("A", group=gan, than={}, each=each),
            claim("B", better="higher", group={}, than=gan, each=each),
            claim("C", "diversity", group=gan, than={}, each=each),
            claim("D", better="higher", group={}, than=None, than_value=0, each=each),
            grid=grid,
        )
    )
    means = {"non_saturating": 10.0, "saturating": 90.0, "hinge": 30.0}
    for trial in study_at.job.trials:
        kind, seed = trial.settings.objective.kind, trial.settings.training.seed
        study_at.end(trial, fid=None if (kind, seed) == ("hinge", 2) else means[kind] + seed * (1 + len(kind)))
    verdicts = study_at.found()
    rows = claims_table(verdicts).to_pylist()
    assert [[one.value for one in found.members] for found in verdicts] == [kinds] * 4
    assert [found.shown.value for found in verdicts] == ["hinge", "hinge", "saturating", "hinge"]
    assert [(row["group_seeds"], row["than_seeds"]) for row in rows] == [(3, 2), (2, 3), (0, 0), (2, None)]
    for row, found in zip(rows[:2], verdicts, strict=False):
        assert found.judgement.effect is not None
        assert row["group_mean"] - row["than_mean"] == pytest.approx(found.judgement.effect.estimate)
    assert [seeds_words(found) for found in verdicts] == ["3 and 2", "2 and 3", "0 and 0", "2"]


def test_claims_of_a_job_are_corrected_together(stored: Callable[..., Stored]) -> None:
    """By Holm's step-down over those that have a p-value; a claim about each value counts once."""
    claims = [claim("A"), claim("B", by=79), claim("C", by=100), claim("D", "diversity")]
    study_at = stored(study(*claims))
    study_at.end_all()
    verdicts = study_at.found()
    first, second, third, fourth = (one.judgement.p_value for one in verdicts)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first < third < second, fourth) == (True, None)
    assert [one.p_holm for one in verdicts] == pytest.approx([3 * first, second, 2 * third, None])
    rows = claims_table(verdicts).to_pylist()
    assert [row["verdict"] for row in rows] == ["supported", "undecided", "refuted", "undecided"]
    assert [row["holm_verdict"] for row in rows][:2] == ["supported", "undecided"]


def test_interquartile_means_stand_beside_ten_seeds(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), seeds=10))
    for trial in study_at.job.trials:
        seed = trial.settings.training.seed
        study_at.end(trial, fid=1e6 if seed == 9 else float(seed))
    (row,) = claims_table(study_at.found()).to_pylist()
    assert row["group_iqm"] == row["than_iqm"] == stats.trim_mean(range(10), 0.25)
    assert row["probability"] == 0.5


@pytest.mark.parametrize("factor", [1.5, 7.0, 400.0])
def test_axes_of_ratios_have_numbers_to_read_them_by(stored: Callable[..., Stored], factor: float) -> None:
    study_at = stored(study(claim("A", factor=factor), claim("B")))
    study_at.end_all()
    chart = claims_chart(study_at.found())
    assert chart is not None
    figure = figure_of(chart)
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        assert len({word.get_text() for at, word in ticks if low <= at <= high}) >= 2


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
            "the whole interval is below the bound, as claimed", "3 and 3 seeds, independent",
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
def test_claims_of_other_forms_on_the_page(stored: Callable[..., Stored], report_of: Callable[[Any], Any]) -> None:
    source = 'They say <b>"less"</b>.'
    alone = {"group": SATURATING, "than": None}
    study_at = stored(
        study(
            claim("each", than={}, each={"objective.kind": ["saturating", "hinge"]}, source=source),
            claim("constant", than_value=99, **alone),
            claim("within", within=100) | {"better": None},
            claim("few", "diversity"),
            grid={"objective.kind": ["saturating", "hinge", "non_saturating"], "training.seed": [0, 1, 2]},
        )
    )
    for trial in study_at.job.trials:
        seed, kind = trial.settings.training.seed, trial.settings.objective.kind
        study_at.end(trial, fid=FID.get(kind, [30.0, 31.0, 33.0])[seed], diversity=float(seed + (kind == "saturating")))
    page = report_of(study_at)
    words = page.text("claims")
    for word in (
        f"\u201c{source}\u201d", "supported for each of the 2", "compared with: hinge", "99 a constant",
        "claimed: within 100", "too few seeds, about", "stands, p = ", "g = ", "P(better) = 1", "P(higher) = 0",
    ):  # fmt: skip
        assert word in words
    assert all(name != "b" for name, _ in page.tags)
    picture = next(image for image in page.all("img") if "each: hinge supported" in image["alt"])
    assert "each: saturating supported" in picture["alt"]


@pytest.mark.slow
def test_a_report_without_any_value_has_no_figure(
    stored: Callable[..., Stored], report_of: Callable[[Any], Any]
) -> None:
    study_at = stored(study(claim("A", "diversity")))
    study_at.end_all()
    page = report_of(study_at)
    assert "1 undecided." in page.text("claims")
    assert "figure-claims" not in page.ids
