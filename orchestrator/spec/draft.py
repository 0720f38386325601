"""Writes a first job file for a question: data, objectives, what is swept; the rest has values to begin with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.data import DATASETS
from orchestrator.errors import SettingsError, one_line
from orchestrator.objectives import FAMILIES
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.spec.schema_file import FIRST_LINE
from orchestrator.spec.yaml_file import flow_yaml, parse_yaml
from orchestrator.text import SEED, listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.objectives.objective import Family

FOLDER = "image_folder"
OBJECTIVES = ("non_saturating", "saturating")
"""Objectives that are compared where nobody chooses."""
_SIZE = {"latent_dim": 64, "width": 32}
_MODELS: dict[Family, str] = {
    "adversarial": "dcgan",
    "autoencoding": "encoder_decoder",
    "free_latents": "encoder_decoder",
    "likelihood": "glow",
}
_NEEDS: dict[str, dict[str, Any]] = {
    "began": {"model.kind": "autoencoding"},
    "ebgan": {"model.kind": "autoencoding", "objective.margin": 0.5},
    "wgan_gp": {"model.discriminator_norm": "layer"},
}
"""What objectives need beyond the usual model of their family."""
_USUAL: dict[str, list[Any]] = {
    "training.d_steps": [1, 3],
    "training.g_optimizer.lr": [1e-4, 4e-4],
    "training.batch_size": [32, 128],
    "model.width": [16, 32],
    "model.latent_dim": [16, 64],
    SEED: [0, 1, 2],
}
"""Values to begin with of settings that are often swept."""


@dataclass(frozen=True)
class Question:
    """What a study is to compare: ``data`` is the section of the job file, ``sweeps`` has values by paths."""

    data: Mapping[str, Any]
    objectives: Sequence[str]
    sweeps: Mapping[str, Any]

    def sentence(self) -> str:
        """The question in words."""
        swept, of = listing(path for path in self.sweeps if path != SEED), f"samples of {self.data['name']}"
        if len(self.objectives) == 1:
            and_what = "" if swept == "none" else f", and what does {swept} change"
            return f"How good are {of} by {self.objectives[0]}{and_what}?"
        by = "" if swept == "none" else f", by {swept}"
        return f"Which of {listing(self.objectives)} gives the better {of}{by}?"


def read_data(text: str) -> dict[str, Any]:
    """The section ``data`` for the name of a data set or a folder of images. Raises SettingsError."""
    names = [name for name in DATASETS if name != FOLDER]
    if text in names:
        return {"name": text}
    if Path(text).is_dir():
        return {"name": FOLDER, "root": text, "height": 32, "width": 32}
    problem = f"got {show(text)}, expected a folder of images or a data set; {did_you_mean(text, names)}"
    raise SettingsError("--data", "", problem)


def read_objectives(kinds: Sequence[str]) -> tuple[str, ...]:
    """The distinct objectives. Raises SettingsError."""
    for kind in kinds:
        if kind not in FAMILIES:
            raise SettingsError("--objective", "", f"got {show(kind)}; {did_you_mean(kind, list(FAMILIES))}")
    return tuple(dict.fromkeys(kinds))


def usual_sweeps(objectives: Sequence[str]) -> list[str]:
    """Settings that are often swept, as far as all these objectives have them; the first is swept unless another is."""
    families = {FAMILIES[kind] for kind in objectives}
    without = {"training.d_steps"} if families != {"adversarial"} else set()
    without |= {"model.latent_dim"} if "likelihood" in families else set()
    return [path for path in _USUAL if path not in without]


def read_sweeps(texts: Sequence[str], objectives: Sequence[str]) -> dict[str, Any]:
    """Values by paths, of ``PATH=VALUES`` or of the ``PATH`` of a usual sweep. Raises SettingsError."""
    sweeps = {}
    for text in texts:
        path, separator, values = text.partition("=")
        usual = usual_sweeps(objectives)
        if separator:
            sweeps[path] = parse_yaml(values, f"--sweep {path}")
        elif path in usual:
            sweeps[path] = _USUAL[path]
        else:
            problem = f"got {show(path)}, expected PATH=[value, ...]; without values {did_you_mean(path, usual)}"
            raise SettingsError("--sweep", "", problem)
    return sweeps


def draft(question: Question, file: Path) -> str:
    """The text of a job file, which names its schema in its first line."""
    name, shown = file.stem, shlex.quote(one_line(str(file)))
    setups = {kind: _setup(kind) for kind in question.objectives}
    shared = {path: value for path, value in next(iter(setups.values())).items() if _is_shared(path, value, setups)}
    linked = [
        {"objective.kind": kind} | {path: value for path, value in setup.items() if path not in shared}
        for kind, setup in setups.items()
    ]
    model = {path.partition(".")[2]: value for path, value in shared.items() if path.startswith("model.")}
    grid: dict[str, Any] = dict(question.sweeps)
    grid.setdefault(SEED, _USUAL[SEED])
    lines = [
        FIRST_LINE,
        f"# {question.sentence()}",
        "#",
        f"#   orch plan {shown}        # how many trials, on which devices, how long",
        f"#   orch submit {shown} --set training.epochs=1    # a first look",
        f"#   orch submit {shown}      # all of it, and the report",
        f"name: {name}",
        "# The question, as the report repeats it.",
        f"description: {flow_yaml(question.sentence())}",
        "# The images; max_images keeps the first so many.",
        f"data: {flow_yaml(dict(question.data))}",
        "# The networks. width is the number of feature maps next to the image: 64 is that of most papers.",
        f"model: {flow_yaml(model)}",
    ]
    if len(linked) == 1:
        lines += ["# What is minimised.", f"objective: {flow_yaml(_objective_of(question.objectives[0], shared))}"]
    lines += [
        "training:",
        "  epochs: 20",
        *([] if "training.batch_size" in grid else ["  batch_size: 64"]),
        "  # Epochs between measures of samples: FID where the images have classes, and diversity.",
        "  measure_every: 5",
        "# Paths of settings with the values to try; a trial for each combination. Verdicts take several seeds.",
        "grid:",
        *_objectives_axis(linked),
        *(f"  {flow_yaml(path)}: {flow_yaml(values)}" for path, values in grid.items()),
        *_claim(question, grid),
        "# Where results are: a folder, or s3://bucket/prefix.",
        "storage: results",
    ]
    return "\n".join(lines) + "\n"


def _setup(kind: str) -> dict[str, Any]:
    """The settings that an objective is tried with, by their paths."""
    model = {"model.kind": _MODELS[FAMILIES[kind]]} | {f"model.{name}": value for name, value in _SIZE.items()}
    if FAMILIES[kind] == "likelihood":  # a flow has as many latent numbers as an image has
        del model["model.latent_dim"]
    return model | _NEEDS.get(kind, {})


def _is_shared(path: str, value: Any, setups: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(setup.get(path) == value for setup in setups.values())


def _objective_of(kind: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    own = {path.partition(".")[2]: value for path, value in shared.items() if path.startswith("objective.")}
    return {"kind": kind} | own


def _objectives_axis(linked: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the grid for several objectives, linked with what they need where that differs."""
    if len(linked) == 1:
        return []
    if all(len(entry) == 1 for entry in linked):
        return [f"  objective.kind: {flow_yaml([entry['objective.kind'] for entry in linked])}"]
    return ["  objectives:  # values that go together", *(f"    - {flow_yaml(dict(entry))}" for entry in linked)]


