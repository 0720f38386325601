"""Every evaluation of every family's trials: nothing mixes, and no step of a search is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from orchestrator.evaluations import KINDS, compute_shard
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.settings import Settings
from tests.device.cases import Change, changed, changes_in, sections, vary
from tests.device.pretend import needs_pretended
from tests.device.trained import HELD_OUT, TRAINED, labelled, of_each_family, trained_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.evaluations.evaluation import Evaluation, TrainedModel
    from tests.device.cases import Case, Raw
    from tests.device.pretend import Pretended

pytestmark = needs_pretended

COUNTS = (2, 8, 200)
"""Of images, samples, steps and whatever else is counted: the first that is allowed."""
SAME = {"seed", "checkpoint"}


def accepted(kind: type[Evaluation], raw: Raw) -> Evaluation | None:
    """The settings, or None where they do not go together, need what is not here or apply to no trial."""
    try:
        evaluation = kind.model_validate(raw)
    except ValidationError:
        return None
    missing = evaluation.missing_requirements() or not any(applies(evaluation, case) for case in of_each_family())
    return None if missing else evaluation


def smallest(kind: type[Evaluation]) -> Raw:
    """The least that it can compute: of several things, the first."""
    raw: Raw = {}
    for name, field in kind.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
        values: list[Any] = sections(field.annotation) if nested else []  # type: ignore[arg-type]
        if field.annotation is int and name not in SAME:
            values = list(COUNTS)
        if isinstance(field.default, tuple) and field.default:
            values = [field.default[:1]]
        fitting = (value for value in values if accepted(kind, {**raw, name: value}) is not None)
        raw |= next(({name: value} for value in fitting), {})
    return raw


def others(kind: type[Evaluation], raw: Raw) -> list[Change]:
    """Other values of its settings than the smallest; of several things, all."""
    several = [Change("", name, field.default) for name, field in kind.model_fields.items() if name in raw]
    return [change for change in several if isinstance(change.value, tuple)] + changes_in(kind, "", {*raw, *SAME})


def turns(kind: type[Evaluation]) -> list[Evaluation]:
    """The kind at its smallest, then others until each value that goes together with that is in one."""
    raw = smallest(kind)
    changes = others(kind, raw)
    missing = [change for change in changes if accepted(kind, changed(raw, change)) is not None]
    found = [raw]
    while missing:
        found.append(vary(raw, missing, lambda raw: accepted(kind, raw) is not None))
        missing = [change for change in missing if found[-1].get(change.name) is not change.value]
    return [kind.model_validate(raw) for raw in found]


def applies(evaluation: Evaluation, case: Case) -> bool:
    return not (evaluation.not_applicable(case.settings) or evaluation.reject(case.settings))


def chosen() -> Iterator[Any]:
    """The smallest of each kind with every family, and each other turn with one of them."""
    for name, kind in KINDS.items():
        for number, evaluation in enumerate(turns(kind)):
            fitting = [case for case in of_each_family() if applies(evaluation, case)]
            for case in fitting if number == 0 else [fitting[number % len(fitting)]]:
                yield pytest.param(case, evaluation, id=f"{name}-{number or 'plain'}-{case.name}")


def rows(evaluation: Evaluation, model: TrainedModel) -> int:
    return sum(len(compute_shard(evaluation, model, n).rows) for n in range(evaluation.shards(model.settings)))


@pytest.mark.parametrize(("case", "evaluation"), list(chosen()))
def test_an_evaluation_mixes_nothing(device: Pretended, case: Case, evaluation: Evaluation) -> None:
    splits: Any = {"train": labelled(TRAINED), "test": labelled(HELD_OUT)}
    assert evaluation.reject_images(case.settings.data, splits) is None
    assert rows(evaluation, trained_model(case)) > 0
    assert device.launches > 0


SEARCHES = [name for name, kind in KINDS.items() if issubclass(kind, LatentSearch)]


@pytest.mark.parametrize(
    ("name", "optimizer"), [*((name, "adam") for name in SEARCHES), (SEARCHES[-1], "sgd"), (SEARCHES[-1], "lbfgs")]
)
def test_no_step_of_a_search_is_waited_for(device: Pretended, name: str, optimizer: str) -> None:
    """More steps wait for no more; what is computed once for all trials is waited for in the first search."""
    model, waits = trained_model(of_each_family()[0]), []
    raw = {**smallest(KINDS[name]), "optimizer": optimizer, "log_every": 1000}
    for steps in (2, 5):
        device.forget()
        assert rows(KINDS[name].model_validate({**raw, "steps": steps}), model) > 0
        waits.append(device.waits.copy())
    assert not waits[1] - waits[0]
