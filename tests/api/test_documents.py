"""docs/python.md says what happens: its examples run against a small study."""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.figures import undrawn

if TYPE_CHECKING:
    import pytest

    from orchestrator.store.local import LocalStore

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_examples_come_out_as_the_document_says(
    stored: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(stored.uri, tmp_path / "results" / "quickstart")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(>>> .*?)^```$", DOCUMENT.read_text(), flags=re.M | re.S)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    with undrawn():
        for number, block in enumerate(blocks):
            test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", str(DOCUMENT), 0)
            runner.run(test, out=said.append, clear_globs=False)
            names |= test.globs
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
