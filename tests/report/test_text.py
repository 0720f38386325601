from __future__ import annotations

import math

import pytest

from orchestrator import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "inf"),
        (0.0, "0"),
        (20.0, "20"),
        (1234, "1234"),
        (1_234_567, "1\u202f234\u202f567"),
        (0.123456, "0.1235"),
        (0.99999, "1.000"),
        (1234.56, "1235"),
        (123456.7, "1.235e+05"),
        (0.000123456, "1.235e-04"),
        (-0.05, "-0.05000"),
        (True, "yes"),
        ("cpu", "cpu"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not set"),
        (2e-4, "0.0002"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "1e-07"),
        (True, "true"),
        (3, "3"),
        ("adam", "adam"),
    ],
)
def test_setting(value: object, shown: str) -> None:
    assert text.setting(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0 %"),
        (1e-8, "under 0.0001 %"),
        (1.2e-5, "0.0012 %"),
        (0.002, "0.2 %"),
        (0.0479, "4.79 %"),
        (0.1, "10 %"),
        (0.5, "50 %"),
        (0.998, "99.80 %"),
        (0.99996, "over 99.99 %"),
        (1.0, "100 %"),
    ],
)
def test_percent(share: float, shown: str) -> None:
    assert text.percent(share).replace("\u00a0", " ") == shown


def test_short_names_grow_only_where_they_clash() -> None:
    columns = ["objective.kind", "training.d_steps", "training.g_optimizer.lr", "training.d_optimizer.lr", "model.kind"]
    assert text.short_names(columns) == {
        "objective.kind": "objective",
        "training.d_steps": "d_steps",
        "training.g_optimizer.lr": "g_optimizer.lr",
        "training.d_optimizer.lr": "d_optimizer.lr",
        "model.kind": "model",
    }


def test_a_name_that_is_anothers_stays_a_path() -> None:
    assert text.short_names(["data.name", "model.kind"]) == {"data.name": "data", "model.kind": "model"}
    assert text.short_names(["data.name", "data"]) == {"data.name": "data.name", "data": "data"}


def test_short_names_of_equal_columns_end() -> None:
    assert text.short_names(["a.kind", "b.a.kind"]) == {"a.kind": "a", "b.a.kind": "b.a"}


@pytest.mark.parametrize(
    ("items", "shown"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listing(items: list[str], shown: str) -> None:
    assert text.listing(items) == shown
