"""Trials beside each other: the settings and the row of each, by its row in storage or by the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator import text
from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.spec.identity import flatten
from orchestrator.state.files import read_job
from orchestrator.study.read import load_study
from orchestrator.study.study import plain
from orchestrator.study.unfinished import INTERRUPTED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store
    from orchestrator.study.study import Study


def study_of(store: Store, trials: Sequence[str], *, alive: bool) -> Study | None:
    """The study of these trials alone; None while they have stored nothing. ``alive``: a run is at work on them."""
    try:
        return load_study(store, only=trials, unfinished=RUNNING if alive else INTERRUPTED)
    except NotFoundError:
        return None


def row_of(study: Study | None, trial_id: str) -> dict[str, Any]:
    """The row of a trial; empty where it has none."""
    rows = [] if study is None else study.trials[study.trials["trial_id"] == trial_id].to_dict("records")
    return {str(key): value for key, value in rows[0].items()} if rows else {}


def settings_of(store: Store, study: Study | None, trial_id: str) -> dict[str, Any]:
    """The settings of a trial that are set, by its row or by its job. Raises NotFoundError where neither knows it."""
    if row := row_of(study, trial_id):
        known = {key: plain(value) for key, value in row.items() if "." in key and not key.startswith(text.LINKED)}
        return {key: value for key, value in known.items() if value is not None}
    try:
        trials = read_job(store).trials
    except (NotFoundError, SettingsError):
        trials = ()
    for trial in trials:
        if trial.id == trial_id:
            return settings_in(trial)
    raise NotFoundError(f"{store.uri}: no such trial: {text.excerpt(trial_id)}")


def settings_in(trial: Trial) -> dict[str, Any]:
    """The settings of a job's trial that are set, by dotted path."""
    flat = {key: plain(value) for key, value in flatten(trial.settings.model_dump(mode="json")).items()}
    return {key: value for key, value in flat.items() if value is not None}


def differing_keys(settings: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The keys whose values differ, then those of equal values; a key that one lacks differs."""
    keys = list(dict.fromkeys(key for one in settings for key in one))
    differing = [key for key in keys if len({repr(one.get(key)) for one in settings}) > 1]
    return differing, [key for key in keys if key not in set(differing)]
