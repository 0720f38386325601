"""What is asked of Slurm for a job: long options of sbatch, from a site's file, the job file and flags."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ValidationError

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.spec.messages import explain, show
from orchestrator.spec.yaml_file import read_yaml_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SITE_VARIABLE = "ORCH_SITE"
STORING_S = 120
"""How long before its end Slurm tells a job, by default, so that trials store their state."""
_LEAST_S = 60
"""What a job must have beside that: less than Ray takes to start would be requeued for ever."""

_OURS = {
    "array": "a job is one allocation; its grid makes the trials",
    "chdir": "a job runs where it was submitted",
    "comment": "the launcher writes it",
    "dependency": "a job that requeues itself would wait for it again",
    "error": "the launcher chooses it",
    "job-name": "the job's name is in it",
    "no-requeue": "a job goes on after its time limit and after preemption",
    "ntasks": "there is one task a node",
    "ntasks-per-node": "there is one task a node",
    "open-mode": "the launcher chooses it",
    "output": "the launcher chooses it",
    "parsable": "the launcher reads what sbatch says",
    "requeue": "it is always given",
    "test-only": "orch plan says what would be done",
    "wait": "orch submit follows the job, and --detach leaves it",
    "wrap": "the launcher writes the script",
}
"""Options of sbatch that the launcher sets itself, or that would break it, with the reason."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VALUE = re.compile(r"[!#-&(-\[\]-~]{0,500}")
"""Printable ASCII without spaces, quotes and backslashes, which sbatch reads in a way of its own."""
_TIMES = (
    (r"(?P<m>\d+)", "minutes"),
    (r"(?P<m>\d+):(?P<s>\d+)", "minutes:seconds"),
    (r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)", "hours:minutes:seconds"),
    (r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?", "days-hours"),
)
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SIGNAL = re.compile(r"B:USR1@(\d{1,5})")


def _checked(options: Mapping[str, Any]) -> dict[str, str | int | bool]:
    checked: dict[str, str | int | bool] = {}
    for written, value in options.items():
        name = written.replace("_", "-")
        if name in checked:
            raise ValueError(f"{written}: stands twice")
        if problem := _problem(name, value):
            raise ValueError(f"{written}: {problem}")
        checked[name] = value
    return checked


def _problem(name: str, value: Any) -> str | None:
    """Why this option cannot be given; None where it can."""
    if not _NAME.fullmatch(name):
        return "expected the name of a long option of sbatch, such as account"
    if name in _OURS:
        return f"cannot be set: {_OURS[name]}"
    text = str(value)
    if not isinstance(value, str | int):
        return f"got {show(value)}, expected text, a whole number, true or false"
    if not _VALUE.fullmatch(text) or text == "":
        return f"got {show(value)}, expected printable ASCII without spaces, quotes and backslashes"
    if name == "nodes" and not re.fullmatch(r"[1-9]\d{0,5}", text):
        return f"got {show(value)}, expected a whole number > 0"
    if name == "gpus-per-node" and not re.fullmatch(r"([\w.-]+:)?\d{1,4}", text):
        return f"got {show(value)}, expected a number of GPUs, or type:number"
    if name == "time" and seconds_of(text) is None:
        forms = ", ".join(form for _, form in _TIMES)
        return f"got {show(value)}, expected a time as Slurm writes it: {forms}"
    if name == "signal" and not _SIGNAL.fullmatch(text):
        return f"got {show(value)}, expected B:USR1@SECONDS, the signal at which trials store their state"
    return None


SlurmOptions = Annotated[dict[str, Any], AfterValidator(_checked)]
"""Long options of sbatch by name; an underscore counts as a dash, true stands for an option without a value."""


class SiteResources(Settings):
    """What a site says of resources."""

    slurm: SlurmOptions | None = None


class Site(Settings):
    """What holds for all jobs of a user or a site."""

    resources: SiteResources = SiteResources()


def site_file() -> Path | None:
    """The site's file: the one that ORCH_SITE names, or else ~/.config/orch/site.yaml where it is there."""
    if named := os.environ.get(SITE_VARIABLE):
        return Path(named).expanduser()
    path = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "orch" / "site.yaml"
    return path if path.is_file() else None


def read_site() -> dict[str, Any]:
    """The options for sbatch in the site's file; empty where there is none. Raises SettingsError."""
    path = site_file()
    if path is None:
        return {}
    raw = read_yaml_file(path)
    try:
        return dict(Site.model_validate(raw).resources.slurm or {})
    except ValidationError as error:
        raise SettingsError(str(path), *explain(error, raw, Site)) from error


def read_flags(named: Mapping[str, str | int | None], pairs: Iterable[str]) -> dict[str, str | int | bool]:
    """The options for sbatch on the command line: ``named`` by flag, and ``key=value``. Raises SettingsError."""
    options: dict[str, str | int | bool] = {}
    for name, value in named.items():
        if value is not None:
            options[name] = value
            if problem := _problem(name, value):
                raise SettingsError(f"--{name}", "", problem)
    for pair in pairs:
        written, equals, text = pair.partition("=")
        name = written.strip().replace("_", "-")
        if not equals:
            raise SettingsError("--slurm", pair, "expected key=value, such as account=vision, or exclusive=true")
        value = {"true": True, "false": False}.get(text, text)
        if problem := _problem(name, value):
            raise SettingsError("--slurm", name, problem)
        if name in options:
            raise SettingsError("--slurm", name, "is given twice")
        options[name] = value
    return options


def merged(*sources: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """The options of all sources, later ones first in rank, with what holds where none says otherwise.

    Raises SettingsError for a time limit that leaves nothing beside the time for storing.
    """
    options = {name: value for source in sources for name, value in source.items()}
    options = {name: value for name, value in options.items() if value is not False}
    options.setdefault("nodes", 1)
    options.setdefault("signal", f"B:USR1@{STORING_S}")
    storing = storing_s(options)
    least, given = storing + _LEAST_S, seconds_of(str(options.get("time", "")))
    if given is not None and given < least:
        problem = f"got {show(options['time'])}, expected at least {least} s: {storing} s of it are for storing"
        raise SettingsError("--time", "", problem)
    return options


def storing_s(options: Mapping[str, str | int | bool]) -> int:
    """Seconds of the time limit that are kept for storing states, by merged options."""
    match = _SIGNAL.fullmatch(str(options["signal"]))
    assert match is not None
    return int(match[1])


def seconds_of(time: str) -> int | None:
    """Seconds of a time limit as Slurm writes it; None where it is none."""
    for pattern, _ in _TIMES:
        if match := re.fullmatch(pattern, time):
            return sum(int(number) * _UNITS[unit] for unit, number in match.groupdict().items() if number)
    return None
