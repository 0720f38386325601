"""diff: two trials, or two jobs, in what differs between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.columns import print_columns
from orchestrator.cli.console import out, shown
from orchestrator.cli.options import STORAGE, AsJson, NamedJob, Storage, name_job
from orchestrator.errors import SettingsError
from orchestrator.text import number, plural, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.spec.job import Job

_TRIAL = re.compile(r"(?P<job>[a-z0-9][a-z0-9_-]{0,62})/(?P<trial>[0-9a-f]{1,16})")
_ID = re.compile(r"[0-9a-f]{1,16}")
_VALUES = 8


def diff(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="A trial as JOB/TRIAL, or a job: name, file or folder.", show_default=False),
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="The same; of A's job the beginning of an id.", show_default=False)
    ],
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Compare two trials, or two jobs: only the settings that differ; of trials their measures side by side.

    Of a setting that varies within a job, all its values are compared.

    Examples: `orch diff quickstart/1f3a 9b2c` · `orch diff quickstart/1f3a wider/1f3a` ·
    `orch diff quickstart jobs/quickstart.yaml` · `orch diff results/quickstart other_results/quickstart --json`
    """
    from orchestrator.state.files import to_json

    first = _side(a, storage)
    within = first.named if first.trial is not None and _ID.fullmatch(b) else None
    second = Side(within, b) if within else _side(b, storage)
    if (first.trial is None) != (second.trial is None):
        raise SettingsError("B", "", f"got {b!r} for a comparison with {a!r}, expected two trials or two jobs")
    told = _of_trials(first, second) if first.trial is not None else _of_jobs(first, second)
    if as_json:
        typer.echo(to_json(told))
    else:
        _print(told)


@dataclass(frozen=True)
class Side:
    """One of the two: a trial by the beginning of its id, or a job."""

    named: NamedJob
    trial: str | None = None


def _side(text: str, storage: str | None) -> Side:
    """What an argument names. Raises SettingsError, StorageError."""
    from orchestrator.state.files import has_job
    from orchestrator.store.open import open_store

    parent, _, name = text.rstrip("/").rpartition("/")
    folder = text.startswith("s3://") or (Path(text) / "job.yaml").is_file()
    if folder and has_job(open_store(text)):
        return Side(name_job(name, parent or "."))
    if (match := _TRIAL.fullmatch(text)) and not Path(text).is_file():
        return Side(name_job(match["job"], STORAGE if storage is None else storage), match["trial"])
    return Side(name_job(text, storage))


def _of_trials(first: Side, second: Side) -> dict[str, Any]:
    from orchestrator.report.sections.trials import shown_measures
    from orchestrator.study.compare import differing_keys, row_of, settings_of, study_of
    from orchestrator.study.study import plain
    from orchestrator.study.trained import find_trial_id

    names, settings, rows, measures = [], [], [], []
    for side in (first, second):
        named = side.named
        named.require()
        assert side.trial is not None
        trial_id = find_trial_id(named.store, side.trial, named.from_file)
        study = study_of(named.store, [trial_id], alive=False)
        names.append(f"{named.name}/{trial_id}")
        settings.append(settings_of(named.store, study, trial_id))
        rows.append({key: plain(value) for key, value in row_of(study, trial_id).items()})
        measures += [] if study is None else shown_measures(study.trials)
    differing, equal = differing_keys(settings)
    shown_rows = ["status", "step", *dict.fromkeys(measures)]
    return {
        "of": "trials",
        "names": names,
        "settings": {key: [one.get(key) for one in settings] for key in differing},
        "same": len(equal),
        "measures": {key: [row.get(key) for row in rows] for key in shown_rows if any(key in row for row in rows)},
    }


def _of_jobs(first: Side, second: Side) -> dict[str, Any]:
    from orchestrator.study.compare import differing_keys

    jobs = [side.named.load() for side in (first, second)]
    values = [_values(job) for job in jobs]
    differing, equal = differing_keys(values)
    ids = [{trial.id for trial in job.trials} for job in jobs]
    same_name = jobs[0].header.name == jobs[1].header.name
    return {
        "of": "jobs",
        "names": [job.source if same_name else job.header.name for job in jobs],
        "settings": {key: [one.get(key) for one in values] for key in differing},
        "same": len(equal),
        "trials": {"both": len(ids[0] & ids[1]), "only": [len(ids[0] - ids[1]), len(ids[1] - ids[0])]},
    }


def _values(job: Job) -> dict[str, list[Any]]:
    """The values of each setting over the job's trials, in their order, and what the job file's header says."""
    from orchestrator.spec.identity import flatten
    from orchestrator.study.compare import settings_in
    from orchestrator.study.study import plain

    found: dict[str, dict[Any, None]] = {}
    for trial in job.trials:
        for key, value in settings_in(trial).items():
            found.setdefault(key, {})[value] = None
    header = job.header.model_dump(mode="json", exclude_none=True)
    claims = {f"claims.{claim['id']}": claim for claim in header.pop("claims")}
    told = {**flatten(header), **claims}
    said = {key: [plain(value)] for key, value in told.items() if value not in ("", [])}
    return {**said, **{key: _sorted(values) for key, values in found.items()}}


def _sorted(values: Mapping[Any, None]) -> list[Any]:
    """The values in an order that does not depend on that of the grid."""
    return sorted(values, key=lambda value: (str(type(value)), value))


def _print(told: Mapping[str, Any]) -> None:
    names = [shown(name) for name in told["names"]]
    if told["settings"]:
        rows = [(key, *map(_words, pair)) for key, pair in told["settings"].items()]
        print_columns(out, ("setting", *names), rows, whole=(0,))
    else:
        out.print(f"{names[0]} and {names[1]} have the same settings", soft_wrap=True)
    out.print(f"{plural(told['same'], 'setting')} the same in both", soft_wrap=True)
    if told["of"] == "jobs":
        both, (one, other) = told["trials"]["both"], told["trials"]["only"]
        out.print(f"{plural(both, 'trial')} in both; {one} in the first only, {other} in the second only")
    elif told["measures"]:
        out.print()
        rows = [(key, *map(number, pair)) for key, pair in told["measures"].items()]
        print_columns(out, ("measure", *names), rows, whole=(0,))


def _words(value: Any) -> str:
    """A setting, or all that it has in a job."""
    if not isinstance(value, list):
        return shown(setting(value))
    words: Sequence[str] = [setting(one) for one in value[:_VALUES]]
    return shown(", ".join(words) + (f" and {len(value) - _VALUES} more" if len(value) > _VALUES else ""))
