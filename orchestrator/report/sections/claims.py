"""The claims of the job with their verdicts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.report.blocks import (
    PALETTE,
    Card,
    Cell,
    Chart,
    Facts,
    Fold,
    Head,
    Items,
    Key,
    Panel,
    PanelRow,
    Row,
    Section,
    Series,
    Table,
    Text,
    spans_decades,
)
from orchestrator.report.cells import NONE, number
from orchestrator.report.claims import counted, direction, judge_claims
from orchestrator.report.sections.run import notices
from orchestrator.report.sections.trials import linked, short_id
from orchestrator.report.verdicts import Word
from orchestrator.spec.claims import Scale

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.report.claims import Side, Verdict
    from orchestrator.study import Study

ORDER = 10
DRAWN = 30
"""So many claims are drawn; the page tells all of them."""
OPEN = 3
"""Of so many claims all that is known is seen at once; that of more is folded away."""
MOST_SEEDS, MOST_TRIALS = 40, 6
"""Seeds of a side of a claim that are listed, and trials of each."""

BETTER, COMPARED = "claimed to be better", "compared with"
_MARKS = {Word.SUPPORTED: "\u2713", Word.REFUTED: "\u2717", Word.UNDECIDED: "?"}
_TINTS = {Word.SUPPORTED: PALETTE[2], Word.REFUTED: PALETTE[1], Word.UNDECIDED: PALETTE[6]}
_GROUP, _THAN = PALETTE[0], PALETTE[3]
_TITLE = 44
_RULE = (
    "A claim is supported when the whole 95\u00a0% interval of the difference (claimed to be better − compared with), "
    "or of their ratio, lies beyond the bound as claimed, refuted when the whole of it lies on the other side. One "
    "seed is one observation, the mean of its trials and of their rows; with fewer than two in a group nothing is "
    "decided. Each interval stands for itself: of forty claims without any difference behind them, one is supported "
    "by chance."
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
    heads = ("claim", "verdict", "says", "difference or ratio (95\u00a0%)", "claimed")
    rows = [
        Row(
            (
                Cell(one.claim.id, link=f"claim-{place}"),
                Cell(str(one.judgement.word), badge=str(one.judgement.word)),
                Cell(one.claim.says, look="says"),
                Cell(_effect(one)),
                Cell(_claimed(one)),
            )
        )
        for place, one in enumerate(verdicts, start=1)
    ]
    return Table("Claims", tuple(map(Head, heads)), tuple(rows), look="")


def _card(place: int, one: Verdict, rows: Collection[str]) -> Card:
    judgement, claim = one.judgement, one.claim
    measure = Markup("<code>{}</code>").format(claim.measure)
    if claim.than_measure:
        measure += Markup(" against <code>{}</code>").format(claim.than_measure)
    unit = f" ({one.measure.unit})" if one.measure.unit else ""
    facts = (
        ("Measure", measure + f"{unit}, {claim.better} is better"),
        ("Claimed to be better", one.group.words, _mean(one.group)),
        ("Compared with", one.than.words, _mean(one.than)),
        ("Ratio" if one.ratio else "Difference", _effect(one), f"claimed: {_claimed(one)}"),
        ("Why", judgement.why, *([judgement.effect.method] if judgement.effect else [])),
    )
    heads = (Head("group"), Head("seed", numeric=True), Head(one.compared, numeric=True), Head("trials"))
    seeds = (*_seeds(BETTER, one.group, rows), *_seeds(COMPARED, one.than, rows))
    table = Table(f"Seeds and trials of {claim.id}", heads, seeds, look="")
    blocks = (Text(claim.says), Facts(facts, "facts small"), Fold("Seeds and trials", (table,), f" of {claim.id}"))
    return Card(blocks, f"claim {judgement.word}", claim.id, str(judgement.word), f"claim-{place}")


def _mean(side: Side) -> str:
    mean = "no value" if side.mean is None else f"mean {text.number(side.mean)}"
    return f"{mean}, {len(side.known)} of {text.plural(len(side.seeds), 'seed')}"


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


def _effect(one: Verdict) -> str:
    effect = one.judgement.effect
    if effect is None:
        return text.NOTHING
    return f"{text.number(effect.estimate)} ({text.number(effect.low)} to {text.number(effect.high)})"


def _claimed(one: Verdict) -> str:
    return f"{direction(one.claim)} {text.number(one.judgement.bound)}"


def claims_chart(verdicts: Sequence[Verdict]) -> Chart | None:
    """All claims in one figure, a row each: the values of both groups by seed, and the effect with its interval.

    None where none of them has a value.
    """
    drawn = [one for one in verdicts if one.group.known or one.than.known][:DRAWN]
    if not drawn:
        return None
    words = "; ".join(f"{one.claim.id} {one.judgement.word}" for one in drawn)
    return Chart(
        "claims",
        "All claims",
        f"For each claim the values of both groups by seed, and the effect with its interval: {words}. The numbers are "
        "beside each claim.",
        "Upper points: the group that is claimed to be better; lower points: what it is compared with; a point a seed. "
        "Beside them the difference or the ratio with its 95 % interval; dashed, the bound that it is claimed to be "
        f"beyond, with the claimed side shaded.{text.drawn(len(drawn), len(verdicts), 'claims')}",
        tuple(PanelRow((_values(one), _interval(one))) for one in drawn),
        (Key(BETTER, _GROUP, "o"), Key(COMPARED, _THAN, "s", hollow=True)),
        (3.75, 1.05),
    )


def _values(one: Verdict) -> Panel:
    group, than = list(one.group.known.values()), list(one.than.known.values())
    return Panel(
        (
            Series(group, [1.0] * len(group), colour=_GROUP, look="points", marker="o", size=6, opacity=0.75),
            Series(than, [0.0] * len(than), colour=_THAN, look="points", marker="s", size=5.5, hollow=True),
        ),
        textwrap.shorten(one.claim.id, _TITLE),
        across=one.compared,
        log_x=(one.ratio and min([*group, *than]) > 0) or spans_decades([*group, *than]),
        x_limits=(-0.08, 1.08) if one.measure.scale is Scale.YES_NO else None,
        flat=True,
    )


def _interval(one: Verdict) -> Panel:
    word, effect, bound = one.judgement.word, one.judgement.effect, one.judgement.bound
    title = f"{_MARKS[word]} {word}"
    across = f"{'ratio' if one.ratio else 'difference'}, claimed {_claimed(one)}"
    if effect is None:
        return Panel(title=title, across=across, message=one.judgement.why, flat=True)
    tint = _TINTS[word]
    return Panel(
        (
            Series([effect.low, effect.high], [0.5, 0.5], colour=tint, marker="|", size=9, width=2),
            Series([effect.estimate], [0.5], colour=tint, look="points", marker="D", size=5.5),
        ),
        title,
        across=across,
        log_x=one.ratio,
        rule=bound,
        shaded=direction(one.claim),
        flat=True,
    )
