"""docs/quickstart.ipynb runs from its first cell to its last, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from typing import Any

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own packages
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "here"
    folder.mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()

    def shown(words: str) -> dict[str, Any]:
        """What the last line of the cell with these words shows."""
        (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and words in cell.source]
        (result,) = [one for one in cell.outputs if one.output_type == "execute_result"]
        return dict(result.data)

    assert "<b>notebook</b>: 4 trials (4 finished)" in shown("orch.submit")["text/html"]
    assert "non_saturating" in shown("groupby")["text/html"]
    assert "saturates" in shown("study.claims")["text/html"]
    assert "seed = " in shown("study.best")["text/html"]
    assert "image/png" in shown("trial.sheet")
    assert shown("trial.generator")["text/plain"].startswith("(torch.Size([4, 1, 28, 28])")
    assert (folder / json.loads(shown("study.report")["text/plain"].replace("'", '"'))).is_file()
