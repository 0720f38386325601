"""The figure of a job's claims: the values of both groups, and each effect with its interval."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.report.blocks import PALETTE, Chart, Key, Panel, PanelRow, Series, spans_decades
from orchestrator.report.claims import direction
from orchestrator.report.claims_table import claimed_words
from orchestrator.report.verdicts import Word
from orchestrator.spec.claims import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.claims import Verdict

DRAWN = 30
"""So many rows of claims, or of members of claims about each value, are drawn; the page tells all of them."""
BETTER, GROUP, COMPARED = "claimed to be better", "group", "compared with"
_MARKS = {Word.SUPPORTED: "\u2713", Word.REFUTED: "\u2717", Word.UNDECIDED: "?"}
_TINTS = {Word.SUPPORTED: PALETTE[2], Word.REFUTED: PALETTE[1], Word.UNDECIDED: PALETTE[6]}
_GROUP, _THAN = PALETTE[0], PALETTE[3]
_TITLE = 44


def claims_chart(verdicts: Sequence[Verdict]) -> Chart | None:
    """All claims in one figure, a row each: the values of both groups by seed, and the effect with its interval.

    A claim about each value has a row for every value. None where none of them has a value.
    """
    rows = [row for one in verdicts for row in one.members or (one,)]
    drawn = [one for one in rows if one.group.known or (one.than and one.than.known)][:DRAWN]
    if not drawn:
        return None
    words = "; ".join(f"{one.name} {one.judgement.word}" for one in drawn)
    return Chart(
        "claims",
        "All claims",
        f"For each claim the values of both groups by seed, and the effect with its interval: {words}. The numbers are "
        "beside each claim.",
        "Upper points: the group that the claim is about; lower points: what it is compared with; a point a seed, a "
        "dashed line a constant. Beside them the difference or the ratio with its 95 % interval; dashed, the bound "
        "that it is claimed to be beyond or within, with the claimed side shaded."
        f"{text.drawn(len(drawn), len(rows), 'claims')}",
        tuple(PanelRow((_values(one), _interval(one))) for one in drawn),
        (Key(BETTER, _GROUP, "o"), Key(COMPARED, _THAN, "s", hollow=True)),
        (3.75, 1.05),
    )


def _values(one: Verdict) -> Panel:
    group, than = list(one.group.known.values()), list(one.than.known.values()) if one.than else []
    seen = [*group, *than, *([] if one.claim.than_value is None else [one.claim.than_value])]
    return Panel(
        (
            Series(group, [1.0] * len(group), colour=_GROUP, look="points", marker="o", size=6, opacity=0.75),
            Series(than, [0.0] * len(than), colour=_THAN, look="points", marker="s", size=5.5, hollow=True),
        ),
        textwrap.shorten(one.name, _TITLE),
        across=one.compared,
        log_x=(one.ratio and min(seen) > 0) or spans_decades(seen),
        x_limits=(-0.08, 1.08) if one.measure.scale is Scale.YES_NO else None,
        rule=one.claim.than_value,
        flat=True,
    )


def _interval(one: Verdict) -> Panel:
    word, effect, bound = one.judgement.word, one.judgement.effect, one.judgement.bound
    title = f"{_MARKS[word]} {one.judgement.undecided or word}"
    across = f"{'ratio' if one.ratio else 'difference'}, claimed {claimed_words(one)}"
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
