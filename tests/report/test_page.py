from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from PIL import Image

from orchestrator.errors import NotFoundError
from orchestrator.report import write_report
from orchestrator.report.blocks import Table
from orchestrator.report.html import scripts
from orchestrator.report.sections.trials import MEASURES, shown_measures
from orchestrator.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # each draws a study's figures

SCRIPT = "loss is not finite at step 410 <script>alert('x')</script> & <b>more</b>"


@pytest.fixture(scope="module")
def a1(tmp_path_factory: pytest.TempPathFactory, study_at: Any, a1_grid: dict[str, list[Any]]) -> Any:
    study = study_at(tmp_path_factory.mktemp("a1"))
    study.job(a1_grid, description='Is <i>this</i> escaped & quoted "too"?')
    for number, cell in enumerate(itertools.product(*a1_grid.values())):
        failed = {"status": "failed", "error": SCRIPT, "d_loss": None, "samples": (1,)} if number == 13 else {}
        study.trial(dict(zip(a1_grid, cell, strict=True)), **failed)
    return study


@pytest.fixture(scope="module")
def page(a1: Any, report_of: Any) -> Any:
    return report_of(a1)


@pytest.fixture(scope="module")
def html(a1: Any, page: Any) -> str:
    return a1.store.read("report/index.html").decode()


class TestWholeStudy:
    """27 trials, one of them failed with an error that tries to be a script."""

    def test_loads_nothing(self, page: Any, html: str) -> None:
        for _, found in page.tags:
            for name in ("src", "srcset", "href", "action", "data", "poster"):
                assert found.get(name, "#").startswith(("#", "data:image/png;base64,")), found
        ours = re.sub(r"/\*! https://github\.com/leeoniya/uPlot .*? \*/", "", html)  # who wrote what is in the page
        assert not re.search(r"https?://|url\(|@import", ours.replace("http://www.w3.org/2000/svg", ""))
        assert page.all("link") == []
        policy = page.all("meta")[1]["content"]
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            (allowed,) = re.findall(rf"{tag}-src ([^;]*)", policy)
            contents = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
            digests = [hashlib.sha256(content.encode()).digest() for content in contents]
            assert allowed.split() == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        assert not any("style" in found or any(name.startswith("on") for name in found) for _, found in page.tags)

    def test_is_accessible(self, page: Any) -> None:
        assert len(page.ids) == len(set(page.ids))
        images = page.all("img")
        assert len(images) == 3 + 9 + 9
        assert all(len(image["alt"]) > 20 for image in images)
        assert all(int(image["width"]) > 0 and int(image["height"]) > 0 for image in images)
        anchors = {found["href"].removeprefix("#") for found in page.all("a")}
        assert anchors <= set(page.ids)
        headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
        described = {found["aria-describedby"] for found in page.all("table") if "aria-describedby" in found}
        assert described <= set(page.ids)
        assert page.all("html")[0]["lang"] == "en"

    def test_is_escaped(self, page: Any, html: str) -> None:
        assert {found.get("type", "") for found in page.all("script")} == {"", "application/json"}
        assert len([found for found in page.all("script") if not found]) == len(scripts())
        assert page.all("b") == []
        assert SCRIPT in page.text("trials")
        assert "<script>alert" not in html
        assert 'Is <i>this</i> escaped & quoted "too"?' in page.text("")

    def test_tells_what_was_run(self, page: Any) -> None:
        text = page.text("run")
        for words in (
            "27 (26 finished, 1 failed)",
            "objective: saturating, non_saturating, least_squares; d_steps: 1, 2, 3; seed: 0, 1, 2",
            "mnist",
            "dcgan",
            "cpu",
            "2025-03-04 09:00 to 09:30 UTC",
            "5e7fc1f",
            "2.14.1",
            "1 trial failed (non_finite).",
            "training.d_steps:",
        ):
            assert words in text

    def test_table_equals_pandas(self, a1: Any, page: Any) -> None:
        trials = pd.read_parquet(f"{a1.store.uri}/trials").set_index("trial_id")
        rows = {name.removeprefix("trial-"): cells for name, cells in page.rows if name.startswith("trial-")}
        assert set(rows) == set(trials.index)
        for trial_id, cells in rows.items():
            want = trials.loc[trial_id]
            assert [text for _, text in cells[:5]] == [
                trial_id[:8], want["status"], want["objective.kind"],
                str(want["training.d_steps"]), str(want["training.seed"]),
            ]  # fmt: skip
            for (value, text), name in zip(cells[5:], shown_measures(load_study(a1.store).trials), strict=False):
                assert (text == "–") if pd.isna(want[name]) else float(value or text) == want[name]

    def test_gradient_table_equals_pandas(self, a1: Any, page: Any) -> None:
        trials = pd.read_parquet(f"{a1.store.uri}/trials")
        means = (
            trials[trials["status"] == "finished"]
            .groupby(["objective.kind", "training.d_steps"])
            .mean(numeric_only=True)
        )
        found = [
            cells for name, cells in page.rows if not name and cells and cells[0][1] in set(trials["objective.kind"])
        ]
        assert len(found) == 9
        for cells in found:
            want = means.loc[(cells[0][1], int(cells[1][1]))]
            measured = [float(cells[place][0]) for place in (2, 3, 4, 6)]
            columns = ["d_fake_probability", "g_score_gradient", "g_grad_norm"]
            fake, gradient, norm = (want[name] for name in columns)
            assert measured == pytest.approx([fake, 1 - fake, gradient, norm], rel=1e-12)

    def test_compares_the_gradient_with_theory(self, page: Any) -> None:
        text = page.text("gradient")
        assert "Left out because they did not finish: 1 of the trials" in text
        assert "is exactly what theory says in 17 trials" in text

    def test_figures_are_files(self, a1: Any, page: Any) -> None:
        names = ["discriminator", "films", "gradients", "losses", "samples"]
        assert a1.store.keys("report/figures") == [f"report/figures/{name}.png" for name in names]
        embedded = {found["src"].partition(",")[2] for found in page.all("img")}
        for name in ("losses", "gradients", "discriminator"):
            data = a1.store.read(f"report/figures/{name}.png")
            assert base64.b64encode(data).decode() in embedded
            assert Image.open(io.BytesIO(data)).width > 1000

    def test_samples_link_to_their_rows(self, page: Any) -> None:
        links = [found["href"] for found in page.all("a") if found["href"].startswith("#trial-")]
        assert len(links) == 9 + 9 + 1
        assert "objective = least_squares, d_steps = 3, seed = 0, epoch 20" in page.text("samples")


