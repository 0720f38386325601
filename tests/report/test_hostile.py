"""A report over files of strangers: each is shown, left out and named, or one clear line."""

from __future__ import annotations

import io
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from PIL import Image

from orchestrator.errors import OrchError
from orchestrator.report import write_report
from orchestrator.report.charts import empty_figure, literal, png_of
from orchestrator.report.pictures import PROBLEMS, Album, read_picture
from orchestrator.report.verdicts import LARGEST
from orchestrator.spec.claims import Scale
from orchestrator.statistics.intervals import compare
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.tables import write_rows
from orchestrator.study import load_study
from orchestrator.text import LONGEST, excerpt, setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKUP = "</script><img src=x onerror=alert(1)>"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def other(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format=form)
    return buffer.getvalue()


BOMB = zlib.compress(bytes(200_000_000))
PICTURES = {
    "30,000 x 30,000": png(30_000, 30_000),
    "no pixels": png(0, 0),
    "a bomb in text": png(4, 4, chunk(b"zTXt", b"a\0\0" + BOMB)),
    "a bomb in a profile": png(4, 4, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "cut off": png(4, 4)[:30],
    "short header": b"\x89PNG\r\n\x1a\n\0\0\0\x01IHDR",
    "odd chunks": png(4, 4, chunk(b"pHYs", b"\1"), chunk(b"tRNS", b""), chunk(b"gAMA", b"")),
    "a GIF": other("GIF"),
    "a TIFF": other("TIFF"),
    "an EPS": other("EPS"),
}


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_judged_before_it_is_decoded(study: Any, data: bytes) -> None:
    study.store.write("samples/a/epoch-0001.png", data)
    problems: list[str] = []
    assert read_picture(study.store, "samples/a/epoch-0001.png", problems) is None
    (problem,) = problems
    assert problem.startswith("samples/a/epoch-0001.png: ")


def test_so_many_bad_pictures_are_looked_at(study: Any) -> None:
    album = Album(study.store)
    for number in range(3 * PROBLEMS):
        album.add(f"samples/a/epoch-{number:04d}.png", "a", "", "")
    assert (len(album.problems), album.left_out) == (PROBLEMS, 2 * PROBLEMS)


@pytest.mark.parametrize("words", ["$", "$\\frac{$", "\\$x$", "$$", "\u4e2d", "a\nb", "{\\bf"])
def test_words_in_a_figure_are_no_mathematics(words: str) -> None:
    figure = empty_figure(2, 1)
    figure.subplots().set_title(literal(words))
    assert png_of(figure)


def test_long_words_are_cut_and_control_characters_told() -> None:
    assert len(setting("x" * 10**6)) < LONGEST + 50
    assert excerpt("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"
    assert excerpt("a\nb") == "a\nb"


@pytest.mark.parametrize(
    "grid",
    [
        {"training.seed": list(range(100_000))},
        {f"training.x{axis}": [0, 1] for axis in range(20_000)},
        {"training": [{3: 4}]},
        {3: [4]},
        {"training.epochs": [[1], [1.0], {"b.c": [2]}, {"b.c": [2]}, None]},
    ],
    ids=["cells", "axes", "a number for a key", "a number for an axis", "values of any kind"],
)
def test_a_grid_of_any_size_and_shape_costs_little(study: Any, grid: dict[Any, Any]) -> None:
    study.job(grid)
    study.trial({}, samples=(), metrics=False)
    started = time.process_time()
    assert len(load_study(study.store).cells()) == 1
    assert time.process_time() - started < 10


@pytest.mark.parametrize(("group", "than"), [([1e-50, 1.0], [1e50, 1.0]), ([LARGEST / 2] * 2, [1.0, LARGEST / 2])])
def test_claims_of_values_far_apart_have_intervals(group: list[float], than: list[float]) -> None:
    for ratio in (False, True):
        found = compare(group, than, Scale.NUMBER, ratio=ratio).interval
        assert found.low <= found.high


def test_rows_that_are_none_are_left_out_and_told(study: Any) -> None:
    trial = study.trial({}, samples=(), metrics=False)
    steps = [7, -1, 2**60, 3, 3, None]
    rows = [{"trial_id": trial, "step": step, "g_loss": float(place)} for place, step in enumerate(steps)]
    write_rows(study.store, f"metrics/{trial}.parquet", schema_of(METRICS), rows)
    study.store.write("trials/ffffffffffffffff.parquet", b"PAR1 no more")
    results = load_study(study.store)
    assert results.metrics[["step", "g_loss"]].to_numpy().tolist() == [[3, 4.0], [7, 0.0]]
    assert any("ffffffffffffffff.parquet" in line for line in results.left_out)
    assert "Rows of metrics/ with a step that is none were left out: 2." in results.left_out


def test_a_job_file_that_is_too_large_is_told(study: Any) -> None:
    study.trial({}, samples=(), metrics=False)
    study.store.write("job.yaml", b"# " + bytes(20_000_000))
    results = load_study(study.store)
    assert (results.raw, results.job_text) == ({}, "")
    assert any("job.yaml" in line and "larger" in line for line in results.left_out)


_WORDS = st.sampled_from(["", "a", MARKUP, "$\\frac{$", "\x1b[31m", "x" * 5000, "\u4e2d\u202e", "[bold]"])
_NUMBERS = st.sampled_from([0.0, -1.0, 1e308, -1e308, 5e-324, float("inf"), float("nan"), 10**30, True, None])
_VALUES = st.recursive(
    _WORDS | _NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)
_KEYS = ["name", "description", "grid", "claims", "data", "model", "questions", "provenance"]
_FLOATS = st.none() | st.floats()
_MEASURES = ["d_loss", "g_loss", "d_real", "d_fake_probability", "g_score_gradient", "fid", "diversity", "g_grad_norm"]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    job=st.dictionaries(st.sampled_from(_KEYS), _VALUES),
    axes=st.dictionaries(st.sampled_from(["training.d_steps", "objective.kind", "a"]), _VALUES, max_size=2),
    words=st.lists(_WORDS, min_size=2, max_size=2),
    values=st.lists(st.fixed_dictionaries(dict.fromkeys(_MEASURES, _FLOATS)), min_size=4, max_size=4),
    steps=st.lists(st.integers(-1, 2**62), min_size=4, max_size=4),
)
def test_whatever_files_say_a_report_is_written(
    tmp_path_factory: pytest.TempPathFactory,
    study_at: Callable[[Path], Any],
    job: dict[str, Any],
    axes: dict[str, Any],
    words: list[str],
    values: list[dict[str, Any]],
    steps: list[int],
) -> None:
    study = study_at(tmp_path_factory.mktemp("hostile"))
    raw = {**job, "grid": job.get("grid") or axes}
    study.store.write("job.yaml", yaml.safe_dump(raw).encode())
    for place in range(2):
        measured = {**values[place], "train_s": values[place]["fid"], "error": words[place], "status": words[place]}
        trial = study.trial({"data.name": words[place], "objective.kind": words[place]}, samples=(), metrics=False,
                            **{name: value for name, value in measured.items() if name not in ("status", "error")},
                            status=words[place], error=words[place])  # fmt: skip
        rows = [{"trial_id": trial, "step": step, **row} for step, row in zip(steps, values, strict=True)]
        write_rows(study.store, f"metrics/{trial}.parquet", schema_of(METRICS), rows)
        study.store.write(f"samples/{trial}/epoch-0001.png", MARKUP.encode())
    study.store.write("samples/<img src=x>/epoch-1.png", MARKUP.encode())
    try:
        page = study.store.read(write_report(study.store)).decode()
    except OrchError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert "<img src=x" not in page
    assert len(page) < 5_000_000