def _claim(question: Question, grid: Mapping[str, Any]) -> list[str]:
    """What the report is to decide: the first two objectives compared, or the first two values of a sweep."""
    remark = "# What is expected. The report calls it supported, refuted or undecided, by the seeds: docs/verdicts.md."
    sides = next(iter(_sides(question, grid)), None)
    if sides is None:
        return []
    path, first, second = sides
    classes = DATASETS[question.data["name"]].has_classes
    measure, better = ("fid", "lower") if classes else ("diversity", "higher")
    name = path.rpartition(".")[2]
    tell = f"{first} gives a {better} {measure} than {second}"
    says = f"{tell}." if path == "objective.kind" else f"{name} {tell}."
    return [
        remark,
        "claims:",
        "  - id: expected",
        f"    says: {flow_yaml(says)}",
        f"    measure: {measure}",
        f"    better: {better}",
        f"    group: {flow_yaml({path: first})}",
        f"    than: {flow_yaml({path: second})}",
    ]


def _sides(question: Question, grid: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    paths = {"objective.kind": list(question.objectives), **{path: grid[path] for path in question.sweeps}}
    return [
        (path, values[0], values[1])
        for path, values in paths.items()
        if path != SEED and isinstance(values, list) and len(values) > 1
        if all(isinstance(value, str | int | float) for value in values[:2])
    ]
