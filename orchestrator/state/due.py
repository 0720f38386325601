"""Which evaluations a job still owes: those of trials that are done, or will be, whose files are not there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.job import Trial


@dataclass(frozen=True)
class Due:
    """One evaluation of one trial; ``missing`` are the shards that have no file yet, all of ``shards`` at first."""

    trial: Trial
    evaluation: Evaluation
    shards: int
    missing: tuple[int, ...]
    other_images: str | None = None
    """The fingerprint of the held-out images that storage has it of, where they are not those that are there now."""

    @property
    def name(self) -> str:
        """What tells it from the others of a job, and its files by how their names begin."""
        return f"{self.trial.id}-{self.evaluation.id}"

    def anew(self, other_images: str | None = None) -> Due:
        """The same with every shard missing: those that are there are of another generator or other images."""
        return replace(self, missing=tuple(range(self.shards)), other_images=other_images)


def find_due(trials: Iterable[Trial], evaluations: Iterable[Evaluation], keys: Collection[str]) -> tuple[Due, ...]:
    """Each evaluation of each trial that has it, whether or not any of it is missing.

    ``keys`` are the files of evaluations/.
    """
    there, asked = set(keys), tuple(evaluations)
    found = []
    for trial in trials:
        for evaluation in asked:
            if evaluation.not_applicable(trial.settings):
                continue
            shards = evaluation.shards(trial.settings)
            missing = [shard for shard in range(shards) if evaluation.rows_key(trial.id, shard) not in there]
            found.append(Due(trial, evaluation, shards, tuple(missing)))
    return tuple(found)


def describe_due(dues: Iterable[Due]) -> str:
    """``12 new, 24 cached``; with several kinds, of each."""
    counts: dict[str, Counter[str]] = {}
    for due in dues:
        counts.setdefault(due.evaluation.kind, Counter())["new" if due.missing else "cached"] += 1
    words = {kind: f"{count['new']} new, {count['cached']} cached" for kind, count in counts.items()}
    if len(words) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{kind} {word}" for kind, word in words.items())
