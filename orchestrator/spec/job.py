"""A job file as frozen settings: trials and their grid, resources, evaluations, claims and storage."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from orchestrator.errors import SettingsError
from orchestrator.evaluations import AnyEvaluation
from orchestrator.settings import Settings
from orchestrator.spec.claim_checks import malformed, unanswered
from orchestrator.spec.claims import Claim
from orchestrator.spec.grid import SEED, VARIED_SECTIONS, WORKERS, Axis, cells, read_grid, with_path
from orchestrator.spec.identity import flatten, trial_id
from orchestrator.spec.messages import did_you_mean, explain, show
from orchestrator.spec.search import Search, Space, ends_of, reject_search, space_of, typed
from orchestrator.spec.slurm import SlurmOptions
from orchestrator.spec.yaml_file import parse_yaml, read_yaml_file
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.evaluations import Evaluation

_S = TypeVar("_S", bound=Settings)


_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


def _plain(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"got {show(name)}, expected 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit")
    return name


Name = Annotated[str, AfterValidator(_plain), Field(json_schema_extra={"pattern": f"^{_NAME}$"})]
"""Names a folder: nothing in it can lead elsewhere or differ between file systems."""


def is_name(name: str) -> bool:
    """Whether a job can have this name."""
    return re.fullmatch(_NAME, name) is not None


_TAG = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,39}"


def _tag(tag: str) -> str:
    if not re.fullmatch(_TAG, tag):
        raise ValueError(f"got {show(tag)}, expected 1 to 40 of a-z, A-Z, 0-9, _.:/ and -, the first a letter or digit")
    return tag


Tag = Annotated[str, AfterValidator(_tag), Field(json_schema_extra={"pattern": f"^{_TAG}$"})]
"""A word to find jobs by."""


class Resources(Settings):
    """The devices of one trial, and the number of trials at once."""

    workers: int = Field(1, ge=1, le=1024)
    """Devices that train one trial together, each with a process; its batch is divided among them."""
    cpus_per_worker: int = Field(1, ge=1, le=1024)
    """Processors of each of these processes."""
    gpus_per_worker: float | None = Field(None, ge=0.0, le=1.0)
    """None takes a GPU where the cluster has any, and a CPU elsewhere, so that one job file suits both."""
    max_concurrent: int | None = Field(None, ge=1)
    """None runs as many trials at once as fit."""
    max_retries: int = Field(2, ge=0, le=100)
    """How often a trial is started again after its worker or node was lost; preemptions do not count."""
    max_hours: float | None = Field(None, gt=0.0, le=100_000.0)
    """Hours after which a run ends: its trials keep their last states, and another run goes on. None is no end."""
    slurm: SlurmOptions | None = None
    """Options of sbatch for a submission with --address slurm."""

    @model_validator(mode="after")
    def _whole_gpus(self) -> Resources:
        if self.workers > 1 and self.gpus_per_worker not in (None, 0.0, 1.0):
            raise ValueError(
                f"gpus_per_worker: got {self.gpus_per_worker:g} with {self.workers} workers, expected 0 or 1: "
                "processes that train one trial together cannot share a GPU"
            )
        return self


class _Varied(Settings):
    """The part of the header that a grid may vary."""

    resources: Resources


class Header(Settings):
    """The sections of a job file that do not decide what a trial computes."""

    name: Name
    """The job's name: results lie in <storage>/<name>/."""
    description: str = Field("", max_length=2000)
    """The question, as the report repeats it."""
    tags: tuple[Tag, ...] = Field((), max_length=20, strict=False)
    """Words to find the job by among those of a storage."""
    note: str = Field("", max_length=500)
    """A remark for those who look at a list of jobs."""
    resources: Resources = Resources()
    """What a trial is given, and how many run at once."""
    search: Search | None = None
    """A scheduler that stops the worse trials early."""
    evaluate: tuple[AnyEvaluation, ...] = Field((), max_length=100, strict=False)
    """Evaluations of the generator of each trial that is done."""
    claims: tuple[Claim, ...] = Field((), max_length=100, strict=False)
    """Claims, each of which the report calls supported, refuted or undecided."""
    storage: str = Field("results", min_length=1, max_length=1000)
    """Where results are: a folder, or s3://bucket/prefix."""


