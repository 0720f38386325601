"""How far a job is: what `orch status` says of it, in the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.report.blocks import Cell, Facts, Head, Row, Section, Table, Text
from orchestrator.server.jobs import moment
from orchestrator.store.bundles import trial_of

if TYPE_CHECKING:
    from orchestrator.report.blocks import Block
    from orchestrator.server.listing import Look
    from orchestrator.server.pages import Address

_MOST = 200


def progress_section(look: Look, name: str, address: Address) -> Section:
    """The state of the last run, what has ended, and the trials that are training."""
    run = look.run
    ended = {trial_of(key) for key in look.stamps["trials"]}
    begun = {trial_of(key) for key in look.stamps["metrics"]} - ended
    running = run.running if run and look.alive else {}
    facts = [("State", _state(look)), ("Trials ended", str(len(ended)))]
    if running:
        facts.append(("Training now", str(len(running))))
    if waiting := len(begun - set(running)):
        facts.append(("Begun, and not ended", str(waiting)))
    if run:
        facts += [("Failed in this run", str(run.failed))] if run.failed else []
        facts += [("Evaluations", str(run.evaluations))] if run.evaluations else []
        facts += [("Cluster", text.excerpt(run.address))] if run.address else []
        facts.append(("Last change", moment(run.updated_at)))
    blocks: list[Block] = [Facts(tuple((label, value) for label, value in facts if value))]
    if running:
        rows = [_row(trial_id, *steps, name, address) for trial_id, steps in sorted(running.items())]
        blocks.append(Table("Trials in training", _HEADS, tuple(rows), most=_MOST))
    return Section("progress", "Progress", "Progress", tuple(blocks))


_HEADS = (Head("trial"), Head("progress"), Head("steps", numeric=True))


def _state(look: Look) -> str:
    run = look.run
    if run is None:
        return "no run of it is known"
    if run.state != "running":
        return run.state
    if look.alive:
        return f"running: {run.ended} of {run.to_run} ended"
    return "nothing is heard of the run, which has not ended; orch resume goes on"


def _row(trial_id: str, step: int, total: int, name: str, address: Address) -> Row:
    link = Markup('<a href="{}"><code>{}</code></a>').format(address.trial(name, trial_id), text.excerpt(trial_id[:8]))
    share = Markup('<progress value="{}" max="{}" aria-label="steps done"></progress>').format(step, max(total, 1))
    return Row((Cell(link), Cell(share), Cell(f"{text.number(step)} of {text.number(total)}", step, look="num")))


def position(look: Look, trial_id: str) -> tuple[str, int, int]:
    """What a trial does, with its steps done and in all, both 0 where the run does not say them."""
    running = look.run.running if look.run and look.alive else {}
    if f"trials/{trial_id}.parquet" in look.stamps["trials"] and trial_id not in running:
        return "has ended", 0, 0
    if trial_id in running:
        return "is training", *running[trial_id]
    begun = f"metrics/{trial_id}.parquet" in look.stamps["metrics"]
    return "has begun, and no run is at work on it" if begun else "waits", 0, 0


def position_section(found: tuple[str, int, int], trial_id: str) -> Section:
    """What a trial does, by its ``position``."""
    state, step, total = found
    words = Markup("This trial {}.").format(state)
    if total:
        steps = f"{text.number(step)} of {text.number(total)} steps"
        bar = Markup('<progress value="{}" max="{}" aria-label="steps done"></progress>').format(step, total)
        words = Markup("{} {} {}").format(words, bar, steps)
    return Section("now", f"Trial {text.excerpt(trial_id[:8])}", "Now", (Text(words),))
