"""A trial's id: what changes it and what does not."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.evaluations import KINDS
from orchestrator.spec import identity
from orchestrator.spec.identity import flatten, trial_id
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

ADAM = {"kind": "adam", "lr": 0.0002, "betas": [0.5, 0.999], "eps": 1e-08, "momentum": 0.0}
CANONICAL: dict[str, Any] = {
    "spec_version": 6,
    "data": {"name": "mnist", "max_images": 1000, "image_size": 28},
    "model": {
        "kind": "dcgan",
        "latent_dim": 100,
        "batch_norm": "synchronized",
        "discriminator_norm": "batch",
        "spectral_norm": "none",
        "initialization": "normal",
        "dropout": 0.0,
        "instance_noise": 0.0,
        "feature_noise": 0.0,
        "width": 64,
        "max_width": None,
        "depth": None,
    },
    "objective": {
        "kind": "least_squares",
        "feature_matching": 0.0,
        "r1": 0.0,
        "labels": {"real": [1.0, 1.0], "fake": [0.0, 0.0]},
        "target": 1.0,
    },
    "training": {
        "epochs": 20,
        "batch_size": 128,
        "d_steps": 1,
        "g_steps": 1,
        "g_optimizer": ADAM,
        "d_optimizer": {**ADAM, "lr": 1.0},
        "schedule": {"kind": "constant", "final": 0.0, "measure": "m_global", "patience_epochs": 5},
        "noise_epochs": 0,
        "unrolled_steps": 0,
        "g_ema": 0.0,
        "seed": 0,
        "log_every": 10,
        "samples_every": 1,
        "checkpoint_every": 1,
        "measure_every": 0,
        "measure_samples": 1000,
        "stop_when": [],
        "accumulate": 1,
        "precision": "auto",
    },
}
SETTINGS: dict[str, Any] = {
    "data": {"name": "mnist", "max_images": 1000},
    "model": {"kind": "dcgan"},
    "objective": {"kind": "least_squares"},
    "training": {"d_optimizer": {"lr": 1.0}},
}
FOLDER = {**SETTINGS, "data": {"name": "image_folder", "root": "pictures"}}


def id_of(raw: dict[str, Any]) -> str:
    return trial_id(TrialSettings.model_validate(raw))


def leaves(raw: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(raw, dict):
        return [(path, raw)]
    return [leaf for key, value in raw.items() for leaf in leaves(value, (*path, key))]


def changed(raw: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = path
    return {**raw, key: changed(raw.get(key, {}), tuple(rest), value) if rest else value}


def test_the_id_is_the_hash_of_everything_written_out() -> None:
    text = json.dumps(CANONICAL, sort_keys=True, separators=(",", ":"))
    assert id_of(SETTINGS) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_id_stays_what_it_was() -> None:
    """Change this value only together with SPEC_VERSION: stored results are found by it."""
    assert id_of(SETTINGS) == "4c0511083f1e7901"


def test_the_number_of_devices_counts_only_where_each_has_statistics_of_its_own() -> None:
    def ids(batch_norm: str) -> list[str]:
        raw = changed(SETTINGS, ("model",), {"kind": "dcgan", "batch_norm": batch_norm})
        return [trial_id(TrialSettings.model_validate(raw), workers) for workers in (1, 2, 4)]

    assert len(set(ids("synchronized"))) == len(set(ids("none"))) == 1
    assert len(set(ids("per_device"))) == 3


def test_the_spec_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = id_of(SETTINGS)
    monkeypatch.setattr(identity, "SPEC_VERSION", identity.SPEC_VERSION + 1)
    assert id_of(SETTINGS) != before


def test_order_defaults_and_the_way_a_number_is_written_do_not_count(load: Callable[..., Job]) -> None:
    texts = [
        "training: {epochs: 3, g_optimizer: {lr: 1}}",
        "training: {g_optimizer: {lr: 1.0}, epochs: 3}",
        "training: {g_optimizer: {lr: 1.0, betas: [0.5, 0.999], kind: adam}, seed: 0, epochs: 3}",
        "training: {g_optimizer: {lr: 10e-1}, epochs: 3}\n-data\ndata: {name: digits}",
        "grid: {training.epochs: [3], training.g_optimizer.lr: [1]}",
        "training: {seed: 0}\ngrid: {training: [{epochs: 3, g_optimizer: {lr: 1}}]}",
        "name: other\ndescription: words\ntags: [a]\nnote: b\nstorage: elsewhere\nresources: {max_concurrent: 1}\n"
        + ("training: {epochs: 3, g_optimizer: {lr: 1}}"),
    ]
    assert len({load(text).trials[0].id for text in texts}) == 1


LEAVES = leaves({key: value for key, value in CANONICAL.items() if key != "spec_version"})
OTHER = {
    ("data", "name"): "fashion_mnist",
    ("data", "image_size"): 32,
    ("objective", "feature_matching"): 1.0,
    ("objective", "r1"): 1.0,
    ("objective", "labels", "real"): [0.9, 1.0],
    ("objective", "labels", "fake"): [0.0, 0.1],
    ("model", "batch_norm"): "none",
    ("model", "discriminator_norm"): "layer",
    ("model", "spectral_norm"): "both",
    ("model", "initialization"): "orthogonal",
    ("model", "dropout"): 0.5,
    ("model", "instance_noise"): 0.1,
    ("model", "feature_noise"): 0.1,
    ("model", "max_width"): 128,
    ("model", "depth"): 2,
    ("training", "precision"): "fp32",
    ("training", "stop_when"): ["saturated"],
    ("training", "schedule", "kind"): "cosine",
    ("training", "g_ema"): 0.9,
    ("training", "g_optimizer", "betas"): [0.4, 0.999],
    ("training", "d_optimizer", "betas"): [0.5, 0.99],
}
NOT_ALONE = {
    ("objective", "kind"),
    ("model", "kind"),
    *(("training", f"{network}_optimizer", name) for network in "gd" for name in ("kind", "momentum")),
    *(("training", "schedule", name) for name in ("final", "measure", "patience_epochs")),
}
"""What changes only together with settings beside it."""


IDLE_LEAVES = {("training", "samples_every"), ("training", "checkpoint_every")}


@pytest.mark.parametrize(
    ("path", "value"), [leaf for leaf in LEAVES if leaf[0] not in NOT_ALONE | IDLE_LEAVES], ids=str
)
def test_every_setting_counts(path: tuple[str, ...], value: Any) -> None:
    whole = {key: section for key, section in CANONICAL.items() if key != "spec_version"}
    other = OTHER.get(path, value / 2 if isinstance(value, float) else value + 1 if isinstance(value, int) else None)
    assert other is not None
    if path == ("training", "noise_epochs"):
        whole = changed(whole, ("model", "instance_noise"), 0.1)
    if path == ("objective", "r1"):
        whole = changed(whole, ("model", "discriminator_norm"), "none")
    assert id_of(changed(whole, path, other)) != id_of(whole)


def test_settings_that_change_no_result_count_as_their_defaults(load: Callable[..., Job]) -> None:
    idle = {"samples_every": 7, "checkpoint_every": 3}
    for chosen in ({}, {"samples_every": 0}, {"checkpoint_every": 50}, idle):
        training = {**SETTINGS["training"], **chosen}
        assert id_of({**SETTINGS, "training": training}) == id_of(SETTINGS)
    assert {".".join(path) for path in IDLE_LEAVES} == identity.IDLE
    job = load("grid: {training.samples_every: [0, 5], training.checkpoint_every: [1, 2], training.seed: [0, 1]}")
    assert [trial.settings.training.seed for trial in job.trials] == [0, 1]
    assert [trial.settings.training.samples_every for trial in job.trials] == [0, 0]


LATER: dict[tuple[str, ...], tuple[Any, Any]] = {
    ("objective", "r2"): (0.0, 1.0),
    ("objective", "labels", "generator"): (1.0, 0.9),
    ("training", "augmentation"): ({}, {"cutout": True}),
    ("training", "patience"): ({}, {"epochs": 3}),
    ("training", "max_minutes"): (None, 30.0),
}
"""Settings that ids did not know at first: their defaults, and other values."""


@pytest.mark.parametrize("path", LATER, ids=str)
def test_a_setting_that_came_later_counts_where_it_is_not_at_its_default(path: tuple[str, ...]) -> None:
    labels = {"real": 0.9}
    sections = {"objective": {"kind": "non_saturating", "labels": labels}, "training": SETTINGS["training"]}
    without = {**SETTINGS, **sections, "model": {"kind": "dcgan", "batch_norm": "none"}}
    if path == ("training", "patience"):
        without["training"] = {**SETTINGS["training"], "measure_every": 1, "stop_when": ["no_improvement"]}
    default, other = LATER[path]
    assert id_of(changed(without, path, default)) == id_of(without)
    assert id_of(changed(without, path, other)) != id_of(without)


def test_no_setting_that_came_later_is_missing_above() -> None:
    sections = {"objective": {"kind": "non_saturating"}, "training": {}}
    settings = TrialSettings.model_validate({**SETTINGS, **sections})
    counted = identity._content(settings)
    written = settings.canonical().model_dump(mode="json")
    missing = {path for path, _ in leaves(written)} - {path for path, _ in leaves(counted)}
    assert {
        path[:2] if {"augmentation", "patience"} & {*path} else path for path in missing if path[0] != "data"
    } == set(LATER)


STAYED = {  # change one only together with its kind's version: stored results are found by it
    "encoder_inversion": "dceb7af2967bc102", "interpolation": "b2c2813a8caff666", "inversion": "adc27abe2fb95601",
    "likelihood": "1bfb94f2d911369f", "quality": "6cfdf988a4828a75", "reconstruction": "122ff15bf7bc486f",
    "restoration": "b56fbab749d0155c", "sharpness": "17241a4e7aeb64fb",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_of_a_latent_search_is_no_other_evaluation(kind: str) -> None:
    settings = KINDS[kind]()
    assert settings.id == STAYED[kind]
    assert kind in ("likelihood", "quality", "sharpness") or settings.idle == {"batch"}
    if "batch" in settings.idle:
        other = KINDS[kind].model_validate({"batch": 64})
        assert other.id == settings.id
        assert other.canonical() == settings
        assert KINDS[kind].model_validate({"batch": 64, "steps": 400}).id != settings.id
    if kind == "encoder_inversion":
        assert KINDS[kind].model_validate({"encoder": {"batch_size": 64}}).id != settings.id


def test_kinds_and_what_goes_with_them_count() -> None:
    sgd: dict[str, Any] = {"kind": "sgd", "lr": 1.0}
    others = [
        {"model": {"kind": "small_dcgan"}},
        {"objective": {"kind": "saturating"}},
        {"training": {"d_optimizer": sgd}},
        {"training": {"d_optimizer": {**sgd, "momentum": 0.5}}},
        {"training": {"d_optimizer": {"lr": 1.0}, "g_optimizer": {"kind": "sgd"}}},
        *({"training": {"schedule": {"kind": "cosine", "final": final}}} for final in (0.0, 0.5)),
        *({"training": {"schedule": {"kind": "plateau", "measure": signal}}} for signal in ("d_loss", "g_loss")),
        {"training": {"schedule": {"kind": "plateau", "measure": "d_loss", "patience_epochs": 6}}},
    ]
    assert len({id_of({**SETTINGS, **other}) for other in ({}, *others)}) == 1 + len(others)


def test_where_known_data_lies_does_not_count_but_a_folder_s_place_does() -> None:
    for place in ({"root": "/elsewhere"}, {"download": True}):
        assert id_of({**SETTINGS, "data": {**SETTINGS["data"], **place}}) == id_of(SETTINGS)
    assert id_of({**FOLDER, "data": {**FOLDER["data"], "cache": "/elsewhere"}}) == id_of(FOLDER)
    ids = {
        id_of({**FOLDER, "data": {**FOLDER["data"], **more}})
        for more in ({}, {"root": "others"}, {"height": 28, "width": 28})
    }
    assert len(ids) == 3


def test_no_two_cells_of_a_wide_grid_share_an_id(load: Callable[..., Job]) -> None:
    job = load(
        "grid: {objective.kind: [saturating, non_saturating, least_squares], training.d_steps: [1, 2, 3, 4, 5], "
        "training.seed: [0, 1, 2, 3, 4], model.width: [8, 16]}"
    )
    assert len({trial.id for trial in job.trials}) == len(job.trials) == 150


def test_cells_that_come_to_the_same_settings_are_one_trial(load: Callable[..., Job]) -> None:
    job = load("grid: {training.g_optimizer.lr: [1, 1.0, 0.5], training.seed: [0, 0]}")
    assert [trial.changes for trial in job.trials] == [
        {"training.g_optimizer.lr": 1, "training.seed": 0},
        {"training.g_optimizer.lr": 0.5, "training.seed": 0},
    ]


def test_flatten_names_every_leaf_by_its_path() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None}) == {"a.b": 1, "a.c.d": [1, 2], "e": None}