_KEYS = [*Header.model_fields, *VARIED_SECTIONS, "grid"]


@dataclass(frozen=True)
class Trial:
    """One cell of the grid, resolved; ``changes`` are the dotted paths that the grid set in it."""

    id: str
    settings: TrialSettings
    changes: dict[str, Any]
    workers: int = 1


@dataclass(frozen=True)
class Job:
    """A validated job: its header, its base sections and axes as written, and every distinct trial of its grid.

    ``left_out`` has a line for each claim that overrides have left without the trials or images to decide it. With a
    ``space`` the trials are those of its ``proposals``, of which a job file alone has none: see ``state.proposals``.
    """

    source: str
    header: Header
    sections: dict[str, Any]
    axes: tuple[Axis, ...]
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    space: Space | None = None
    proposals: tuple[dict[str, Any], ...] = ()
    ends: tuple[Trial, ...] = ()
    """Of a search, the trials at the lower and at the upper ends of all ranges, of every cell of the lists."""

    @property
    def examples(self) -> tuple[Trial, ...]:
        """The trials, or what stands for all that a search may propose: what holds for these is checked beforehand."""
        return self.ends or self.trials

    @property
    def most_proposals(self) -> int:
        """The most proposals that a search trains; 0 for a job without one."""
        if self.space is None or self.header.search is None or self.header.search.trials is None:
            return 0
        return int(min(self.header.search.trials // self.space.each, self.space.size))

    @property
    def stops(self) -> bool:
        """Whether a scheduler stops trials early."""
        return self.header.search is not None and self.header.search.scheduler is not None

    @property
    def to_propose(self) -> int:
        """The most trials that a search has yet to propose."""
        return 0 if self.space is None else (self.most_proposals - len(self.proposals)) * self.space.each

    def trials_of(self, proposal: dict[str, Any]) -> tuple[Trial, ...]:
        """A proposal's trials, one for each seed. Raises SettingsError where it cannot be trained."""
        assert self.space is not None
        axes = [Axis("", (proposal,))]
        if self.space.seeds:
            axes.append(Axis(SEED, tuple({SEED: seed} for seed in self.space.seeds)))
        return _trials(_base(self.sections, self.header), tuple(axes), self.source)

    def proposing(self, proposals: Iterable[dict[str, Any]]) -> Job:
        """The job with these proposals as far as they lie in its space, the first ones up to the cap."""
        kept, trials = list[dict[str, Any]](), dict[str, Trial]()
        for proposal in proposals:
            if len(kept) == self.most_proposals or self.space is None:
                break
            if self.space.values(proposal) is None:
                continue
            try:
                made = self.trials_of(proposal)
            except SettingsError:  # as of another version
                continue
            if made[0].id not in trials:
                kept.append(proposal)
                trials |= {trial.id: trial for trial in made}
        return replace(self, proposals=tuple(kept), trials=tuple(trials.values()))

    def resolved(self) -> dict[str, Any]:
        """The job as a mapping that, written as YAML, is a job file with the same trials."""
        raw = {**self.header.model_dump(mode="json", exclude_none=True), **self.sections}
        for key in ("tags", "note", "evaluate", "claims"):
            if not raw[key]:
                del raw[key]
        if self.axes or self.space:
            raw["grid"] = {axis.name: [_entry(axis, entry) for entry in axis.entries] for axis in self.axes}
            raw["grid"] |= {one.name: one.as_written() for one in (self.space.ranges if self.space else ())}
        return raw


def _entry(axis: Axis, entry: dict[str, Any]) -> Any:
    return entry[axis.name] if list(entry) == [axis.name] else entry


def load_job(path: Path, overrides: Iterable[str] = ()) -> Job:
    """Read and validate a job file with ``path=value`` overrides. Raises SettingsError, DataError."""
    raw = read_yaml_file(path)
    raw.pop("provenance", None)  # a submission writes it to the job.yaml beside the results
    return make_job(raw, str(path), overrides)


def make_job(raw: Mapping[str, Any], source: str, overrides: Iterable[str] = (), *, stored: bool = False) -> Job:
    """Validate the raw content of a job file, named ``source`` in errors. Raises SettingsError.

    Of a ``stored`` job, which an earlier version may have taken, claims that it cannot decide are left out.
    """
    raw, overridden = dict(raw), []
    for text in overrides:
        path, raw = _override(raw, text)
        overridden.append(path)
    try:
        narrowed = stored or any(path.split(".")[0] in (*VARIED_SECTIONS, "grid", "evaluate") for path in overridden)
        return _make_job(raw, source, narrowed=narrowed)
    except SettingsError as error:
        if any(error.key == path or error.key.startswith((f"{path}.", f"{path}:")) for path in overridden):
            raise SettingsError("--set", error.key, error.problem) from error
        raise


def _make_job(raw: dict[str, Any], source: str, *, narrowed: bool) -> Job:
    for key in raw:
        if key not in _KEYS:
            raise SettingsError(source, key, f"unknown key; {did_you_mean(key, _KEYS)}")
    header = _validated(Header, {key: raw[key] for key in raw if key in Header.model_fields}, source)
    sections = {key: raw[key] for key in VARIED_SECTIONS if key in raw}
    axes, ranges = read_grid(raw["grid"], source) if "grid" in raw else ((), ())
    base = {**sections, "resources": raw.get("resources", {})}
    space = space_of(header.search, axes, typed(ranges, axes, base, source), source)
    trials = _trials(base, (*axes, *(ends_of(space) if space else ())), source)
    if header.search:
        reject_search(header.search, bool(header.claims), [trial.settings for trial in trials], source)
    _reject_evaluations(header.evaluate, trials, source)
    _reject_claims(header.claims, source)
    problems = _unanswered(header, trials, source)
    if problems and not narrowed:
        raise next(iter(problems.values()))
    claims = tuple(claim for claim in header.claims if claim.id not in problems)
    header = header.model_copy(update={"claims": claims})
    left_out = tuple(f"claim {name} is left out: {error.problem}" for name, error in problems.items())
    job = Job(source, header, sections, axes, trials, left_out)
    return job if space is None else replace(job, trials=(), space=space, ends=trials)


def _base(sections: dict[str, Any], header: Header) -> dict[str, Any]:
    """The sections that a grid may vary, as they are before it does."""
    return {**sections, "resources": header.resources.model_dump(mode="json", exclude_none=True)}


def _reject_evaluations(evaluations: tuple[Evaluation, ...], trials: Sequence[Trial], source: str) -> None:
    """Raise SettingsError for two equal evaluations, or one that no trial or not every applicable trial can have."""
    ids = [evaluation.id for evaluation in evaluations]
    for index, evaluation in enumerate(evaluations):
        first = ids.index(evaluation.id)
        if first < index:
            raise SettingsError(source, f"evaluate.{index}", f"is the same as evaluate.{first}; take one out")
        applicable = [trial.settings for trial in trials if evaluation.not_applicable(trial.settings) is None]
        if not applicable:
            reason = evaluation.not_applicable(trials[0].settings)
            raise SettingsError(
                source, f"evaluate.{index}", f"{evaluation.kind}: no trial of this job has it: {reason}"
            )
        if problem := next(filter(None, (evaluation.reject(settings) for settings in applicable)), None):
            raise SettingsError(source, f"evaluate.{index}", problem)


def _reject_claims(claims: tuple[Claim, ...], source: str) -> None:
    """Raise SettingsError for two claims of one name, or one that no job could decide."""
    names = [claim.id for claim in claims]
    for index, claim in enumerate(claims):
        if (first := names.index(claim.id)) < index:
            raise SettingsError(source, f"claims.{index}.id", f"got {show(claim.id)}, which claims.{first} has")
        if mistake := malformed(claim):
            key, problem = mistake
            raise SettingsError(source, f"claims.{index}.{key}", problem)


def _unanswered(header: Header, trials: Iterable[Trial], source: str) -> dict[str, SettingsError]:
    """Why this job cannot decide claims, by their names. An override may have removed their trials."""
    settings = [trial.settings for trial in trials]
    problems = {}
    for index, claim in enumerate(header.claims):
        if problem := unanswered(claim, settings, header.evaluate):
            problems[claim.id] = SettingsError(source, f"claims.{index}.{problem[0]}", problem[1])
    return problems


def _trials(sections: dict[str, Any], axes: tuple[Axis, ...], source: str) -> tuple[Trial, ...]:
    """Every distinct trial: cells of the grid with the same settings are one trial."""
    distinct: dict[str, Trial] = {}
    axis_of = {path: axis.name or path for axis in axes for path in axis.paths}
    for cell, changes in cells(sections, axes, source):
        settings = _validated(TrialSettings, {key: cell[key] for key in cell if key != "resources"}, source, axis_of)
        workers = _validated(_Varied, {"resources": cell["resources"]}, source, axis_of).resources.workers
        _reject_sharing(settings, workers, source)
        trial = Trial(trial_id(settings, workers), settings, flatten(changes), workers)
        if distinct.setdefault(trial.id, trial).workers != workers:
            problem = f"{distinct[trial.id].workers} and {workers} devices train the same trial; vary a setting with it"
            raise SettingsError(source, f"grid.{axis_of[WORKERS]}", problem)
    return tuple(distinct.values())


def _reject_sharing(settings: TrialSettings, workers: int, source: str) -> None:
    """Raise SettingsError for a batch that devices cannot share equally, or whose parts are too small for a norm.

    With unequal parts some devices would wait at every step.
    """
    training = settings.training
    batch, parts = training.batch_size, workers * training.accumulate
    if training.unrolled_steps and workers > 1:
        problem = f"got {training.unrolled_steps}, expected 0 with {workers} workers: looking ahead takes one device"
        raise SettingsError(source, "training.unrolled_steps", problem)
    if remainder := batch % parts:
        near = " or ".join(str(size) for size in (batch - remainder, batch - remainder + parts) if size > 0)
        sharing = f"{workers} workers" + (f" in {training.accumulate} parts each" if training.accumulate > 1 else "")
        problem = f"got {batch}, which {sharing} cannot share equally; the nearest that they can: {near}"
        raise SettingsError(source, "training.batch_size", problem)
    least = settings.model.least_part(settings.objective.trains, workers)
    if batch // parts < least:
        problem = (
            f"got {batch}, of which a pass has 1 image (workers {workers}, accumulate {training.accumulate}), expected "
            f"at least {least * parts}: a norm of {settings.model.kind} takes {least} images; raise it, lower "
            "accumulate, or choose other norms (model.batch_norm, model.discriminator_norm)"
        )
        raise SettingsError(source, "training.batch_size", problem)


def _validated(model: type[_S], raw: dict[str, Any], source: str, axis_of: Mapping[str, str] | None = None) -> _S:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        key, problem = explain(error, raw, model)
        for path, axis in (axis_of or {}).items():
            if key == path or key.startswith(path + "."):
                key = f"grid.{key}" if axis == path else f"grid.{axis}: {key}"
                break
        raise SettingsError(source, key, problem) from error


def _override(raw: dict[str, Any], text: str) -> tuple[str, dict[str, Any]]:
    """The path of one ``path=value``, and ``raw`` with that value; the path is removed from the grid."""
    path, separator, value_text = text.partition("=")
    path = path.strip()
    if not separator or not path or not all(path.split(".")):
        raise SettingsError("--set", text, "expected path=value, such as training.epochs=5")
    if path.split(".")[0] not in _KEYS:
        raise SettingsError("--set", path, f"unknown key; {did_you_mean(path.split('.')[0], _KEYS)}")
    value = parse_yaml(value_text, f"--set {path}")
    grid = raw.get("grid")
    if path.startswith("grid."):
        axes = grid if isinstance(grid, dict) else {}
        return path, {**raw, "grid": {**axes, path.removeprefix("grid."): value}}
    if isinstance(grid, dict) and path in grid:
        remaining = {axis: values for axis, values in grid.items() if axis != path}
        raw = {key: section for key, section in raw.items() if key != "grid"}
        if remaining:
            raw["grid"] = remaining
    elif isinstance(grid, dict):
        _reject_linked(path, grid)
    return path, with_path(raw, path, value, "--set")


def _reject_linked(path: str, grid: dict[str, Any]) -> None:
    """Raise SettingsError for an override that the grid would silently undo."""
    for name, entries in grid.items():
        inside = (
            [key for entry in entries if isinstance(entry, dict) for key in entry] if isinstance(entries, list) else []
        )
        if path in inside or name.startswith(path + ".") or path.startswith(name + "."):
            raise SettingsError("--set", path, f"is varied by grid.{name}; override grid.{name} instead")
