"""The step loop of a trial: it runs the steps, logs the means of their metrics and tracks the trial's health."""

from __future__ import annotations

import time
from bisect import bisect_right
from functools import reduce
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import NonFiniteLossError
from orchestrator.metrics.health import Condition, Course, Health
from orchestrator.store.columns import SAMPLE_METRICS
from orchestrator.training.patience import NO_IMPROVEMENT, Improvement

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.training.learner import Learner

TIMEOUT = "timeout"
"""The status of a trial that has trained for ``max_minutes``."""
_NEVER = 2**53
"""No step: larger than any, and exact as a float64."""

Row = dict[str, Any]


class Progress:
    """Runs a learner's steps, keeps the rows of metrics/, and tracks the trial's health.

    Metrics are summed on the device and fetched once a window, so that no step waits for the device. A loss that is
    not finite is detected at the end of its window and reported with the step at which it occurred. ``stop_when`` ends
    a trial at the end of a window too, on every process of a group at the same step. ``classes`` is the number of
    classes that sample metrics distinguish, None where there are none.
    """

    def __init__(self, learner: Learner, steps_per_epoch: int, classes: int | None = None) -> None:
        self.learner, self.steps_per_epoch = learner, steps_per_epoch
        self.total = steps_per_epoch * learner.settings.epochs
        self.course = Course(self.total, learner.objective.learns_from_logits, classes)
        self.health = Health()
        self.improvement = Improvement()
        self.sample_metrics: Row = {}  # the last ones
        self.step = 0
        self.elapsed_s = 0.0
        self.timed_out = False
        self.rows: list[Row] = []
        self._window = torch.zeros(len(learner.metric_names), dtype=torch.float64, device=learner.device)
        self._window_steps = 0
        self._window_s = 0.0
        self._steps_here, self._pace_s = 0, 0.0  # steps of this process; seconds per step in its last slice
        self._step_there = torch.zeros((), dtype=torch.float64, device=learner.device)  # ``step``, on the device
        self._bad_step = torch.full((), _NEVER, dtype=torch.float64, device=learner.device)

    @property
    def epoch(self) -> float:
        """Epochs done, as a fraction."""
        return self.step / self.steps_per_epoch

    @property
    def done(self) -> bool:
        """Whether the last step is done, or a condition has ended the trial early."""
        return self.step >= self.total or self.stopped is not None

    @property
    def stopped(self) -> str | None:
        """What has ended the trial early: a condition, or its time."""
        asked = self.learner.settings.stop_when
        if met := self.health.first_of(Condition(name) for name in asked if name != NO_IMPROVEMENT):
            return met
        if NO_IMPROVEMENT in asked and self.improvement.over:
            return NO_IMPROVEMENT
        return TIMEOUT if self.timed_out else None

    @property
    def is_late(self) -> bool:
        """Whether this process has trained for longer than ``max_minutes``; of a group the leader's clock counts."""
        limit = self.learner.settings.max_minutes
        return limit is not None and self.elapsed_s >= 60 * limit

    @property
    def measures_now(self) -> bool:
        """Whether sample metrics are due at this step: every ``measure_every`` epochs and at the end of the trial."""
        every = self.learner.settings.measure_every
        if not every or self.step % self.steps_per_epoch:
            return False
        return self.step // self.steps_per_epoch % every == 0 or self.step >= self.total

    @property
    def _logs_now(self) -> bool:
        """Whether a row ends at this step; an epoch ends one under a plateau schedule, which needs its means."""
        due = self.step % self.learner.settings.log_every == 0 or self.step == self.total or self.measures_now
        return due or (self.learner.settings.schedule.kind == "plateau" and self.step % self.steps_per_epoch == 0)

    def steps_within(self, budget_s: float) -> int:
        """The number of steps that take about ``budget_s`` seconds, at least one and at most to the end of the epoch.

        The estimate is the pace of the last slice. The first slice is one step, and no slice is longer than all of
        this process's before it: the first steps are slow, or have only been queued on the device.
        """
        fitting = int(min(self._steps_here, budget_s / self._pace_s)) if self._steps_here else 1
        return max(1, min(fitting, self.steps_per_epoch - self.step % self.steps_per_epoch))

    def advance(self, steps: int) -> None:
        """Train for ``steps`` steps within one epoch, or until the trial is done. Raises NonFiniteLossError."""
        assert 1 <= steps <= self.steps_per_epoch - self.step % self.steps_per_epoch
        began = mark = time.perf_counter()
        first_step = self.step
        for _ in range(steps):
            self._count(self.learner.step())
            if self._logs_now:
                means = self._fetch()
                mark = self._clock(mark)
                self._log(means)
                if self.stopped is not None:
                    break
        if self._window_steps:  # since the last row
            mark = self._clock(mark)
        if self.step % self.steps_per_epoch == 0 and self.rows:
            self.learner.rates.end_epoch(self._means())
        self._steps_here += self.step - first_step
        self._pace_s = max(mark - began, 1e-9) / (self.step - first_step)

    def _count(self, metrics: Tensor) -> None:
        """Add a step's metrics to the window, on the device, as static as the step itself."""
        self.step += 1
        self._window_steps += 1
        self._window += metrics
        self._step_there += 1
        bad_step = self._step_there.masked_fill(metrics.isfinite().all(), _NEVER)
        torch.minimum(self._bad_step, bad_step, out=self._bad_step)

    def _clock(self, mark: float) -> float:
        """Add the time since ``mark`` to the training time; returns the time now."""
        now = time.perf_counter()
        self._window_s += now - mark
        self.elapsed_s += now - mark
        return now

    def _fetch(self) -> list[float]:
        """The means over the window; waits for the device. Raises NonFiniteLossError."""
        *means, bad_step = torch.cat((self._window / self._window_steps, self._bad_step[None])).tolist()
        if bad_step < _NEVER:
            raise NonFiniteLossError(int(bad_step))
        return means

    def _log(self, means: list[float]) -> None:
        images = self._window_steps * self.learner.settings.d_steps * self.learner.settings.batch_size
        row: Row = {
            "step": self.step,
            "epoch": self.epoch,
            **dict(zip(self.learner.metric_names, means, strict=True)),
            "images_per_second": images / self._window_s,
            "elapsed_s": self.elapsed_s,
        }
        self.health = self.health.after(row, self.course)
        self._observe(row)
        self.rows.append(row | {"health": str(self.health.condition)})
        self._window.zero_()
        self._window_steps, self._window_s = 0, 0.0

    def add_sample_metrics(self, metrics: Row) -> None:
        """Add the sample metrics of this step to its row."""
        row = self.rows[-1]
        assert row["step"] == self.step, "samples are measured where a row ends"
        row |= metrics
        self.sample_metrics = _sample_metrics_of(row)
        self.health = self.health.after_sample_metrics(row, self.course)
        if self.learner.settings.patience.measure in metrics:
            self._observe(row)
        row["health"] = str(self.health.condition)

    def _observe(self, row: Row) -> None:
        self.improvement = self.learner.settings.patience.observe(self.improvement, row, self.steps_per_epoch)

    def summary(self) -> Row:
        """The trial's position and the means over the last epoch's windows, as columns of trials/.

        Rows are weighted by the steps of their windows: the means are those over the steps.
        """
        images = self.step * self.learner.settings.d_steps * self.learner.settings.batch_size
        return {
            "step": self.step,
            "epoch": self.epoch,
            **self._means(),
            **self.sample_metrics,
            "best_fid": self.health.best_fid,
            "best_step": self.health.best_step,
            "saturated_at": self.health.saturated_at,
            "collapsed_at": self.health.collapsed_at,
            "diverged_at": self.health.diverged_at,
            "images_per_second": images / self.elapsed_s if self.elapsed_s else 0.0,
            "train_s": self.elapsed_s,
        }

    def _means(self) -> dict[str, float]:
        """The metrics' means over the last epoch's windows."""
        # Every report calls this: only the last epoch's rows are read, however many there are.
        first = bisect_right(self.rows, self.step - self.steps_per_epoch, key=itemgetter("step"))
        first = min(first, max(0, len(self.rows) - 1))
        rows = self.rows[first:]
        ends = [self.rows[first - 1]["step"] if first else 0, *(row["step"] for row in rows)]
        weights = [end - start for start, end in pairwise(ends)]
        return {
            name: sum(n * row[name] for n, row in zip(weights, rows, strict=True)) / sum(weights)
            for name in self.learner.metric_names
            if rows
        }

    def state_dict(self) -> dict[str, Any]:
        """The step, the rows and the open window, without the learner's own state."""
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "rows": self.rows,
            "window": self._window,
            "window_steps": self._window_steps,
            "window_s": self._window_s,
            "bad_step": self._bad_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from ``state_dict()``."""
        self.step, self.elapsed_s, self.rows = state["step"], state["elapsed_s"], list(state["rows"])
        self.health = reduce(lambda health, row: health.after(row, self.course), self.rows, Health())
        self.improvement = Improvement()
        for row in self.rows:
            self._observe(row)
        measured = next((row for row in reversed(self.rows) if "diversity" in row), {})
        self.sample_metrics = _sample_metrics_of(measured)
        self.timed_out = self.is_late and self.step < self.total
        self._step_there.fill_(self.step)
        self._window.copy_(state["window"])
        self._bad_step.copy_(state["bad_step"])
        self._window_steps, self._window_s = state["window_steps"], state["window_s"]


def _sample_metrics_of(row: Row) -> Row:
    """The metrics of samples and codes that the row has."""
    return {column.name: row[column.name] for column in SAMPLE_METRICS if column.name in row}
