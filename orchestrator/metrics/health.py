"""Whether a training run still learns: saturated, collapsed or diverged, decided from what it has logged.

Pure functions of numbers: the same rows always give the same answer, on any machine and after any interruption.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = Mapping[str, float | int | str | None]

REJECTED = 1e-3
"""Mean sigma(F) below which the discriminator rejects every sample, and mean |dL_G/dF| below which a logistic loss
passes no gradient on: under the saturating loss these are one number."""
FAINT = 1e-3
"""Share of its early size below which the gradient in generated images has vanished."""
PATIENCE_STEPS, SHARE = 1000, 0.1
"""A run is saturated after so many steps in a row; where no gradient is left, after this share of its steps if that is
fewer. The same share of a run is the early part that later gradients and losses are compared with."""
OUT_OF_BOUNDS = 1000.0
"""Factor over its greatest size in the early part at which a loss has left all measure."""
WORSE = 2.0
"""Factor over the FID once held at which samples have become worse; twice running, they have collapsed."""
GIVEN_BACK = 0.1
"""Share of the way from the FID once held to the first one that has to be given back besides: near the best that a
run reaches, FIDs of few samples double by chance."""
FEW_MODES = 0.5
"""Share of the data's classes below which samples cover too few; twice running, they have collapsed."""
ALIKE = 0.25
"""Diversity below which samples are too alike, where there are no classes to count; twice running, likewise."""


class Condition(StrEnum):
    """What may have become of a run."""

    HEALTHY = "healthy"
    SATURATED = "saturated"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"


WORST_FIRST = (Condition.DIVERGED, Condition.COLLAPSED, Condition.SATURATED)
"""Conditions other than healthy, in the order in which they count."""


class Course(NamedTuple):
    """What the thresholds depend on: steps of the whole run, classes of the data (None without a classifier).

    ``logistic`` tells that sigma(F) is the discriminator's probability that a generated image is real, and that the
    generator learns through F alone.
    """

    total_steps: int
    logistic: bool
    classes: int | None

    @property
    def patience(self) -> int:
        """Steps in a row without a gradient after which a run counts as saturated."""
        return max(1, min(PATIENCE_STEPS, round(SHARE * self.total_steps)))

    @property
    def early(self) -> float:
        """The last step of the run's early part."""
        return SHARE * self.total_steps


