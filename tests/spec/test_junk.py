"""Whatever stands anywhere in a job file, the answer is a job or one line."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DataError, SettingsError
from orchestrator.spec.job import make_job
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml

WORDS = st.sampled_from(
    [
        "",
        "dcgan",
        "digits",
        "mnist",
        "image_folder",
        "adam",
        "saturating",
        "[red]",
        "../x",
        "\x1b[31m",
        "a\nb",
        "5",
        ".",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**40)
    | st.integers()
    | st.floats()
    | st.sampled_from([0, 1, 28, 32, 64, 1e-4, 0.5])
    | WORDS
    | st.text(max_size=8)
)
KEYS = (
    st.sampled_from(
        [
            "name",
            "kind",
            "lr",
            "betas",
            "epochs",
            "seed",
            "root",
            "height",
            "training",
            "training.seed",
            "data.name",
            "x",
        ]
    )
    | WORDS
    | st.text(max_size=5)
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
SECTIONS = ("name", "description", "resources", "search", "storage", "data", "model", "objective", "training", "grid")
WHOLE: dict[str, Any] = {
    "name": "study",
    "description": "words",
    "data": {"name": "image_folder", "root": "x", "height": 28, "width": 28, "channels": 1, "max_images": 4},
    "model": {"kind": "dcgan", "latent_dim": 4, "width": 4},
    "objective": {"kind": "saturating"},
    "training": {"epochs": 3, "g_optimizer": {"kind": "adam", "lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-8}, "seed": 0},
    "grid": {
        "training.d_steps": [1, 2],
        "rates": [{"training.d_optimizer.lr": 0.1, "training.g_steps": 2}],
        "model.width": {"low": 2, "high": 6, "step": 2},
        "training.g_optimizer.lr": {"low": 0.01, "high": 0.1, "log": True},
    },
    "resources": {"workers": 1, "gpus_per_worker": 0.5, "max_concurrent": 2},
    "search": {
        "algorithm": "tpe",
        "trials": 4,
        "scheduler": "asha",
        "measure": "d_loss",
        "mode": "min",
        "grace_epochs": 1,
    },
    "storage": "results",
}


def places(raw: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in below for place in places(value, (*path, key)))]


def replaced(raw: Any, place: tuple[str | int, ...], junk: Any) -> Any:
    if not place:
        return junk
    copy = dict(raw) if isinstance(raw, dict) else list(raw)
    copy[place[0]] = replaced(raw[place[0]], place[1:], junk)
    return copy


def check(raw: Any) -> None:
    """What ``load_job`` does with a file that holds ``raw``: a job, or one printable line."""
    with contextlib.suppress(DataError):
        message = ""
        try:
            value = parse_yaml(dump_yaml(raw), "job.yaml")
            if isinstance(value, dict):
                make_job(value, "job.yaml")
        except SettingsError as error:
            message = str(error)
            message.encode()
        assert message == "" or (message.isprintable() and "Input should" not in message and len(message) < 1000), (
            message
        )


@settings(deadline=None)
@given(st.sampled_from(places(WHOLE)), JUNK)
def test_junk_in_any_place(place: tuple[str | int, ...], junk: Any) -> None:
    check(replaced(WHOLE, place, junk))


@settings(deadline=None)
@given(st.sampled_from(places(WHOLE)), KEYS, JUNK)
def test_a_junk_key_in_any_place(place: tuple[str | int, ...], key: str, junk: Any) -> None:
    section = WHOLE
    for part in place:
        section = section[part]  # type: ignore[index]
    check(replaced(WHOLE, place, {**section, key: junk} if isinstance(section, dict) else {key: junk}))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), JUNK))
def test_junk_in_every_section(raw: dict[str, Any]) -> None:
    check(raw)


@settings(deadline=None)
@given(st.text(max_size=20) | st.builds(lambda key, value: f"{key}={value}", KEYS, SCALARS))
def test_junk_as_an_override(text: str) -> None:
    message = ""
    try:
        make_job(WHOLE, "job.yaml", [text])
    except SettingsError as error:
        message = str(error)
    assert message == "" or (message.isprintable() and "Input should" not in message), message
