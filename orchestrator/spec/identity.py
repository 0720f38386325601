"""A trial's id: the hash of the settings that decide its results."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from orchestrator.evaluations import KINDS
from orchestrator.settings import Settings
from orchestrator.training.settings import TrainingSettings

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

IDLE = frozenset(f"training.{name}" for name in TrainingSettings.idle)
"""Settings of a trial that are no part of its id."""
IDLE_OF_EVALUATIONS = frozenset(f"evaluation.{name}" for kind in KINDS.values() for name in kind.idle)
"""Settings of an evaluation that are no part of its id."""
SPEC_VERSION = 6
"""Raise it whenever the same settings give other numbers than before: every trial then counts as new."""


def trial_id(settings: TrialSettings, workers: int = 1) -> str:
    """16 hexadecimal digits of the SHA-256 of all settings, defaults written out, and the spec version.

    Settings with the place of something (``Settings.places``) do not count: a moved data folder is the same data. Those
    that change no result (``Settings.idle``) count as their defaults, and those that ids did not know at first
    (``Settings.later``) only where they differ from theirs. The number of devices counts only with batch statistics
    over each device alone, which depend on it.
    """
    content = {"spec_version": SPEC_VERSION, **_content(settings)}
    if settings.model.batch_statistics == "per_device" and workers > 1:
        content["workers"] = workers
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(settings: TrialSettings) -> dict[str, Any]:
    content = settings.canonical().model_dump(mode="json")
    _drop_later_defaults(settings, content)
    for name in content:
        section: Settings = getattr(settings, name)
        for place in section.places:
            del content[name][place]
    return content


def _drop_later_defaults(section: Settings, content: dict[str, Any]) -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name in section.later and value == field.default:
            del content[name]
        elif isinstance(value, Settings):
            _drop_later_defaults(value, content[name])


def flatten(raw: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping of dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
