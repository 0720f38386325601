"""Every objective with every model that it goes with, plain and with other settings, from what is registered.

A new objective, model or setting is covered by being there.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from pydantic import TypeAdapter, ValidationError

import orchestrator.models
import orchestrator.objectives
from orchestrator.data import ImageSet
from orchestrator.models import Model
from orchestrator.objectives import Objective
from orchestrator.settings import Settings, kinds_in
from orchestrator.training.settings import TrainingSettings, TrialSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Raw = dict[str, Any]
Name = tuple[str, str, str]
"""A kind, a setting of it and its value: what is to be in some case."""

IMAGES, BATCH, STEPS_PER_EPOCH = 9, 8, 1
NARROW: Raw = {
    "width": 2,
    "latent_dim": 8,
    "code_dim": 7,
    "generator_widths": (6, 8),
    "discriminator_widths": (8, 6),
    "levels": 2,
    "steps": 1,
    "critic_width": 8,
    "critic_layers": 2,
}
"""Settings that make networks small, by their names."""
OF_RUNS = frozenset(
    {
        *("epochs", "batch_size", "seed", "log_every", "samples_every", "checkpoint_every"),
        *("measure_every", "measure_samples", "stop_when", "patience", "max_minutes"),
    }
)
"""Training settings that change no step."""
TRIED = (True, (0.1, 0.9), 0.05, 2, 1.5, 3, 200)
"""Values of settings that are no choice among words: the first that is one of theirs and not the default."""
MULTIPLY = ("d_steps", "g_steps", "accumulate", "unrolled_steps")
"""Settings by which a step has twice as many operations: one in a case."""
MOST_TURNS = 10


def kinds(package: Any, base: type[Settings]) -> dict[str, type[Settings]]:
    """The classes of a section by their kinds."""
    return {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in kinds_in(package, base, "kind")}


MODELS, OBJECTIVES = kinds(orchestrator.models, Model), kinds(orchestrator.objectives, Objective)


class Change(NamedTuple):
    """Another value of a setting; a section "" is the whole."""

    section: str
    name: str
    value: Any


class Case(NamedTuple):
    """A trial's settings; turn 0 is the plain one, with what else the pair of networks and objective needs."""

    objective: str
    model: str
    turn: int
    settings: TrialSettings

    @property
    def name(self) -> str:
        """Of a test."""
        return f"{self.objective}-{self.model}-{self.turn or 'plain'}"

    def with_training(self, **training: Any) -> Case:
        """The same with other settings of training."""
        raw = self.settings.model_dump()
        return self._replace(
            settings=TrialSettings.model_validate({**raw, "training": {**raw["training"], **training}})
        )


def images() -> ImageSet:
    """Images that trials train on."""
    return ImageSet(np.random.default_rng(0).integers(0, 256, (IMAGES, 1, 28, 28), dtype=np.uint8))


@cache
def options(kind: type[Settings], name: str) -> list[Any]:
    """Values of a setting other than its default."""
    field = kind.model_fields[name]
    inner = get_args(field.annotation)
    if get_origin(field.annotation) is Literal:
        return [word for word in inner if word != field.default]
    if inner and get_origin(inner[0]) is Literal:
        return [get_args(inner[0])]  # all of the words at once
    if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
        return sections(field.annotation)
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation(), config={"strict": True})
    return [value for value in TRIED if value != field.default and _fits(adapter, value)][:1]


def sections(kind: type[Settings]) -> list[Raw]:
    """Sections within a section: for each word of its ``kind``, if it has one, with all settings that go along."""
    words = get_args(kind.model_fields["kind"].annotation) if "kind" in kind.model_fields else (None,)
    adapter = TypeAdapter(kind)
    found = []
    for word in words:
        raw = {} if word is None else {"kind": word}
        for name in kind.model_fields.keys() - {"kind"}:
            values = [NARROW[name]] if name in NARROW else options(kind, name)
            raw |= next(({name: value} for value in values if _fits(adapter, raw | {name: value})), {})
        found.append(raw)
    return found


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def vary(raw: Raw, changes: Sequence[Change], accepts: Callable[[Raw], bool]) -> Raw:
    """As many settings otherwise, each once, as are accepted together.

    What is set may rule out what comes later, or allow what was tried before: all are tried twice.
    """
    done = set()
    for change in [*changes, *changes]:
        candidate = changed(raw, change)
        if change[:2] not in done and accepts(candidate):
            raw = candidate
            done.add(change[:2])
    return raw


