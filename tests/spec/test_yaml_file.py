"""YAML as a stranger may write it."""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SettingsError
from orchestrator.spec import yaml_file
from orchestrator.spec.yaml_file import MAX_BYTES, dump_yaml, parse_yaml, read_yaml_file

if TYPE_CHECKING:
    from pathlib import Path


def error_of(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_yaml(text, "file")
    message = str(caught.value)
    assert message.isprintable(), message
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("2.0e-4", 2e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("+7", 7),
        ("010", 10),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("True", True),
        ("~", None),
        ("", None),
        ("2026-01-01", "2026-01-01"),
        ("2026-99-99", "2026-99-99"),
        ("1.2.3", "1.2.3"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("<<", "<<"),
        ("=", "="),
        ("\ufeffa", "a"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = parse_yaml(f"- {text}" if not text.startswith("\ufeff") else text, "file")
    read = read[0] if isinstance(read, list) else read
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_yaml(".nan", "file"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "file: line 3, column 1: not valid YAML: key 'a' stands twice"),
        ("x: {a: 1, a: 1}", "file: line 1, column 11: not valid YAML: key 'a' stands twice"),
        ("1: a", "file: line 1, column 1: not valid YAML: key 1 is not text"),
        ("[a]: b", 'file: line 1, column 1: not valid YAML: key ["a"] is not text'),
        ("? {a: b}\n: c", 'file: line 1, column 3: not valid YAML: key {"a": "b"} is not text'),
        ("null: a", "file: line 1, column 1: not valid YAML: key null is not text"),
        ("a: !!python/object:os.system x", "tag 'tag:yaml.org,2002:python/object:os.system' is not allowed"),
        (
            "!!python/object/apply:os.system [ls]",
            "tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
        ),
        ("!!python/name:os.system", "tag 'tag:yaml.org,2002:python/name:os.system' is not allowed"),
        ("a: !env HOME", "tag '!env' is not allowed"),
        ("!!timestamp x", "tag 'tag:yaml.org,2002:timestamp' is not allowed"),
        ("!!binary aGk=", "tag 'tag:yaml.org,2002:binary' is not allowed"),
        ("!!set {a}", "tag 'tag:yaml.org,2002:set' is not allowed"),
        ("!!bool maybe", "file: line 1, column 1: not valid YAML: 'maybe' is no bool"),
        ("!!int ''", "file: line 1, column 1: not valid YAML: '' is no int"),
        ("!!float ''", "file: line 1, column 1: not valid YAML: '' is no float"),
        ("!!map [a]", "file: line 1, column 1: not valid YAML: expected keys and values"),
        ("!!seq a", "file: line 1, column 1: not valid YAML: expected a sequence node, but found scalar"),
        ("!!str [a]", "file: line 1, column 1: not valid YAML: expected a scalar node, but found sequence"),
        ("a: [1,\nb: 2", "file: line 2, column 5: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1", "found character '\\t' that cannot start any token"),
        ("a: *nowhere", "file: line 1, column 4: not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 2", "file: line 2, column 1: not valid YAML: but found another document"),
        ("a: 1\nb: \x07", "file: line 2: not valid YAML: character '\\x07'"),
        ("\x00", "file: line 1: not valid YAML: character '\\x00'"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    assert error_of(text).endswith(message)


def test_anchors_that_explode_are_counted_not_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert error_of("\n".join(lines)) == TOO_MANY


@pytest.mark.parametrize(
    "text",
    [
        "- " + "\n- " * 200_000,
        "[" + "a," * 200_000 + "]",
        "[" + "{}," * 200_000 + "]",
        "?\n" * 200_000,
        f"- &a {'x' * 500_000}\n" + "- *a\n" * 10,
    ],
    ids=["nulls", "texts", "mappings", "keys", "one long text repeated"],
)
def test_a_file_of_too_many_values_is_not_read_to_its_end(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "MAX_NODES", 1_000)
    assert error_of(text) == TOO_MANY.replace("150,000", "1,000")


def test_many_aliases_below_the_limit_are_read() -> None:
    text = "\n".join(["a: &a [" + ", ".join(["x"] * 900) + "]", *(f"k{i}: *a" for i in range(160))])
    assert len(parse_yaml(text, "file")) == 161


TOO_MANY = "file: holds more than 150,000 values, or 2,000,000 characters of them, with anchors written out"


DEEP = {
    "list in itself": "&a [*a]",
    "mapping in itself": "a: &a {b: *a}",
    "further in": "&a {b: [1, {c: *a}]}",
    "lists": "[" * 5000,
    "mappings": "{a: " * 3000,
    "blocks": "- " * 2000,
    "one too many": "[" * 51 + "x" + "]" * 51,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_depth_is_bounded(text: str) -> None:
    assert error_of(text) == "file: is nested deeper than 50 levels, or within itself"


def test_fifty_levels_are_read() -> None:
    value, depth = parse_yaml("[" * 50 + "x" + "]" * 50, "file"), 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    assert (value, depth) == ("x", 50)


def test_digits_without_end_are_no_whole_number() -> None:
    assert parse_yaml("9" * 300, "file") == int("9" * 300)
    assert parse_yaml("9" * 5000, "file") == math.inf  # and the settings allow no infinite number


def file_error(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        read_yaml_file(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "job.yaml: holds nothing, expected keys such as name, data, model, objective"),
        (b"# only a remark\n", "job.yaml: holds nothing, expected keys such as name, data, model, objective"),
        (b"- name: a", "job.yaml: holds a list, expected keys such as name, data, model, objective"),
        (b"name", "job.yaml: holds text, expected keys such as name, data, model, objective"),
        (b"3.5", "job.yaml: holds a single value, expected keys such as name, data, model, objective"),
        (b"name: caf\xe9", "job.yaml: is not UTF-8 text (byte 9)"),
        ("name: a".encode("utf-16"), "job.yaml: is not UTF-8 text (byte 0)"),
        (b"\x89PNG\r\n\x1a\n\x00", "job.yaml: is not UTF-8 text (byte 0)"),
    ],
)
def test_a_file_that_is_no_job(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)
    assert file_error(path) == message


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "file").touch()
    assert file_error(tmp_path / "job.yaml") == "job.yaml: cannot be read: No such file or directory"
    assert file_error(tmp_path / "folder.yaml") == "folder.yaml: cannot be read: Is a directory"
    assert file_error(tmp_path / "file" / "job.yaml") == "job.yaml: cannot be read: Not a directory"
    assert file_error(tmp_path / ("x" * 300)).endswith(": cannot be read: File name too long")


@pytest.mark.parametrize("asked", ["stduy.yaml", "study.yml", "Study.yaml", "studyy.yaml"])
def test_a_file_of_nearly_that_name(tmp_path: Path, asked: str) -> None:
    for name in ("study.yaml", "other.yml", "study.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SettingsError) as caught:
        read_yaml_file(tmp_path / asked)
    assert str(caught.value).endswith("No such file or directory; did you mean 'study.yaml'?")


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert "holds nothing" in file_error(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert file_error(path) == "job.yaml: is too large, expected a job file of at most 1 MB"


def test_a_hundred_megabytes_are_refused_unread(tmp_path: Path) -> None:
    """The writer at the other end of the pipe gets no further than the limit and what a pipe holds."""
    path, written = tmp_path / "job.yaml", []
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            try:
                while sum(written) < 100_000_000:
                    written.append(pipe.write(b"# rem\n" * 10_000))
            except BrokenPipeError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    message = file_error(path)
    writer.join()
    assert message == "job.yaml: is too large, expected a job file of at most 1 MB"
    assert sum(written) < 3 * MAX_BYTES


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\x85\u2028\ufeff\n \t:#-'\""))
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)
LOOKS_LIKE_A_NUMBER = st.from_regex(r"[-+0-9.eExob_:nify]{1,6}", fullmatch=True)


@settings(deadline=None)
@given(ANY | LOOKS_LIKE_A_NUMBER)
def test_what_is_dumped_is_read_back_here_and_by_yaml_1_1(value: Any) -> None:
    text = dump_yaml(value)
    assert parse_yaml(text, "file") == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("text", ["2e4", "08", "1e-3", "yes", "1:30", "null", "~", "", "- a", "a: b", "#", "é\n\x07"])
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert parse_yaml(dump_yaml({"name": text}), "file") == {"name": text}


@settings(deadline=None)
@given(st.text() | st.text("[]{}:,-?&*!|>'\"%@`#\n \tab1.~<=", max_size=60))
def test_junk_is_a_value_or_one_line(text: str) -> None:
    try:
        parse_yaml(text, "file")
    except SettingsError as error:
        message = str(error)
    else:
        message = ""
    assert message == "" or message.isprintable()
