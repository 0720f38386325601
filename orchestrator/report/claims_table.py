"""The verdicts on a job's claims as a table, for scripts and terminals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orchestrator import text
from orchestrator.report.claims import direction
from orchestrator.report.verdicts import Word, enough
from orchestrator.statistics.effects import ENOUGH, interquartile_mean
from orchestrator.statistics.power import BEYOND
from orchestrator.store.columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.claim_values import Side
    from orchestrator.report.claims import Verdict
    from orchestrator.report.verdicts import Judgement
    from orchestrator.statistics.intervals import Interval

_STRING, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()
COLUMNS = (
    Column("claim", _STRING, "", "the claim's id in the job file"),
    Column("verdict", _STRING, "", "supported, refuted or undecided"),
    Column("why", _STRING, "", "what the verdict rests on"),
    Column("says", _STRING, "", "the claim as a sentence"),
    Column("measure", _STRING, "", "what is compared"),
    Column("than_measure", _STRING, "", "what it is compared with, where that is another measure"),
    Column("effect", _STRING, "", "difference (group - than) or ratio (group / than)"),
    Column("estimate", _FLOAT, "", "the effect; of a claim with each, that of the member with the least support"),
    Column("low", _FLOAT, "", "lower end of its 95 % interval"),
    Column("high", _FLOAT, "", "upper end of it"),
    Column("claimed", _STRING, "", "below, above or within, as the claim has it"),
    Column("bound", _FLOAT, "", "what the effect is claimed to be below, above, or within on both sides of 0"),
    Column("method", _STRING, "", "how the interval was found"),
    Column("group", _STRING, "", "what is claimed to be better, as JSON"),
    Column("group_mean", _FLOAT, "", "mean of the measure over seeds; of a claim with each, that of the same member"),
    Column("group_seeds", _INT, "", "seeds with a value; likewise"),
    Column("than", _STRING, "", "what it is compared with, as JSON"),
    Column("than_mean", _FLOAT, "", "mean of the measure over seeds; likewise"),
    Column("than_seeds", _INT, "", "seeds with a value; likewise"),
    Column("undecided", _STRING, "", "no difference or too few seeds; null for other verdicts, and without values"),
    Column("seeds_needed", _INT, "", f"seeds a side that would decide it in 80 % of studies; {BEYOND} is more"),
    Column("effect_size", _FLOAT, "", "Hedges' g, positive where the group has the better values; null of yes and no"),
    Column("probability", _FLOAT, "", "that a seed of the group is better than one of than, with half of the ties"),
    Column("p_value", _FLOAT, "", "two-sided, of the bound; below 0.05 where the interval decides the claim"),
    Column("p_holm", _FLOAT, "", "the same after Holm's correction over all claims of the job"),
    Column("holm_verdict", _STRING, "", "the verdict that is left with that"),
    Column("group_iqm", _FLOAT, "", f"interquartile mean over seeds, from {ENOUGH} on"),
    Column("than_iqm", _FLOAT, "", "likewise"),
    Column("than_value", _FLOAT, "", "the constant that the group is compared with"),
    Column("unit", _STRING, "", "unit of the measure; empty for scores and ratios"),
    Column("source", _STRING, "", "the sentence of the source that the claim tests"),
    Column("each", _STRING, "", "the setting and the values that it is about, as JSON"),
    Column("members", _STRING, "", "value, verdict and interval for each of them, as JSON"),
)
"""The columns of ``claims_table``."""


def claims_table(verdicts: Sequence[Verdict]) -> pa.Table:
    """One row a claim, for scripts."""
    schema = pa.schema([pa.field(column.name, column.dtype) for column in COLUMNS])
    return pa.Table.from_pylist([_row(verdict) for verdict in verdicts], schema)


def _row(verdict: Verdict) -> dict[str, Any]:
    claim, judgement, effect = verdict.claim, verdict.judgement, verdict.judgement.effect
    return {
        "claim": claim.id,
        "verdict": str(judgement.word),
        "why": judgement.why,
        "says": claim.says,
        "measure": claim.measure,
        "than_measure": claim.than_measure,
        "effect": "ratio" if verdict.ratio else "difference",
        **_ends(effect),
        "claimed": direction(claim),
        "bound": judgement.bound,
        "method": effect and effect.method,
        **_side("group", claim.group, verdict.shown.group),
        **_side("than", claim.than, verdict.shown.than),
        "undecided": judgement.undecided and str(judgement.undecided),
        "seeds_needed": judgement.seeds_needed,
        "effect_size": judgement.size,
        "probability": judgement.probability,
        "p_value": judgement.p_value,
        "p_holm": verdict.p_holm,
        "holm_verdict": str(verdict.holm),
        "than_value": claim.than_value,
        "unit": verdict.measure.unit,
        "source": claim.source,
        "each": claim.each and json.dumps(claim.each),
        "members": json.dumps([_member(one) for one in verdict.members]) if verdict.members else None,
    }


def _side(name: str, where: dict[str, Any] | None, side: Side | None) -> dict[str, Any]:
    """A group's columns, of which a constant has none."""
    if side is None:
        return {name: None}
    values = list(side.known.values())
    return {
        name: json.dumps(where),
        f"{name}_mean": side.mean,
        f"{name}_seeds": len(values),
        f"{name}_iqm": interquartile_mean(values),
    }


