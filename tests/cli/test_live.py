"""What a sweep looks like while it runs: told by made-up events."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from orchestrator.cli import live
from orchestrator.durations import duration
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.spec.job import Trial, load_job
from orchestrator.state.ledger import Ended, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Told:
    """What the runtime's events say, without the import of Ray that theirs would cost."""

    trial: Trial
    step: int
    total_steps: int = 30
    measures: Mapping[str, Any] = field(default_factory=dict)
    ended: Status | None = None
    error: str | None = None


class Clock:
    """Stands in for ``time``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


@pytest.fixture
def plan(folder: Path) -> Plan:
    """Four trials, the first of which is cached; the last two take about three times as long as the second."""
    job = load_job(folder / "job.yaml")
    return make_plan(job, {job.trials[0].id: Ended(Status.FINISHED)}, (), Cluster((Machine(2, 0),)), "here")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Console]:
    def watched(terminal: bool, width: int = 120) -> Console:
        console = Console(
            file=io.StringIO(),
            record=True,
            force_terminal=terminal,
            width=width,
            height=50,
            highlight=False,
            markup=False,
            emoji=False,
            color_system="truecolor" if terminal else None,
        )
        monkeypatch.setattr(live, "err", console)
        return console

    return watched


def frame(watcher: Any, width: int = 120) -> list[str]:
    """The lines of the live table as it stands."""
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=width, markup=False, emoji=False)
    console.print(watcher.table())
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_live_table(plan: Plan, clock: Clock, watched: Callable[..., Console]) -> None:
    _, short, long, last = (cell.trial for cell in plan.cells)
    console = watched(terminal=True)
    with live.display(plan) as watcher:
        watcher.stage("starting workers")
        first = frame(watcher)
        assert first[0].split() == ["trial", "settings", "epoch", "D", "loss", "G", "loss", "sigma(F)", "images/s"]
        assert first[1] == "starting workers"
        assert first[-1].endswith(" 0/3 trials, 0 s")

        watcher.update(Told(short, 0))
        clock.now += 50  # until the workers are up: no measure of how fast they are
        watcher.update(Told(short, 15, measures={"d_loss": 1.38629, "g_loss": 0.7, "images_per_second": 12345.6}))
        watcher.update(Told(long, 3))
        clock.now += 10
        _, one, other, whole = frame(watcher)
        assert one.split() == [short.id[:8], "d_steps=1", "seed=1", bar(20, 0.5), "1.0/2", "1.39", "0.7", "12,346"]
        assert other.split()[:3] == [long.id[:8], "d_steps=3", "seed=0"]
        assert other.split()[-1] == "0.2/2"
        # half of the short one and a tenth of a long one, in the ten seconds since the first step
        times = [cell.device_s for cell in plan.cells[1:]]
        done = (0.5 * times[0] + 0.1 * times[1]) / sum(times)
        assert whole.endswith(f" 0/3 trials, 1 min 00 s, {duration(10 / done - 10)} to go")
        assert f"{watcher.done:.6f}" == f"{done:.6f}"

        watcher.update(Told(short, 30, ended=Status.FINISHED))
        watcher.update(Told(long, 6, ended=Status.FAILED, error="loss is not finite [red] at step 7"))
        watcher.update(Told(last, 0))
        watcher.tick()
        _, running, failure, whole = frame(watcher)
        assert running.split()[0] == last.id[:8]
        assert failure == f"{long.id[:8]} failed: loss is not finite [red] at step 7"
        assert " 2/3 trials, " in whole
        assert whole.endswith(", 1 failed")

        watcher.update(Told(last, 30, ended=Status.FINISHED))
        assert watcher.done == pytest.approx(1)
        assert frame(watcher)[-1].endswith(" 3/3 trials, 1 min 00 s, 1 failed")
    console.file.seek(0)  # type: ignore[attr-defined]
    assert (
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.read()).rstrip().endswith("3/3 trials, 1 min 00 s, 1 failed")
    )


def bar(width: int, share: float) -> str:
    """A bar of Rich's on a colour terminal: whole cells, and a half cell where the last ends in its middle."""
    halves = int(width * 2 * share)
    return "━" * (halves // 2) + "╸" * (halves % 2) + "╺" * (halves % 2 == 0) + "━" * (width - halves // 2 - 1)


def test_a_trial_that_starts_again_is_not_counted_twice(
    plan: Plan, clock: Clock, watched: Callable[..., Console]
) -> None:
    short = plan.cells[1].trial
    watched(terminal=True)
    with live.display(plan) as watcher:
        watcher.update(Told(short, 15))
        watcher.update(Told(short, 0))
        assert watcher.done == 0
        assert list(watcher.running) == [short.id]


def test_only_the_last_failures_are_shown(folder: Path, clock: Clock, watched: Callable[..., Console]) -> None:
    job = load_job(folder / "job.yaml", ["grid.training.seed=[0, 1, 2, 3, 4, 5, 6, 7]"])
    watched(terminal=True)
    with live.display(make_plan(job, {}, (), Cluster((Machine(2, 0),)), "here")) as watcher:
        for number, trial in enumerate(job.trials):
            watcher.update(Told(trial, 1, ended=Status.FAILED, error=f"number {number} " + "x" * 200))
        lines = frame(watcher, width=60)
    assert [int(re.findall(r"number (\d+)", line)[0]) for line in lines if "failed: " in line] == [11, 12, 13, 14, 15]
    assert max(map(len, lines)) <= 60


def test_what_is_to_go_is_never_nothing(plan: Plan, clock: Clock, watched: Callable[..., Console]) -> None:
    console = watched(terminal=False)
    with live.display(plan) as watcher:
        for cell in plan.cells[1:]:
            watcher.update(Told(cell.trial, 2999, total_steps=3000))
        clock.now += 16
        watcher.tick()
    assert console.export_text().endswith(", 16 s, 1 s to go\n")


def test_plain_lines_elsewhere(plan: Plan, clock: Clock, watched: Callable[..., Console]) -> None:
    _, short, long, _ = (cell.trial for cell in plan.cells)
    console = watched(terminal=False, width=20)
    with live.display(plan) as watcher:

        def said() -> list[str]:
            return console.export_text(clear=True).splitlines()

        watcher.update(Told(short, 0))
        watcher.update(Told(short, 15))
        watcher.tick()
        assert said() == []
        clock.now += 14
        watcher.tick()
        assert said() == []
        clock.now += 2
        watcher.tick()
        (line,) = said()
        share = 0.5 * plan.cells[1].device_s / plan.device_s
        assert line == f"{share:.0%} done, 0/3 trials, 16 s, {duration(16 / share - 16)} to go"
        watcher.tick()
        assert said() == []

        measures = {"d_loss": 0.5, "g_loss": None, "d_fake_probability": 0.25, "images_per_second": 900.0}
        watcher.update(Told(short, 30, measures=measures, ended=Status.FINISHED))
        end, total = said()
        assert end == (f"{short.id[:8]} finished  d_steps=1 seed=1  D loss 0.5  sigma(F) 0.25  images/s 900")
        assert total.startswith("1/3 trials, 16 s, ")

        watcher.update(Told(long, 3, ended=Status.FAILED, error="[red]no[/red]"))
        assert said()[0] == f"{long.id[:8]} failed  d_steps=3 seed=0  [red]no[/red]"
        clock.now += 14
        watcher.tick()
        assert said() == []
