"""The page of sections: found by their files, folded where long, figures within a budget."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.report import sections

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # each draws a study's figures

TOY = """
from orchestrator.report.blocks import Section, Table, Head, Row, Cell, Text

ORDER = 0

def build(study):
    rows = tuple(Row((Cell(cell.title), Cell(str(len(cell.rows))))) for cell in study.cells())
    table = Table("Toys", (Head("cell"), Head("trials")), rows)
    return Section("toys", "Toys & more", "Toys", (Text("<b>none</b>"), table)) if rows else None
"""


def test_a_section_is_a_file_that_is_there(
    study: Any, report: Callable[[], Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toys.py").write_text(TOY)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    study.job({"training.d_steps": [1, 2]})
    study.grid({"training.d_steps": [1, 2]}, samples=(), metrics=False)
    page = report()
    sys.modules.pop("orchestrator.report.sections.toys")
    assert (
        page.text("toys")
        == "Toys & more <b>none</b> More columns: scroll sideways → cell trials d_steps = 1 1 d_steps = 2 1"
    )
    assert page.ids.index("toys") < page.ids.index("run")
    assert page.all("a")[0]["href"] == "#toys"


def test_a_trial_that_went_on_is_not_called_finished_alone(study: Any, report: Callable[[], Any]) -> None:
    study.trial({"training.seed": 1}, samples=(), metrics=False, collapsed_at=400, saturated_at=50)
    study.trial({"training.seed": 2}, samples=(), metrics=False, status="collapsed", collapsed_at=400)
    study.trial({"training.seed": 3}, samples=(), metrics=False)
    page = report()
    looks = [found["class"] for _, found in page.tags if found.get("class", "").startswith("status")]
    assert looks == ["status saturated", "status collapsed", "status finished"]
    words = page.text("trials")
    assert "finished, saturated, collapsed" in words
    assert "saturated at step" in words
    assert "diverged at step" not in words
    assert "froze" not in " ".join(page.text_of.values())


def test_devices_are_named_by_their_models_where_rows_tell_them(study: Any, report: Callable[[], Any]) -> None:
    study.trial({"training.seed": 1}, samples=(), metrics=False)
    for seed in (2, 3):
        more = {"device": "cuda", "device_model": "NVIDIA L4"}
        study.trial({"training.seed": seed}, samples=(), metrics=False, **more)
    assert "Devicescuda: NVIDIA L4 (2), cpu (1)" in report().text("run")


def test_figures_beyond_the_budget_are_files(
    study: Any, report: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.report.page.BUDGET", 1)
    study.trial({}, samples=())
    page = report()
    assert len(page.all("img")) == 1
    assert "it is the file report/figures/gradients.png" in page.text("curves")
    assert study.store.exists("report/figures/gradients.png")


def test_long_tables_can_be_folded_away(study: Any, report: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.report.html.LONG_TABLE", 2)
    grid = {"objective.kind": ["saturating", "non_saturating"], "training.d_steps": [1, 2]}
    study.job(grid)
    study.grid(grid, samples=(), metrics=False)
    page = report()
    folds = {found.get("open") is not None for found in page.all("details") if found.get("class") == "fold"}
    assert folds == {True, False}
    assert "Trials: 4 rows" in page.text("trials")
    assert "is scaled: 4 rows" in page.text("gradient")