def test_single_seed(study: Any, report: Callable[[], Any]) -> None:
    study.job({"objective.kind": ["saturating", "non_saturating"], "training.d_steps": [1, 3]})
    study.grid({"objective.kind": ["saturating", "non_saturating"], "training.d_steps": [1, 3]}, samples=())
    page = report()
    assert "One trial a line." in page.text("curves")
    assert "No sample grids were stored." in page.text("samples")


def test_a_study_of_other_settings_has_no_section_of_the_gradient(study: Any, report: Callable[[], Any]) -> None:
    study.job({"model.width": [32, 64]})
    study.grid({"model.width": [32, 64]}, samples=(1,))
    page = report()
    assert "gradient" not in page.ids
    assert "a panel for each width (32 and 64)" in page.all("img")[0]["alt"]


def test_one_trial_without_a_grid(study: Any, report: Callable[[], Any]) -> None:
    study.job(None)
    study.trial({}, samples=(1, 2))
    page = report()
    assert "1 (1 finished)" in page.text("run")
    assert "the only setting" not in page.text("curves")
    assert len(page.all("img")) == 5


def test_trials_without_metrics(study: Any, a1_grid: dict[str, list[Any]], report: Callable[[], Any]) -> None:
    study.job(a1_grid)
    study.grid(a1_grid, metrics=False, samples=())
    page = report()
    assert "No measurements yet" in page.text("curves")
    assert page.all("img") == []
    assert "is exactly what theory says" in page.text("gradient")


def test_metrics_without_a_trial(study: Any, report: Callable[[], Any]) -> None:
    study.job({"training.seed": [0, 1]})
    trial = study.trial({})
    study.store.delete(f"trials/{trial}.parquet")
    page = report()
    assert "No trial has finished." in page.text("run")
    assert "1 trial with measurements but no result yet: not shown." in page.text("run")
    assert "The grid has 2 cells; 0 trials ended so far." in page.text("run")
    assert "No trial has ended yet." in page.text("trials")


def test_every_trial_failed_before_its_first_step(
    study: Any, a1_grid: dict[str, list[Any]], report: Callable[[], Any]
) -> None:
    own = [name for name in MEASURES if name not in ("d_real_error", "d_fake_error")]
    measures = dict.fromkeys([*own, "step", "device", "started_at", "d_real", "d_fake"])
    study.job(a1_grid)
    study.grid(a1_grid, status="failed", error="out of memory", metrics=False, samples=(), **measures)
    page = report()
    assert "27 (27 failed)" in page.text("run")
    assert "No trial has finished." in page.text("run")
    assert "gradient" not in page.ids
    assert "and 7 more, marked in the table" in page.text("trials")


def test_a_long_error_is_cut_and_says_so(study: Any, report: Callable[[], Any]) -> None:
    study.job(None)
    study.trial({}, status="failed", error="x" * 50_000, samples=(), metrics=False)
    page = report()
    assert "(48500 more characters in trials/)" in page.text("trials")
    assert len(page.text("trials")) < 10_000


@pytest.mark.parametrize(
    "text", [b"", b"a: [", b"- 1\n- 2\n", b"\xff\xfe\x00", b"grid: 3\ndata: 4\nprovenance: [1]\n", b"[" * 9999]
)
def test_a_job_file_that_is_none(study: Any, report: Callable[[], Any], text: bytes) -> None:
    study.store.write("job.yaml", text)
    study.trial({}, samples=(), metrics=False)
    page = report()
    assert "1 (1 finished)" in page.text("run")
    assert "saturation_sweep" in page.text("")  # the name that the trial's own row has


