"""Restores settings from rows, whatever version of this program wrote them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.spec.identity import trial_id
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.evaluations import Evaluation


def settings_of(row: Mapping[str, Any]) -> TrialSettings | None:
    """The settings in the dotted columns of a row; a setting that the row lacks has today's default.

    None where they are not valid today: a kind or a key no longer exists.
    """
    try:
        return TrialSettings.model_validate(_nested(row))
    except (ValidationError, ValueError, OverflowError):  # rows that no version of this program wrote
        return None


def current_id(row: Mapping[str, Any]) -> str | None:
    """The id that a trial with the row's settings has today; None where the settings are not valid today."""
    settings = settings_of(row)
    return None if settings is None else trial_id(settings, row.get("workers") or 1)


def evaluation_of(kind: type[Evaluation], row: Mapping[str, Any]) -> Evaluation | None:
    """The settings of a row's evaluation, likewise; sections within a list are JSON in the row."""
    try:
        nested = _nested(row).get("evaluation", {})
        return kind.model_validate({name: _plain(value) for name, value in nested.items()})
    except (ValidationError, ValueError):
        return None


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of dotted columns as nested sections, without nulls.

    Raises ValueError where a path is both a section and a value.
    """
    nested: dict[str, Any] = {}
    for path, value in row.items():
        *sections, name = path.split(".")
        if not sections or value is None:
            continue
        section = nested
        for key in sections:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise ValueError(f"{path}: {key} is no section")
        section[name] = value
    return nested


def _plain(value: Any) -> Any:
    """A setting as in the job file."""
    if not isinstance(value, list):
        return value
    return [json.loads(entry) if isinstance(entry, str) and entry.startswith("{") else entry for entry in value]
