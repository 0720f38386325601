"""How the losses of a saturation study scale the generator's gradient: theory and measure beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.metrics.health import REJECTED
from orchestrator.report.blocks import Cell, Head, Items, Row, Section, Table, Text
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
    from collections.abc import Iterator, Sequence

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
    "{L} = softplus(−{F}), it is 1 − σ({F})."
)
_NOTE = Markup(
    "Means over the last epoch of each finished trial, and over its images: σ({F}) is averaged, not taken at the mean "
    "{F}. {means} “Stays under” is the first logged step from which mean σ({F}) is below {rejected} up to the end, for "
    "at least {share} of the run.{left_out}"
)


_ADAM = (
    "Adam divides each gradient by its own recent size, so a generator need not slow down in proportion to its factor."
)
_OWN_RUNS = (
    "The two losses are compared in their own runs, each against its own discriminator. The factor says how much "
    "gradient reaches the generator, not how good its images are."
)
AGREES = 1e-3
"""Greatest relative difference at which measure and theory are said to agree."""


def build(study: Study) -> Section | None:
    """None where the study does not compare the two losses, or no trial of one has ended."""
    if not is_saturation_study(study):
        return None
    rows = gradient_rows(study)
    if not rows:
        return None
    words = Text(_THEORY.format(gradient=_GRADIENT, F=_F, L=_L))
    blocks = (words, Items(tuple(_notes(study)), "notes"), *_table(study, rows))
    return Section("gradient", "How the generator\u2019s gradient is scaled", "Gradient scale", blocks)


def _notes(study: Study) -> Iterator[str]:
    """What has to be known beside the table."""
    if fit := agreement(study.trials):
        trials = text.plural(fit.trials, "trial")
        verb = "agrees with" if fit.relative <= AGREES else "DOES NOT agree with"
        yield (
            f"The measured |∂L_G/∂F| {verb} theory: the greatest relative difference in {trials} is {fit.relative:.1e}."
            if fit.relative
            else f"The measured |∂L_G/∂F| is exactly what theory says in {trials}."
        )
    if "adam" in set(study.trials.get("training.g_optimizer.kind", ())):
        yield _ADAM
    yield _OWN_RUNS


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
