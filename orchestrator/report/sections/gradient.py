"""How the losses of a saturation study scale the generator's gradient: an answer in words, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.metrics.health import REJECTED
from orchestrator.report.answer import DAMPED, VANISHED, answer
from orchestrator.report.blocks import Card, Cell, Head, Items, Row, Section, Table, Text
from orchestrator.report.cells import MEANS, NONE, between, number, numeric_heads, setting_cells, setting_heads, spread
from orchestrator.report.saturation import (
    FAIR_SHARE,
    GradientRow,
    agreement,
    gradient_cells,
    gradient_rows,
    is_saturation_study,
)
from orchestrator.study import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.study import Study

ORDER = 30
_F, _L = Markup("<i>F</i>"), Markup("<i>L</i><sub>G</sub>")
_GRADIENT = Markup("∂<i>L</i><sub>G</sub>/∂<i>F</i>")
_THEORY = Markup(
    "By the chain rule every part of the generator\u2019s gradient carries the factor "
    '<span class="math">{gradient}</span>, where {F} is the discriminator\u2019s raw score of a generated image. '
    "For the saturating loss, {L} = −softplus({F}), "
    "its size is σ({F}): nothing is left once the discriminator rejects every sample. For the non-saturating loss, "
    "{L} = softplus(−{F}), it is 1 − σ({F}). Here a gradient is called vanishing when less than {vanished} of it is "
    "passed on in every seed, strongly damped below {damped}."
)
_NOTE = Markup(
    "Means over the last epoch of each finished trial, and over its images: σ({F}) is averaged, not taken at the mean "
    "{F}. {means} “Stays under” is the first logged step from which mean σ({F}) is below {rejected} up to the end, for "
    "at least {share} of the run.{left_out}"
)


def build(study: Study) -> Section | None:
    """None where the study does not compare the two losses."""
    if not is_saturation_study(study):
        return None
    rows = gradient_rows(study)
    optimizers = study.trials.get("training.g_optimizer.kind")
    kinds = [] if optimizers is None else sorted(set(map(str, optimizers)))
    quality = bool(len(study.evaluations["quality"])) or bool(study.trials["fid"].notna().any())
    answered = answer(rows, agreement(study.trials), kinds, quality=quality)
    cells = [Items(answered.cells, "")] if answered.cells else []
    words = _THEORY.format(gradient=_GRADIENT, F=_F, L=_L, vanished=text.percent(VANISHED), damped=text.percent(DAMPED))
    blocks: list[Block] = [Card((Text(answered.verdict, "verdict"), *cells), "answer"), Text(words)]
    if answered.notes:
        blocks.append(Items(answered.notes, "notes"))
    if rows:
        blocks += _table(study, rows)
    return Section("gradient", "How the generator\u2019s gradient is scaled", "Gradient scale", tuple(blocks))


def _table(study: Study, rows: Sequence[GradientRow]) -> list[Block]:
    left_out = int((~study.trials["status"].isin(ENDED)).sum())
    note = _NOTE.format(
        F=_F,
        means=MEANS,
        rejected=REJECTED,
        share=text.percent(FAIR_SHARE),
        left_out=f" Left out because they did not finish: {left_out} of the trials." if left_out else "",
    )
    measures = [
        Markup("mean σ({})").format(_F),
        Markup("1 − σ({})").format(_F),
        Markup('measured <span class="math">|{}|</span>').format(_GRADIENT),
        "theory predicts",
        "G gradient norm",
    ]
    under = Head(Markup("σ({}) stays under {} from step").format(_F, REJECTED), numeric=True, long=True)
    heads = (*setting_heads(gradient_cells(study).heads), *numeric_heads(measures), under, *numeric_heads(["seeds"]))
    drawn = tuple(
        Row(
            (
                *setting_cells(row.values),
                *map(spread, (row.fake, row.remainder, row.measured, row.theory, row.norm)),
                _rejected(row),
                number(row.seeds),
            )
        )
        for row in rows
    )
    return [
        Text(note, "notes", "gradient-note"),
        Table("How the generator\u2019s gradient is scaled", heads, drawn, "gradient-note"),
    ]


def _rejected(row: GradientRow) -> Cell:
    """The steps from which samples were rejected for good, and in how many seeds."""
    steps = [step for step in row.rejected_from if step is not None]
    if not steps:
        return Cell("never", look="num") if row.rejected_from else NONE
    seeds = (f"{len(steps)} of {len(row.rejected_from)} seeds",) if len(row.rejected_from) > 1 else ()
    return Cell(between(min(steps), max(steps)), look="num", small=seeds)