def changed(raw: Raw, change: Change) -> Raw:
    """The same with one setting otherwise."""
    section, name, value = change
    return {**raw, section: {**raw[section], name: value}} if section else {**raw, name: value}


def changes_in(kind: type[Settings], section: str, without: Iterable[str]) -> list[Change]:
    """All that may be otherwise in a section."""
    names = [name for name in kind.model_fields if name not in {"kind", *without}]
    return [Change(section, name, value) for name in names for value in options(kind, name)]


def smallest(kind: type[Settings]) -> Raw:
    """Values of a section's settings that have no default, or that make it small."""
    needed = [name for name, field in kind.model_fields.items() if field.is_required() and name != "kind"]
    small = {name: value for name, value in NARROW.items() if name in kind.model_fields}
    return {name: options(kind, name)[0] for name in needed} | small


def validated(raw: Raw) -> TrialSettings | None:
    """The settings, or None where they do not go together."""
    try:
        return TrialSettings.model_validate(raw)
    except ValidationError:
        return None


def plain(objective: str, model: str) -> Raw | None:
    """A small trial, with one setting of its model otherwise where they only go together so; None if they never do."""
    raw = {
        "data": {"name": "digits"},
        "model": {"kind": model, **smallest(MODELS[model])},
        "objective": {"kind": objective, **smallest(OBJECTIVES[objective])},
        "training": {"batch_size": BATCH, "epochs": 4, "log_every": 1000},
    }
    candidates = (changed(raw, change) for change in changes_in(MODELS[model], "model", NARROW))
    return next((raw for raw in (raw, *candidates) if validated(raw) is not None), None)


def changes_of(objective: str, model: str) -> list[Change]:
    """What may be otherwise in a trial of this objective and this model."""
    return [
        *changes_in(OBJECTIVES[objective], "objective", NARROW),
        *changes_in(TrainingSettings, "training", OF_RUNS),
        *changes_in(MODELS[model], "model", NARROW),
    ]


@cache
def cases() -> tuple[Case, ...]:
    """The plain case of each pair, and others until each value of each setting is in one that goes together with it."""
    plains = [
        Case(objective, model, 0, TrialSettings.model_validate(raw))
        for objective, model in itertools.product(OBJECTIVES, MODELS)
        if (raw := plain(objective, model)) is not None
    ]
    missing = {name for case in plains for name in names_of(case)}
    others = []
    for turn, case in itertools.product(range(1, MOST_TURNS), plains):
        varied = _varied(case, missing, turn)
        if missing & names_of(varied, chosen=True):
            others.append(varied)
            missing -= names_of(varied, chosen=True)
    return (*plains, *others)


def names_of(case: Case, *, chosen: bool = False) -> set[Name]:
    """Names of all that may be otherwise in a case, or of what is."""
    changes = changes_of(case.objective, case.model)
    return {_name(case, change) for change in changes if not chosen or _has(case.settings, change)}


def _name(case: Case, change: Change) -> Name:
    """Settings of training are the same for all kinds."""
    kind = change.section if change.section == "training" else getattr(case, change.section)
    return kind, change.name, str(change.value)


def _has(settings: TrialSettings, change: Change) -> bool:
    return _same(getattr(getattr(settings, change.section), change.name), change.value)


def _same(chosen: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return all(_same(getattr(chosen, name), part) for name, part in value.items())
    return bool(chosen == value)


def _varied(case: Case, missing: set[Name], turn: int) -> Case:
    """The case with all that goes together, first what is in no case yet; of what multiplies a step only one."""
    changes = sorted(changes_of(case.objective, case.model), key=lambda change: _name(case, change) not in missing)
    multiplier = next((change.name for change in changes if change.name in MULTIPLY), None)
    changes = [change for change in changes if change.name not in MULTIPLY or change.name == multiplier]
    if turn > 1:  # of the rest there has been a case
        changes = [change for change in changes if _name(case, change) in missing]
    raw = plain(case.objective, case.model)
    assert raw is not None
    varied = vary(raw, changes, lambda raw: validated(raw) is not None)
    return case._replace(turn=turn, settings=TrialSettings.model_validate(varied))