def _ends(effect: Interval | None) -> dict[str, float | None]:
    return {name: getattr(effect, name, None) for name in ("estimate", "low", "high")}


def _member(one: Verdict) -> dict[str, Any]:
    return {
        "value": one.value,
        "verdict": str(one.judgement.word),
        "why": one.judgement.why,
        **_ends(one.judgement.effect),
        "p_value": one.judgement.p_value,
    }


def effect_words(judgement: Judgement) -> str:
    """``-0.75 (-1.171 to -0.329)``."""
    effect = judgement.effect
    if effect is None:
        return text.NOTHING
    return f"{text.number(effect.estimate)} ({text.number(effect.low)} to {text.number(effect.high)})"


def claimed_words(one: Verdict) -> str:
    """``below -5``, ``within 0.1``."""
    return f"{direction(one.claim)} {text.number(one.judgement.bound)}"


def verdict_words(judgement: Judgement) -> str:
    """``supported``, ``undecided: too few seeds, about 12``."""
    words = str(judgement.word)
    if judgement.undecided:
        words += f": {judgement.undecided}"
    if judgement.seeds_needed:
        words += f", {enough(judgement.seeds_needed)}"
    return words


def seeds_words(one: Verdict) -> str:
    """``5 and 5``, ``5`` beside a constant, ``5 pairs`` of the same trained models; of a side without a value 0."""
    shown = one.shown
    group = len(shown.group.known)
    if shown.than is None:
        return str(group)
    return f"{group} pairs" if shown.paired else f"{group} and {len(shown.than.known)}"


def size_words(one: Verdict) -> str:
    """``g = 1.2, P(better) = 0.93``; P(higher) where no values are the better ones."""
    judgement = one.judgement
    parts = [] if judgement.size is None else [f"g = {judgement.size:.2g}"]
    if judgement.probability is not None:
        parts.append(f"P({'better' if one.claim.better else 'higher'}) = {judgement.probability:.2g}")
    return ", ".join(parts) or text.NOTHING


def holm_words(one: Verdict) -> str:
    """``stands, p = 0.012``; ``does not stand, p = 0.08`` of what was decided; the p-value alone of what was not."""
    if one.p_holm is None:
        return text.NOTHING
    p = "p < 0.001" if one.p_holm < 0.001 else f"p = {one.p_holm:.2g}"
    if one.judgement.word is Word.UNDECIDED:
        return p
    return f"{'stands' if one.holm is one.judgement.word else 'does not stand'}, {p}"
