"""All claims in one figure: the values of both groups, a point a seed, and the effect with its interval."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

from orchestrator.report import text
from orchestrator.report.canvas import GRID, MUTED, PALETTE, TEXT, dress, figure_of, legend_of, literal, png_of
from orchestrator.report.claims import direction
from orchestrator.report.drawings import Drawing
from orchestrator.report.verdicts import Word
from orchestrator.spec.claims import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from orchestrator.report.claims import Verdict

DRAWN = 30
"""So many claims are drawn; the page tells all of them."""

_MARKS = {Word.SUPPORTED: "\u2713", Word.REFUTED: "\u2717", Word.UNDECIDED: "?"}
_TINTS = {Word.SUPPORTED: PALETTE[2], Word.REFUTED: PALETTE[1], Word.UNDECIDED: PALETTE[6]}
_GROUP, _THAN = PALETTE[0], PALETTE[3]


def draw_claims(found: Sequence[Verdict]) -> Drawing | None:
    """A row a claim; None where none of them has a value."""
    drawn = [one for one in found if one.group.known or one.than.known][:DRAWN]
    if not drawn:
        return None
    told = "; ".join(f"{one.claim.id} {one.judgement.word}" for one in drawn)
    more = text.drawn(len(drawn), len(found), "claims")
    return Drawing(
        "claims",
        "All claims",
        f"For each claim the values of both groups by seed, and the effect with its interval: {told}. The numbers are "
        "beside each claim.",
        "Upper points: the group that is claimed to be better; lower points: what it is compared with; a point a seed. "
        "Beside them the difference or the ratio with its 95 % interval; dashed, the bound that it is claimed to be "
        f"beyond, with the claimed side shaded.{more}",
        _figure(drawn, stacked=False),
        _figure(drawn, stacked=True),
    )


def _figure(found: Sequence[Verdict], *, stacked: bool) -> bytes:
    rows, columns = (2 * len(found), 1) if stacked else (len(found), 2)
    figure = figure_of(4.2 if stacked else 8.4, 0.5 + (1.0 if stacked else 1.05) * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, verdict in enumerate(found):
        values, effect = grid[2 * place], grid[2 * place + 1]
        _values(values, verdict, width=40 if stacked else 44)
        _effect(effect, verdict)
    legend_of(
        figure,
        [
            Line2D([], [], linestyle="none", marker="o", color=_GROUP, label="claimed to be better"),
            Line2D([], [], linestyle="none", marker="s", color=_THAN, markerfacecolor="white", label="compared with"),
        ],
    )
    return png_of(figure)


def _values(axes: Axes, verdict: Verdict, width: int) -> None:
    _dress(axes)
    group, than = verdict.group.known, verdict.than.known
    axes.plot(list(group.values()), [1] * len(group), "o", color=_GROUP, markersize=6, alpha=0.75, markeredgewidth=0)
    axes.plot(list(than.values()), [0] * len(than), "s", color=_THAN, markersize=5.5, markerfacecolor="white")
    title = textwrap.shorten(verdict.claim.id, width)
    axes.set_title(literal(title), loc="left", fontsize=9.5, fontweight="bold", color=TEXT, pad=3)
    axes.set_xlabel(literal(verdict.compared), fontsize=8.5, color=MUTED, labelpad=1)
    axes.margins(x=0.08)
    _scale(axes, log=verdict.ratio and min([*group.values(), *than.values()]) > 0)
    if verdict.measure.scale is Scale.YES_NO:
        axes.set_xlim(-0.08, 1.08)


def _effect(axes: Axes, verdict: Verdict) -> None:
    _dress(axes)
    word, effect, bound = verdict.judgement.word, verdict.judgement.effect, verdict.judgement.bound
    axes.set_title(f"{_MARKS[word]} {word}", loc="left", fontsize=9.5, color=TEXT, pad=3)
    what = "ratio" if verdict.ratio else "difference"
    axes.set_xlabel(f"{what}, claimed {direction(verdict.claim)} {text.number(bound)}", fontsize=8.5, color=MUTED,
                    labelpad=1)  # fmt: skip
    if effect is None:
        axes.set_xticks([])
        axes.text(0.5, 0.5, verdict.judgement.why, transform=axes.transAxes, ha="center", va="center", fontsize=8.5,
                  color=MUTED)  # fmt: skip
        return
    axes.plot([effect.low, effect.high], [0.5, 0.5], color=_TINTS[word], linewidth=2, solid_capstyle="butt")
    axes.plot([effect.low, effect.high], [0.5, 0.5], "|", color=_TINTS[word], markersize=9, markeredgewidth=2)
    axes.plot([effect.estimate], [0.5], "D", color=_TINTS[word], markersize=5.5)
    axes.axvline(bound, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    axes.margins(x=0.1)
    _scale(axes, log=verdict.ratio)
    low, high = axes.get_xlim()
    axes.axvspan(*((bound, high) if direction(verdict.claim) == "above" else (low, bound)), color=GRID, alpha=0.6, lw=0)
    axes.set_xlim(low, high)


def _scale(axes: Axes, *, log: bool) -> None:
    """Few ticks, at round numbers; at powers of ten only where there are enough of them to read the axis by."""
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = axes.get_xlim()
        if high / low >= 100:
            return
        axes.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _dress(axes: Axes) -> None:
    dress(axes)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_ylim(-0.7, 1.7)
