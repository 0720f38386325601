"""Job files and settings of trials that many tests begin with: a tiny DCGAN on scikit-learn's digits."""

from __future__ import annotations

from typing import Any

from orchestrator.training.settings import TrialSettings

_SECTIONS: dict[str, Any] = {
    "data": {"name": "digits"},
    "model": {"kind": "dcgan", "latent_dim": 4, "width": 2},
    "objective": {"kind": "saturating"},
}


def raw_settings(**sections: Any) -> dict[str, Any]:
    """The sections of a trial; one of ``sections`` is merged into what is there, or takes its place if it names a kind.

    None takes a section out.
    """
    raw = {name: dict(section) for name, section in _SECTIONS.items()}
    for name, section in sections.items():
        merged = isinstance(section, dict) and not {"kind", "name"} & section.keys()
        raw[name] = {**raw.get(name, {}), **section} if merged else section
    return {name: section for name, section in raw.items() if section is not None}


def trial_settings(**sections: Any) -> TrialSettings:
    """A trial's settings, with ``sections`` as in ``raw_settings``."""
    return TrialSettings.model_validate(raw_settings(**sections))


def raw_job(name: str = "study", **sections: Any) -> dict[str, Any]:
    """A job file's content, with ``sections`` as in ``raw_settings``."""
    return {"name": name, **raw_settings(**sections)}
