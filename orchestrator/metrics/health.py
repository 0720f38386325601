"""Whether a training run is saturated, collapsed or diverged, decided from its logged rows.

Pure functions of numbers: the same rows always give the same decision, on any machine and after any interruption.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = Mapping[str, float | int | str | None]

REJECTED = 1e-3
"""Mean sigma(F) below which the discriminator rejects every sample, and mean |dL_G/dF| below which a logistic loss has
no gradient: under the saturating loss both are the same number."""
FAINT = 1e-3
"""Share of its early mean below which the gradient in generated images has vanished."""
PATIENCE_STEPS, SHARE = 1000, 0.1
"""A run is saturated after this many steps in a row; without a gradient, after this share of its steps if that is
fewer. The same share of a run is its early part, which later gradients and losses are compared with."""
OUT_OF_BOUNDS = 1000.0
"""Factor over its greatest absolute value in the early part above which a loss has diverged."""
WORSE = 2.0
"""Factor over the lowest held FID above which samples have become worse; twice in a row, they have collapsed."""
GIVEN_BACK = 0.1
"""Share of the improvement from the first to the lowest held FID that must be lost as well: near the best FID of a run,
FIDs of few samples double by chance."""
FEW_MODES = 0.5
"""Share of the data's classes below which samples cover too few; twice in a row, they have collapsed."""
ALIKE = 0.25
"""Diversity below which samples are too alike, if there are no classes to count; twice in a row, likewise."""


class Condition(StrEnum):
    """The condition of a run."""

    HEALTHY = "healthy"
    SATURATED = "saturated"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"


WORST_FIRST = (Condition.DIVERGED, Condition.COLLAPSED, Condition.SATURATED)
"""Conditions other than healthy; of several, the first one counts."""