@dataclass(frozen=True)
class Health:
    """What the rows up to now say: steps at which a run was first saturated, collapsed or diverged; None for never.

    Saturated (Goodfellow et al., arXiv 1406.2661, section 3, on the minimax loss): throughout ``Course.patience`` steps
    no gradient is left, which is to say mean |dL_G/dF| < REJECTED or, under an objective whose scores are no logits, a
    gradient in the generated images of less than FAINT times its early mean; or throughout PATIENCE_STEPS the
    discriminator rejects all samples, mean sigma(F) < REJECTED, from which the non-saturating loss may recover.
    ``saturated_at`` is where the stretch began.

    Collapsed: at two measures of samples in a row FID is over WORSE times the lowest held before and GIVEN_BACK of the
    way from there to the first one, or fewer than FEW_MODES of the classes are covered, or, without classes, diversity
    is below ALIKE. A FID is held when two measures in a row are no higher: single ones jump. The last two count only
    once there were more, or from the middle of the run on unless diversity is the greatest so far, and never with the
    lowest FID so far: early samples are all alike, and a run whose variety still grows is slow, not collapsed.

    Diverged: a row's mean loss is OUT_OF_BOUNDS times the greatest early one. (A loss that is not finite makes no row.)
    """

    saturated_at: int | None = None
    collapsed_at: int | None = None
    diverged_at: int | None = None
    best_fid: float | None = None
    best_step: int | None = None
    first_fid: float | None = None
    last_fid: float | None = None
    held_fid: float | None = None
    """The lowest FID that two measures in a row did not exceed."""
    faint_from: int | None = None
    """Where the running stretch of no gradient began."""
    rejected_from: int | None = None
    """Where the running stretch of rejected samples began."""
    last_step: int = 0
    early_gradients: tuple[float, int] = (0.0, 0)
    """Sum and number of the early rows' gradients in images."""
    early_loss: float = 0.0
    had_variety: bool = False
    most_diverse: float = 0.0
    """The greatest diversity measured."""
    bad_looks: int = 0

    def after(self, row: Row, course: Course) -> Health:
        """What one more row of metrics/ makes of it: first its signals, then what it measured of samples, if it did."""
        known = replace(self._after_signals(row, course), last_step=int(row["step"] or 0))
        looked = any(row.get(name) is not None for name in ("fid", "modes", "diversity"))
        return known.after_sample_metrics(row, course) if looked else known

    def after_sample_metrics(self, row: Row, course: Course) -> Health:
        """What a measure of samples makes of it, taken at the last row's step."""
        varied = _varied(row, course)
        fid, step = _number(row, "fid"), int(row["step"] or 0)
        worse = fid is not None and self._is_worse(fid)
        best = fid is not None and (self.best_fid is None or fid < self.best_fid)
        diversity = _number(row, "diversity") or 0.0
        due = self.had_variety or (step > course.total_steps / 2 and diversity <= self.most_diverse)
        looks = self.bad_looks + 1 if worse or (due and not varied and not best) else 0
        return replace(
            self,
            had_variety=self.had_variety or varied,
            most_diverse=max(self.most_diverse, diversity),
            bad_looks=looks,
            collapsed_at=step if self.collapsed_at is None and looks >= 2 else self.collapsed_at,
            best_fid=fid if best else self.best_fid,
            best_step=step if best else self.best_step,
            first_fid=fid if self.first_fid is None else self.first_fid,
            last_fid=fid,
            held_fid=self._held(fid),
        )

    def _is_worse(self, fid: float) -> bool:
        if self.held_fid is None or self.first_fid is None:
            return False
        return fid > max(WORSE * self.held_fid, self.held_fid + GIVEN_BACK * (self.first_fid - self.held_fid))

    def _held(self, fid: float | None) -> float | None:
        pair = None if fid is None or self.last_fid is None else max(fid, self.last_fid)
        return min((one for one in (pair, self.held_fid) if one is not None), default=None)

    def _after_signals(self, row: Row, course: Course) -> Health:
        step = int(row["step"] or 0)
        early = step <= course.early or not self.last_step  # the first row, however late: something has to be early
        gradient, (total, count) = _number(row, "g_image_gradient"), self.early_gradients
        if early and gradient is not None:
            total, count = total + gradient, count + 1
        loss = max(abs(_number(row, name) or 0.0) for name in ("d_loss", "g_loss"))
        beyond = not early and loss > OUT_OF_BOUNDS * self.early_loss > 0
        faint_from = self._from(self.faint_from, self._is_faint(row, course, gradient))
        rejected_from = self._from(self.rejected_from, course.logistic and _below(row, "d_fake_probability"))
        stretches = ((faint_from, course.patience), (rejected_from, PATIENCE_STEPS))
        frozen = [began for began, patience in stretches if began is not None and step - began >= patience]
        return replace(
            self,
            early_gradients=(total, count),
            early_loss=max(self.early_loss, loss) if early else self.early_loss,
            faint_from=faint_from,
            rejected_from=rejected_from,
            saturated_at=min(frozen) if frozen and self.saturated_at is None else self.saturated_at,
            diverged_at=step if beyond and self.diverged_at is None else self.diverged_at,
        )

    def _from(self, began: int | None, goes_on: bool) -> int | None:
        """Where a stretch began that may go on with one more row: at the row before its first."""
        return (self.last_step if began is None else began) if goes_on else None

    def _is_faint(self, row: Row, course: Course, gradient: float | None) -> bool:
        if course.logistic:
            return _below(row, "g_score_gradient")
        total, count = self.early_gradients
        return gradient is not None and count > 0 and gradient < FAINT * total / count

    def step_of(self, condition: Condition) -> int | None:
        """The step at which the run first came to be so."""
        steps = {
            Condition.SATURATED: self.saturated_at,
            Condition.COLLAPSED: self.collapsed_at,
            Condition.DIVERGED: self.diverged_at,
        }
        return steps.get(condition)

    @property
    def condition(self) -> Condition:
        """The worst that has come about: diverged, then collapsed, then saturated."""
        return next((bad for bad in WORST_FIRST if self.step_of(bad) is not None), Condition.HEALTHY)

    def first_of(self, conditions: Iterable[Condition]) -> Condition | None:
        """The one of these that has come about, the worst first; None where none has."""
        worst = sorted(conditions, key=WORST_FIRST.index)
        return next((bad for bad in worst if self.step_of(bad) is not None), None)


def _varied(row: Row, course: Course) -> bool:
    """Whether samples differ enough from each other."""
    modes, diversity = _number(row, "modes"), _number(row, "diversity")
    if course.classes is not None and modes is not None:
        return modes >= FEW_MODES * course.classes
    return diversity is None or diversity >= ALIKE


def _below(row: Row, name: str) -> bool:
    value = _number(row, name)
    return value is not None and value < REJECTED


def _number(row: Row, name: str) -> float | None:
    value = row.get(name)
    return None if value is None or isinstance(value, str) else float(value)