def test_no_job_file(study: Any, report: Callable[[], Any]) -> None:
    study.trial({}, samples=(), metrics=False)
    assert "job.yaml is missing or unreadable" in report().text("run")


def test_damaged_samples_are_named(study: Any, report: Callable[[], Any]) -> None:
    study.job(None)
    trial = study.trial({}, samples=(), metrics=False)
    study.store.write(f"samples/{trial}/epoch-0001.png", b"<svg onload=alert(1)>")
    page = report()
    assert "No sample grids that can be shown." in page.text("samples")
    assert f"samples/{trial}/epoch-0001.png: not a readable PNG" in page.text("samples")


@pytest.mark.parametrize("with_job_file", [False, True])
def test_a_job_without_results_is_one_clear_line(study: Any, *, with_job_file: bool) -> None:
    if with_job_file:
        study.job(None)
    with pytest.raises(NotFoundError, match=r"no results yet.*orch submit") as raised:
        write_report(study.store)
    assert "\n" not in str(raised.value)
    assert not study.store.keys("report")


def test_a_damaged_table_is_left_out_and_named(study: Any, report: Callable[[], Any]) -> None:
    study.trial({}, samples=(), metrics=False)
    study.store.write("trials/ffffffffffffffff.parquet", b"PAR1 no more")
    text = report().text("run")
    assert "1 (1 finished)" in text
    assert "1 file left out: trials/ffffffffffffffff.parquet: not a whole Parquet file" in text


def test_figures_of_an_earlier_report_go_away(study: Any, report: Callable[[], Any]) -> None:
    study.job(None)
    trial = study.trial({}, samples=(1,), metrics=False)
    report()
    assert "report/figures/samples.png" in study.store.keys("report")
    study.store.delete(f"samples/{trial}/epoch-0001.png")
    report()
    assert "report/figures/samples.png" not in study.store.keys("report")


def test_the_same_results_give_the_same_page(study: Any, report: Callable[[], Any]) -> None:
    study.job(None)
    study.trial({}, samples=(1, 2))
    report()
    before = study.store.read("report/index.html")
    report()
    assert study.store.read("report/index.html") == before


def test_many_trials_have_a_row_each_and_no_details(
    study: Any, report: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.report.sections.trials.DETAILED", 5)
    monkeypatch.setattr("orchestrator.report.sections.trials.MOST_TRIAL_ROWS", 6)
    monkeypatch.setattr("orchestrator.report.sections.gradient.Table", partial(Table, most=2))
    grid = {"objective.kind": ["saturating", "non_saturating"], "training.d_steps": [1, 2, 3, 4]}
    study.job(grid)
    study.grid(grid, samples=(), metrics=False)
    page = report()
    rows = [cells for name, cells in page.rows if name.startswith("trial-")]
    assert [text for _, text in rows[0]][:4] == [study.rows[0]["trial_id"][:8], "finished", "saturating", "1"]
    assert len(rows) == 6
    assert "The first 6 of 8 rows" in page.text("trials")
    assert "orch results saturation_sweep --csv FILE" in page.text("trials")
    assert "The first 2 of 8 rows" in page.text("gradient")
    assert page.all("dl") == [one for one in page.all("dl") if "facts" in one.get("class", "")]


@pytest.mark.slow
def test_two_hundred_colour_trials_stay_small(study: Any, report: Callable[[], Any]) -> None:
    """Grids of noise in colour, which no compression helps, of a study with more settings than a page can show."""
    study.steps = 200
    grid = {
        "objective.kind": ["saturating", "non_saturating"],
        "training.d_steps": [1, 2, 3, 4, 5],
        "training.g_optimizer.lr": [1e-4, 2e-4],
        "model.width": [32, 64],
        "training.seed": [0, 1, 2, 3, 4],
    }
    study.job(grid)
    looks = {step: {"fid": 3.0 * step, "modes": 9, "class_kl": 0.1, "diversity": 0.7} for step in (50, 100, 150, 200)}
    signals = {"g_image_gradient": 0.1, "d_penalty": 0.2}
    study.grid(grid, samples=(), looks=looks, signals=signals, saturated_at=100, collapsed_at=150)
    for number, row in enumerate(study.rows):
        for threshold in (None, 0.5, 1.0, 2.0):
            study.judge(row["trial_id"], threshold, fid=20.0 + number % 7, precision=0.8, recall=0.6, diversity=0.9)
    noise = Image.effect_noise((512, 512), 100)
    buffer = io.BytesIO()
    Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).save(buffer, format="PNG")
    for row in study.rows:
        for epoch in (1, 2):
            study.store.write(f"samples/{row['trial_id']}/epoch-{epoch:04d}.png", buffer.getvalue())
    page = report()
    assert len([name for name, _ in page.rows if name.startswith("trial-")]) == 200
    assert len(study.store.read("report/index.html")) < 15_000_000
    assert "Saturation, collapse and divergence" in page.text("health")
    assert "The first 7 of 20 settings are drawn" in page.text("quality")
    assert "further settings; their grids lie under samples/" in page.text("samples")
