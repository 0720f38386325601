"""Which evaluations of a job are missing: those of trials that are done, or will be, without files in storage."""

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
    """One evaluation of one trial; ``missing`` are the shards without a file, at first all of ``shards``."""

    trial: Trial
    evaluation: Evaluation
    shards: int
    missing: tuple[int, ...]
    other_images: str | None = None
    """The fingerprint of the held-out images of the stored evaluation, where the present images are others."""

    @property
    def name(self) -> str:
        """Unique in a job; the names of its files begin with it."""
        return f"{self.trial.id}-{self.evaluation.id}"

    @property
    def checkpoint(self) -> str:
        """What of the trial's states it reads: the last, which its id names, or that of the lowest FID, ``.best``."""
        return self.trial.id if self.evaluation.checkpoint == "last" else f"{self.trial.id}.best"

    def anew(self, other_images: str | None = None) -> Due:
        """The same with every shard missing: the stored ones are of another generator or other images."""
        return replace(self, missing=tuple(range(self.shards)), other_images=other_images)


def find_due(trials: Iterable[Trial], evaluations: Iterable[Evaluation], keys: Collection[str]) -> tuple[Due, ...]:
    """Each evaluation of each trial that it applies to, whether or not any shard is missing.

    ``keys`` are the files of evaluations/.
    """
    stored, requested = set(keys), tuple(evaluations)
    dues = []
    for trial in trials:
        for evaluation in requested:
            if evaluation.not_applicable(trial.settings):
                continue
            shards = evaluation.shards(trial.settings)
            missing = [shard for shard in range(shards) if evaluation.rows_key(trial.id, shard) not in stored]
            dues.append(Due(trial, evaluation, shards, tuple(missing)))
    return tuple(dues)


def describe_due(dues: Iterable[Due]) -> str:
    """``12 new, 24 cached``; with several kinds, the counts of each."""
    counts: dict[str, Counter[str]] = {}
    for due in dues:
        counts.setdefault(due.evaluation.kind, Counter())["new" if due.missing else "cached"] += 1
    words = {kind: f"{count['new']} new, {count['cached']} cached" for kind, count in counts.items()}
    if len(words) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{kind} {word}" for kind, word in words.items())
