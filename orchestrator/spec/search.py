"""The ``search`` of a job file, and the space that it searches: the dimensions that a grid's axes and ranges make."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.spec.claim_checks import without_measure
from orchestrator.spec.grid import SEED, VARIED_SECTIONS, WORKERS, Axis, Range, cells
from orchestrator.spec.messages import show
from orchestrator.store.columns import SAMPLE_METRICS, TRAINING_METRICS
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_TRIALS = 10_000
MEASURES = tuple(column.name for column in (*TRAINING_METRICS, *SAMPLE_METRICS))


class Search(Settings):
    """What chooses trials by a measure: an algorithm that proposes them, a scheduler that stops them early, or both.

    The scheduler is one of Ray Tune, and stops trials with worse results than others at the same epoch.
    """

    algorithm: Literal["tpe"] | None = None
    """what proposes trials within the grid's ranges and lists: Optuna's tree-structured Parzen estimator"""
    trials: int | None = Field(None, ge=1, le=MOST_TRIALS)
    """with an algorithm, the most trials, known ones included: one for each seed of a proposal"""
    scheduler: Literal["asha", "median"] | None = None
    """ASHA, Li et al., arXiv 1810.05934, or the median stopping rule, which stops what is worse than the median"""
    measure: str = Field(json_schema_extra={"enum": list(MEASURES)})
    """metric of metrics/ by which trials are compared"""
    mode: Literal["min", "max"]
    """whether the lower or the higher values are the better ones"""
    grace_epochs: int | None = Field(None, ge=1)
    """epochs before which the scheduler stops no trial; 1 where it is not given"""
    reduction_factor: int | None = Field(None, ge=2)
    """asha: one in so many trials goes on at each comparison; 3 where it is not given"""

    @field_validator("measure")
    @classmethod
    def _is_measured(cls, measure: str) -> str:
        if measure not in MEASURES:
            raise ValueError(f"got {show(measure)}, expected one of {', '.join(MEASURES)}")
        return measure

    @model_validator(mode="after")
    def _goes_together(self) -> Search:
        if self.algorithm is None and self.scheduler is None:
            raise ValueError("scheduler: is missing; allowed: asha, median; or algorithm: tpe, or both")
        if self.algorithm is not None and self.trials is None:
            raise ValueError(f"trials: is missing, expected the most trials of the search, 1 to {MOST_TRIALS:,}")
        if self.algorithm is None and self.trials is not None:
            raise ValueError(f"trials: got {self.trials}, which goes with an algorithm alone; allowed: tpe")
        for name in ("grace_epochs", "reduction_factor"):
            if self.scheduler is None and (value := getattr(self, name)) is not None:
                raise ValueError(f"{name}: got {value}, which goes with a scheduler alone; allowed: asha, median")
        return self

    @property
    def of_samples(self) -> bool:
        """Whether the measure is one of samples, which ``training.measure_every`` asks for."""
        return self.measure in [column.name for column in SAMPLE_METRICS]


@dataclass(frozen=True)
class Space:
    """What proposals may be: an entry of each axis, and a value of each range; each is trained with every seed.

    A proposal is a mapping of the paths that it sets to their values, as ``Trial.changes`` is, without the seed.
    """

    axes: tuple[Axis, ...]
    ranges: tuple[Range, ...]
    seeds: tuple[Any, ...] = ()
    """Empty where the grid names none, and the section's own is taken."""

    @property
    def each(self) -> int:
        """Number of trials of a proposal."""
        return max(1, len(self.seeds))

    @property
    def size(self) -> float:
        """Number of different proposals; infinite where a range is of fractions."""
        lists = math.prod(len(axis.entries) for axis in self.axes)
        counts = [(one.high - one.low) // one.step + 1 if one.whole else math.inf for one in self.ranges]
        return lists * math.prod(counts)

    def proposal(self, values: Mapping[str, float]) -> dict[str, Any]:
        """The proposal with these values of the dimensions: the place of an axis's entry, or a range's number."""
        chosen = {path: value for axis in self.axes for path, value in axis.entries[int(values[axis.name])].items()}
        return chosen | {one.name: one.rounded(values[one.name]) for one in self.ranges}

    def values(self, proposal: Mapping[str, Any]) -> dict[str, float] | None:
        """The values of the dimensions that make the proposal; None where it does not lie in the space."""
        values: dict[str, float] = {}
        for axis in self.axes:
            fitting = (place for place, entry in enumerate(axis.entries) if _holds(proposal, entry))
            if (place := next(fitting, None)) is None:
                return None
            values[axis.name] = place
        for one in self.ranges:
            if not one.holds(proposal.get(one.name)):
                return None
            values[one.name] = proposal[one.name]
        paths = {path for axis in self.axes for path in axis.entries[int(values[axis.name])]}
        return values if proposal.keys() == paths | {one.name for one in self.ranges} else None


def _holds(proposal: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return all(path in proposal and proposal[path] == value for path, value in entry.items())


def space_of(search: Search | None, axes: tuple[Axis, ...], ranges: tuple[Range, ...], source: str) -> Space | None:
    """The space of a search with an algorithm; None without one. Raises SettingsError where there is none to search."""
    if search is None or search.algorithm is None:
        if ranges:
            problem = "is a range, which only a search proposes values of; set search.algorithm, or list values"
            raise SettingsError(source, f"grid.{ranges[0].name}", problem)
        return None
    seeds = next((axis for axis in axes if axis.name == SEED), None)
    others = tuple(axis for axis in axes if axis is not seeds)
    for axis in others:
        if path := next((path for path in axis.paths if path in (SEED, WORKERS)), None):
            why = "give seeds a list of their own" if path == SEED else "all trials of a search have as many workers"
            raise SettingsError(source, f"grid.{axis.name}", f"sets {path}, which a search cannot choose; {why}")
    if not others and not ranges:
        problem = (
            "has nothing to search: the grid has neither a range, such as {low: 1.0e-5, high: 1.0e-2, log: true}, nor "
            "a list of values other than seeds"
        )
        raise SettingsError(source, "search.algorithm", problem)
    values = [] if seeds is None else [entry[SEED] for entry in seeds.entries]
    space = Space(others, ranges, tuple(seed for place, seed in enumerate(values) if seed not in values[:place]))
    if search.trials is not None and search.trials < space.each:
        problem = f"got {search.trials}, expected at least {space.each}: a proposal is trained once for each seed"
        raise SettingsError(source, "search.trials", problem)
    return space


def typed(ranges: Iterable[Range], axes: tuple[Axis, ...], sections: dict[str, Any], source: str) -> tuple[Range, ...]:
    """The ranges, those between whole numbers being of fractions where the setting itself may be one.

    Raises SettingsError for a path that leads through a plain value.
    """

    def fractions(one: Range) -> bool:
        between = Axis(one.name, ({one.name: one.low + 0.5},))
        cell, _ = next(cells(sections, (*axes, between), source))
        try:
            TrialSettings.model_validate({key: cell[key] for key in cell if key in VARIED_SECTIONS})
        except ValidationError:
            return False
        return True

    return tuple(replace(one, whole=one.whole and (one.step > 1 or not fractions(one))) for one in ranges)


def ends_of(space: Space) -> tuple[Axis, ...]:
    """An axis of two entries: the lower and the upper ends of all ranges of the space."""
    if not space.ranges:
        return ()
    lowest, highest = ({one.name: end for one, end in ends} for ends in zip(*map(_ends, space.ranges), strict=True))
    return (Axis("", (lowest, highest)),)


def _ends(one: Range) -> list[tuple[Range, float]]:
    return [(one, one.low), (one, one.high)]


def reject_search(search: Search, claims: bool, trials: Sequence[TrialSettings], source: str) -> None:
    """Raise SettingsError for a search by a measure that its trials lack, and for one of a job with claims."""
    if search.algorithm and claims:
        problem = "a search chooses its trials by their measure, so no interval over them holds; claim it of a grid"
        raise SettingsError(source, "claims", problem)
    shortest = min(settings.training.epochs for settings in trials)
    if (search.grace_epochs or 1) > shortest:
        problem = f"got {search.grace_epochs}, but a trial trains for {shortest} epochs only"
        raise SettingsError(source, "search.grace_epochs", problem)
    if search.of_samples:
        if problem_of_samples := without_measure(search.measure, trials):
            raise SettingsError(source, "search.measure", problem_of_samples)
        return
    for settings in trials:
        if search.measure not in settings.measures:
            problem = (
                f"got {show(search.measure)}, which a trial under {settings.objective.kind} does not have; "
                f"expected one of {', '.join(settings.measures)}"
            )
            raise SettingsError(source, "search.measure", problem)
