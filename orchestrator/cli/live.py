"""The display of a running sweep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.cli.console import err
from orchestrator.durations import duration
from orchestrator.plan.plan import CellState
from orchestrator.state.status import label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.events import Event
    from orchestrator.state.files import EvaluationProgress

_LINES_EVERY_S = 15.0
_MEASURES = {
    "d_loss": "D loss",
    "g_loss": "G loss",
    "d_fake_probability": "sigma(F)",
    "reconstruction": "error",
    "bits_per_dimension": "bits/dim",
    "images_per_second": "images/s",
}


@contextlib.contextmanager
def display(plan: Plan) -> Iterator[_Sweep | Lines]:
    """The watcher that shows the sweep of a plan, and the stages before it, for as long as the context is open."""
    sweep = _Sweep(plan)
    if not err.is_terminal:
        yield Lines(plan, lambda line: err.print(Text(line), soft_wrap=True))
        return
    with Live(get_renderable=sweep.table, console=err, refresh_per_second=4, transient=True):
        yield sweep
    err.print(sweep.summary())


class _Sweep:
    """The progress of every trial of a sweep."""

    def __init__(self, plan: Plan) -> None:
        self.weights = {cell.trial.id: cell.device_s for cell in plan.having(CellState.NEW)}
        self.to_run, self.proposed_s, self.to_propose = plan.to_run, plan.proposed_s, plan.to_propose
        measures = {name for trial in plan.to_train for name in trial.settings.measures}
        self.shown = {name: text for name, text in _MEASURES.items() if name in measures or name == "images_per_second"}
        self.running: dict[str, Event] = {}
        self.ended: dict[str, Event] = {}
        self.began = time.monotonic()
        self.first_step: float | None = None
        self.progress: EvaluationProgress | None = None
        self.doing = ""

    def update(self, event: Event) -> None:
        """Record a trial's progress."""
        if event.step and self.first_step is None:
            self.first_step = time.monotonic()
        if event.ended is None:
            self.running[event.trial.id] = event
        else:
            self.running.pop(event.trial.id, None)
            self.ended[event.trial.id] = event

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Record the evaluations' progress."""
        self.progress = progress

    def tick(self) -> None:
        """Do nothing: the live display refreshes itself."""

    def stage(self, text: str) -> None:
        """Show what is being done until the first trial has made a step."""
        self.doing = text

    @property
    def done(self) -> float:
        """The share of the work that is done, each trial counted by its estimate."""
        total = sum(self.weights.values()) + self.to_propose * self.proposed_s or 1.0
        ended = sum(self._weight(trial) for trial in self.ended)
        under_way = sum(self._weight(t) * e.step / e.total_steps for t, e in self.running.items() if e.total_steps)
        return (ended + under_way) / total

    def _weight(self, trial_id: str) -> float:
        """The estimate of a trial; of one that a search has proposed since the plan, that of any such."""
        return self.weights.get(trial_id, self.proposed_s)

    def summary(self) -> Text:
        """One line: trials ended and failed, evaluations made, time gone and still to go."""
        gone = time.monotonic() - self.began
        failed = sum(event.error is not None for event in self.ended.values())
        most = "at most " if self.to_propose else ""
        counts = [f"{len(self.ended)}/{most}{self.to_run} trials"] if self.to_run else []
        counts += [str(self.progress)] if self.progress is not None else []
        text = Text(", ".join([*counts, duration(gone)]))
        if self.first_step is not None and 0.02 < self.done < 1:
            working = time.monotonic() - self.first_step
            text.append(f", {duration(max(1.0, working / self.done - working))} to go")
        if failed:
            text.append(f", {failed} failed", style="bold red")
        return text

    def table(self) -> Group:
        """The running trials with their progress and last measures, and the progress of the whole sweep."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("trial", "settings", "", "epoch", *self.shown.values()):
            table.add_column(heading, justify="left" if heading in ("trial", "settings", "") else "right")
        for trial_id, event in self.running.items():
            epochs = event.trial.settings.training.epochs
            share = event.step / event.total_steps if event.total_steps else 0.0
            measures = [_figure(event.measures.get(name)) for name in self.shown]
            bar = ProgressBar(total=1.0, completed=share, width=20)
            table.add_row(trial_id[:8], label(event.trial.changes), bar, f"{share * epochs:.1f}/{epochs}", *measures)
        failures = [
            Text(f"{trial_id[:8]} failed: {event.error}", style="red", overflow="ellipsis", no_wrap=True)
            for trial_id, event in self.ended.items()
            if event.error
        ]
        whole = Table.grid(padding=(0, 1))
        whole.add_row(ProgressBar(total=1.0, completed=self.done, width=40), self.summary())
        if self.progress is not None:
            whole.add_row(
                ProgressBar(total=max(1, self.progress.parts), completed=self.progress.parts_done, width=40), ""
            )
        begun = self.first_step is not None or self.ended or self.progress is not None
        starting = [] if begun else [Text(self.doing, style="dim")]
        return Group(table, *starting, *failures[-5:], whole)


class Lines:
    """Plain lines: one for every trial that ends, and one after every 15 s without a line.

    ``starts`` adds one for every trial that starts.
    """

    def __init__(self, plan: Plan, notify: Callable[[str], None], *, starts: bool = False) -> None:
        self.sweep, self.last = _Sweep(plan), time.monotonic()
        self.notify, self.starts = notify, starts

    def update(self, event: Event) -> None:
        """Print that a trial has ended, or started."""
        begins = event.trial.id not in self.sweep.running
        self.sweep.update(event)
        name = f"{event.trial.id[:8]} {event.ended or 'started'}  {label(event.trial.changes)}"
        if event.ended is None:
            if begins and self.starts:
                self._notify(name.rstrip())
            return
        measures = {text: event.measures.get(name) for name, text in _MEASURES.items()}
        figures = "  ".join(f"{text} {_figure(value)}" for text, value in measures.items() if value is not None)
        self._notify(f"{name}  {event.error or figures}")
        self._notify(self.sweep.summary().plain)

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Record the evaluations' progress; print it when the last has ended."""
        self.sweep.evaluated(progress)
        if progress.over and progress.total:
            self._notify(self.sweep.summary().plain)

    def stage(self, text: str) -> None:
        """Print what is being done until the first trial has made a step."""
        self._notify(text)

    def tick(self) -> None:
        """Print the sweep's progress when nothing was printed for 15 s."""
        if time.monotonic() - self.last >= _LINES_EVERY_S:
            share = f"{self.sweep.done:.0%} done, " if self.sweep.to_run else ""
            self._notify(f"{share}{self.sweep.summary().plain}")

    def _notify(self, text: str) -> None:
        self.last = time.monotonic()
        self.notify(text)


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
