"""The names of the files below a job's root: which of them are this program's, and which trial each belongs to."""

from __future__ import annotations

import re

CLASSIFIERS = "_classifiers"
"""Beside the jobs of a storage, none of which can have such a name: classifiers, which all of them share."""
_ID = r"[0-9a-f]{16}"
_TRIAL = rf"(?P<trial>{_ID})"
_OF_TRIALS = "|".join(
    pattern.replace(_TRIAL, _TRIAL.replace("trial", f"trial{place}"))
    for place, pattern in enumerate(
        (
            rf"(?:trials|metrics)/{_TRIAL}\.parquet",
            rf"checkpoints/{_TRIAL}(?:\.best)?\.pt",
            rf"checkpoints/{_TRIAL}\.latents/\d{{9,}}-\d{{5,}}\.pt",
            rf"samples/{_TRIAL}/(?:(?:epoch|autoencoder)-\d{{4,9}}|[a-z0-9_]+-{_ID}-[\w.-]+)\.png",
            rf"evaluations/[a-z0-9_]+/{_TRIAL}-{_ID}-\d{{4,}}\.parquet",
        )
    )
)
_TRIALS_FILE = re.compile(rf"(?:replaced/[0-9a-f]{{1,12}}/)?(?:{_OF_TRIALS})")
_JOBS_FILE = re.compile(
    r"(?:job\.yaml|run\.json|run\.log|cancel\.json|handover\.json|evaluated\.json|copy\.json)"
    r"|bundles/(?:trials|metrics)-[0-9a-f]{32}\.parquet|report/(?:index\.html|figures\.json)|lease/\d{8,18}\.json"
)


def trial_in(key: str) -> str | None:
    """The id of the trial that a file is of, results on earlier images included; None for all other files."""
    match = _TRIALS_FILE.fullmatch(key)
    return next(filter(None, match.groups())) if match else None


def is_ours(key: str) -> bool:
    """Whether this program names files so; figures of reports, which ``report.figure_files`` lists, are not known."""
    return trial_in(key) is not None or _JOBS_FILE.fullmatch(key) is not None


def is_checkpoint(key: str) -> bool:
    """Whether a trial goes on from this file, or its networks are loaded from it."""
    return key.startswith("checkpoints/") and trial_in(key) is not None
