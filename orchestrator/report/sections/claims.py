"""The claims of the job with their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.report.blocks import Card, Cell, Facts, Fold, Head, Items, Row, Section, Table, Text
from orchestrator.report.cells import NONE, number
from orchestrator.report.claims import counted, judge_claims
from orchestrator.report.claims_chart import BETTER, COMPARED, GROUP, claims_chart
from orchestrator.report.claims_table import claimed_words, effect_words, holm_words, size_words, verdict_words
from orchestrator.report.sections.run import notices
from orchestrator.report.sections.trials import linked, short_id
from orchestrator.statistics.effects import interquartile_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.report.claim_values import Side
    from orchestrator.report.claims import Verdict
    from orchestrator.study import Study

ORDER = 10
OPEN = 3
"""Of so many claims all that is known is seen at once; that of more is folded away."""
MOST_SEEDS, MOST_TRIALS = 40, 6
"""Seeds of a side of a claim that are listed, and trials of each."""

_RULE = (
    "A claim is supported when the whole 95\u00a0% interval of the difference (group − compared with), or of their "
    "ratio, lies where it is claimed to lie, refuted when no part of it does. One seed is one observation, the mean of "
    "its trials and of their rows; with fewer than two in a group nothing is decided. An undecided claim has either no "
    "difference that matters (a seed of one group is better than one of the other in less than 75\u00a0%) or too few "
    "seeds to tell; the number of seeds is what would decide it in 80\u00a0% of studies if effect and spread are as "
    "measured. g is Hedges\u2019 effect size, the difference in standard deviations between seeds; P(better) is the "
    "probability that a seed of the group is better than one that it is compared with. Each interval stands for "
    "itself: of forty claims without any difference behind them, one is supported by chance. Holm\u2019s correction "
    "allows for that: all claims that stand with it hold together at 95\u00a0%."
)


def build(study: Study) -> Section | None:
    """A table, a figure and a card for each claim; None where the job has none."""
    claims = judge_claims(study.store, study.raw, study.job)
    known = notices(study)
    further = tuple(notice for notice in claims.notices if notice not in known)
    if not claims.verdicts and not further:
        return None
    blocks: list[Block] = [Items(further, "notices")] if further else []
    if claims.verdicts:
        blocks = [Text(f"{counted(claims.verdicts)}.", "verdict"), *blocks, *_blocks(claims.verdicts, linked(study))]
    return Section("claims", "Claims", "Claims", tuple(blocks))


def _blocks(verdicts: Sequence[Verdict], rows: Collection[str]) -> list[Block]:
    blocks: list[Block] = [_table(verdicts)] if len(verdicts) > 1 else []
    if chart := claims_chart(verdicts):
        blocks.append(chart)
    cards: list[Block] = [_card(place, one, rows) for place, one in enumerate(verdicts, start=1)]
    blocks += cards if len(cards) <= OPEN else [Fold("Each claim with its numbers, seeds and trials", tuple(cards))]
    return [*blocks, Text(_RULE, "notes")]


def _table(verdicts: Sequence[Verdict]) -> Table:
    heads = ("claim", "verdict", "says", "difference or ratio (95\u00a0%)", "claimed", "effect size", "Holm")
    rows = [
        Row(
            (
                Cell(one.claim.id, link=f"claim-{place}"),
                Cell(str(one.judgement.word), badge=str(one.judgement.word), small=_undecided(one)),
                Cell(one.claim.says, look="says"),
                Cell(effect_words(one.judgement)),
                Cell(claimed_words(one)),
                Cell(size_words(one)),
                Cell(holm_words(one)),
            )
        )
        for place, one in enumerate(verdicts, start=1)
    ]
    return Table("Claims", tuple(map(Head, heads)), tuple(rows), look="")


def _undecided(one: Verdict) -> tuple[str, ...]:
    words = verdict_words(one.judgement).partition(": ")[2]
    return (words,) if words else ()


def _card(place: int, one: Verdict, rows: Collection[str]) -> Card:
    blocks: list[Block] = [Text(one.claim.says)]
    if one.claim.source:
        blocks.append(Text(f"\u201c{text.excerpt(one.claim.source, len(one.claim.source))}\u201d", "source"))
    blocks.append(Facts(_facts(one), "facts small"))
    if one.members:
        blocks.append(_members(one))
    blocks.append(
        Fold("Seeds and trials", tuple(_trials(part, rows) for part in one.members or (one,)), f" of {one.claim.id}")
    )
    badge = str(one.judgement.word)
    return Card(tuple(blocks), f"claim {badge}", one.claim.id, badge, f"claim-{place}")


def _facts(one: Verdict) -> tuple[tuple[str, ...], ...]:
    judgement, claim = one.judgement, one.claim
    measure = Markup("<code>{}</code>").format(claim.measure)
    if claim.than_measure:
        measure += Markup(" against <code>{}</code>").format(claim.than_measure)
    unit = f" ({one.measure.unit})" if one.measure.unit else ""
    aim = f", {claim.better} is better" if claim.better else ""
    group = "Claimed to be better" if claim.better and one.than else "Group"
    than = (one.than.words, _mean(one.than)) if one.than else (f"{text.number(claim.than_value)}", "a constant")
    of = " of the least supported" if one.members else ""
    effect = f"{'Ratio' if one.ratio else 'Difference'}{of}"
    return (
        ("Measure", measure + f"{unit}{aim}"),
        (group, one.group.words, _mean(one.group)),
        ("Compared with", *than),
        (effect, effect_words(judgement), f"claimed: {claimed_words(one)}"),
        ("Effect size", size_words(one), f"after Holm\u2019s correction: {holm_words(one)}"),
        ("Why", judgement.why, *([judgement.effect.method] if judgement.effect else [])),
    )


def _members(one: Verdict) -> Table:
    """A line for each value that the claim is about."""
    (path,) = one.claim.each or {}
    heads = (
        Head(path), Head("verdict"), Head("mean", numeric=True), Head("compared with", numeric=True),
        Head("difference or ratio (95\u00a0%)"), Head("effect size"), Head("why"),
    )  # fmt: skip
    rows = [
        Row(
            (
                Cell(member.value),
                Cell(str(member.judgement.word), badge=str(member.judgement.word)),
                number(member.group.mean),
                number(member.claim.than_value if member.than is None else member.than.mean),
                Cell(effect_words(member.judgement)),
                Cell(size_words(member)),
                Cell(member.judgement.why, look="says"),
            )
        )
        for member in one.members
    ]
    return Table(f"Each value of {one.claim.id}", heads, tuple(rows), look="")


def _trials(one: Verdict, rows: Collection[str]) -> Table:
    heads = (Head("group"), Head("seed", numeric=True), Head(one.compared, numeric=True), Head("trials"))
    value = f": {one.value}" if one.value else ""
    seeds = _seeds(f"{BETTER if one.claim.better and one.than else GROUP}{value}", one.group, rows)
    seeds += _seeds(f"{COMPARED}{value}", one.than, rows) if one.than else []
    return Table(f"Seeds and trials of {one.name}", heads, tuple(seeds), look="")


def _mean(side: Side) -> str:
    if not side.seeds:
        return "each for itself, below"
    values = list(side.known.values())
    mean = "no value" if side.mean is None else f"mean {text.number(side.mean)}"
    middle = interquartile_mean(values)
    robust = "" if middle is None else f", interquartile mean {text.number(middle)}"
    return f"{mean}{robust}, {len(values)} of {text.plural(len(side.seeds), 'seed')}"


def _seeds(name: str, side: Side, rows: Collection[str]) -> list[Row]:
    rows_of_seeds = []
    for seed in side.seeds[:MOST_SEEDS]:
        trials = Markup(", ").join(_trial(one, rows) for one in seed.trials[:MOST_TRIALS])
        trials += text.more(len(seed.trials) - MOST_TRIALS)
        value = NONE if seed.value is None else number(seed.value)
        rows_of_seeds.append(Row((Cell(name), Cell(str(seed.seed), look="num"), value, Cell(trials))))
    if (more := len(side.seeds) - MOST_SEEDS) > 0:
        rows_of_seeds.append(
            Row((Cell(name), Cell("…", look="num"), Cell("…", look="none"), Cell(f"and {more} more seeds")))
        )
    return rows_of_seeds


def _trial(trial: str, rows: Collection[str]) -> Markup:
    """The short id of a trial, which leads to its row if there is one."""
    if trial not in rows:
        return Markup("<code>{}</code> (has not ended)").format(short_id(trial))
    return Markup('<a href="#trial-{}"><code>{}</code></a>').format(trial, short_id(trial))