class Course(NamedTuple):
    """The run's properties that thresholds depend on: its total steps, classes of the data (None without a classifier).

    ``logistic`` means that sigma(F) is the discriminator's probability that a generated image is real, and that the
    generator learns through F only.
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
    """The state after the rows so far: the first steps at which a run was saturated, collapsed, diverged; or None.

    Saturated (Goodfellow et al., arXiv 1406.2661, section 3, on the minimax loss): for ``Course.patience`` steps there
    is no gradient, or for PATIENCE_STEPS the discriminator rejects all samples. No gradient means mean |dL_G/dF| <
    REJECTED or, if scores are not logits, a gradient in the generated images below FAINT times its early mean.
    Rejection means mean sigma(F) < REJECTED, from which the non-saturating loss may recover. ``saturated_at`` is the
    step at which the stretch began.

    Collapsed: twice in a row the FID exceeds both WORSE times the lowest held FID and that FID plus GIVEN_BACK of the
    way from it to the first FID; or fewer than FEW_MODES of the classes are covered; or, without classes, diversity is
    below ALIKE. A FID is held if two in a row do not exceed it, since single ones jump. Modes and diversity count only
    after they were higher, or from the middle of the run on, and never with the greatest diversity or the lowest FID so
    far: early samples are all alike, and a run whose variety still grows is slow, not collapsed, although its blurred
    samples may cover some classes for a while and then others.

    Diverged: a row's mean loss is OUT_OF_BOUNDS times the greatest early one. (A loss that is not finite has no row.)
    """

    saturated_at: int | None = None
    collapsed_at: int | None = None
    diverged_at: int | None = None
    best_fid: float | None = None
    best_step: int | None = None
    first_fid: float | None = None
    last_fid: float | None = None
    held_fid: float | None = None
    """The lowest FID that two FIDs in a row did not exceed."""
    faint_from: int | None = None
    """The step at which the current stretch without a gradient began."""
    rejected_from: int | None = None
    """The step at which the current stretch of rejected samples began."""
    last_step: int = 0
    early_gradients: tuple[float, int] = (0.0, 0)
    """Sum and number of the early rows' gradients in images."""
    early_loss: float = 0.0
    had_variety: bool = False
    most_diverse: float = 0.0
    """The greatest diversity measured."""
    worse_fids: int = 0
    """FIDs in a row that are worse."""
    too_alike: int = 0
    """Sample metrics in a row whose samples cover too few modes or are too alike."""

    def after(self, row: Row, course: Course) -> Health:
        """The state after one more row of metrics/: from its training metrics, then its sample metrics, if any."""
        health = replace(self._after_training_metrics(row, course), last_step=int(row["step"] or 0))
        has_sample_metrics = any(row.get(name) is not None for name in ("fid", "modes", "diversity"))
        return health.after_sample_metrics(row, course) if has_sample_metrics else health

    def after_sample_metrics(self, row: Row, course: Course) -> Health:
        """The state after sample metrics, which belong to the last row's step."""
        varied = _varied(row, course)
        fid, step = _number(row, "fid"), int(row["step"] or 0)
        worse = fid is not None and self._is_worse(fid)
        best = fid is not None and (self.best_fid is None or fid < self.best_fid)
        diversity = _number(row, "diversity") or 0.0
        due = self.had_variety or step > course.total_steps / 2
        grows = best or diversity > self.most_diverse
        worse_fids = self.worse_fids + 1 if worse else 0
        too_alike = self.too_alike + 1 if due and not varied and not grows else 0
        return replace(
            self,
            had_variety=self.had_variety or varied,
            most_diverse=max(self.most_diverse, diversity),
            worse_fids=worse_fids,
            too_alike=too_alike,
            collapsed_at=step if self.collapsed_at is None and max(worse_fids, too_alike) >= 2 else self.collapsed_at,
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
        highest = None if fid is None or self.last_fid is None else max(fid, self.last_fid)
        return min((held for held in (highest, self.held_fid) if held is not None), default=None)

    def _after_training_metrics(self, row: Row, course: Course) -> Health:
        step = int(row["step"] or 0)
        early = step <= course.early or not self.last_step  # the first row always: there must be an early part
        gradient, (total, count) = _number(row, "g_image_gradient"), self.early_gradients
        if early and gradient is not None:
            total, count = total + gradient, count + 1
        loss = max(abs(_number(row, name) or 0.0) for name in ("d_loss", "g_loss"))
        beyond = not early and loss > OUT_OF_BOUNDS * self.early_loss > 0
        faint_from = self._from(self.faint_from, self._is_faint(row, course, gradient))
        rejected_from = self._from(self.rejected_from, course.logistic and _below(row, "d_fake_probability"))
        stretches = ((faint_from, course.patience), (rejected_from, PATIENCE_STEPS))
        saturated = [began for began, patience in stretches if began is not None and step - began >= patience]
        return replace(
            self,
            early_gradients=(total, count),
            early_loss=max(self.early_loss, loss) if early else self.early_loss,
            faint_from=faint_from,
            rejected_from=rejected_from,
            saturated_at=min(saturated) if saturated and self.saturated_at is None else self.saturated_at,
            diverged_at=step if beyond and self.diverged_at is None else self.diverged_at,
        )

    def _from(self, began: int | None, goes_on: bool) -> int | None:
        """The step at which a stretch began, the row before its first; None if it does not go on with this row."""
        return (self.last_step if began is None else began) if goes_on else None

    def _is_faint(self, row: Row, course: Course, gradient: float | None) -> bool:
        if course.logistic:
            return _below(row, "g_score_gradient")
        total, count = self.early_gradients
        return gradient is not None and count > 0 and gradient < FAINT * total / count

    def step_of(self, condition: Condition) -> int | None:
        """The step at which the run was first in this condition, or None."""
        steps = {
            Condition.SATURATED: self.saturated_at,
            Condition.COLLAPSED: self.collapsed_at,
            Condition.DIVERGED: self.diverged_at,
        }
        return steps.get(condition)

    @property
    def condition(self) -> Condition:
        """The worst condition so far: diverged, then collapsed, then saturated."""
        return next((bad for bad in WORST_FIRST if self.step_of(bad) is not None), Condition.HEALTHY)

    def first_of(self, conditions: Iterable[Condition]) -> Condition | None:
        """The worst of these conditions that the run has been in, or None."""
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
