"""The page in a real browser: nothing overflows, nothing complains, sorting and choosing columns work."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH"),
]

# A window is never narrower than 500 pixels; a frame is as narrow as it is told.
FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><iframe width="{width}" height="900"
frameborder="0" src="probed.html"></iframe><pre id="probe"></pre><script>
addEventListener("message", (event) => {{ document.getElementById("probe").textContent = event.data; }});
</script>"""
PROBE = """<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const beyond = [...document.querySelectorAll("body *")].filter(
    (e) => !e.closest(".scroll, .wide, nav, pre") && e.getBoundingClientRect().right > root.clientWidth + 0.5);
  const table = document.querySelector("table.sortable");
  const column = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent.includes("D loss"));
  const value = (cell) => cell.dataset.value ?? cell.textContent;
  const values = () => [...table.tBodies[0].rows].map((row) => value(row.cells[column]));
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.focus();
  const focused = document.activeElement === button;
  const found = {};
  for (const order of ["first", "second"]) {
    button.click();
    found[order] = [table.tHead.rows[0].cells[column].getAttribute("aria-sort"), values()];
  }
  const place = table.closest(".table"), scroll = table.closest(".scroll"), box = place.querySelector("input");
  const hidden = () => [...table.rows].filter((row) => row.cells[1].hidden).length;
  box.click();
  found.chosen = [hidden()];
  box.click();
  found.chosen.push(hidden());
  scroll.scrollLeft = 100;
  const left = (e) => Math.round(e.getBoundingClientRect().left);
  found.fixed = left(table.tBodies[0].rows[0].cells[0]) - left(scroll);
  found.hint = !place.querySelector(".hint").hidden;
  found.wide = scroll.scrollWidth > scroll.clientWidth + 1;
  location.hash = "#" + table.tBodies[0].rows[3].id;
  parent.postMessage(JSON.stringify({
    ...found, rows: table.rows.length, nav: getComputedStyle(document.querySelector("nav")).position,
    focused, width: root.clientWidth, scroll: root.scrollWidth,
    beyond: beyond.map((e) => e.tagName + "." + e.className),
    broken: [...document.images].filter((i) => !i.naturalWidth).length,
    background: getComputedStyle(document.body).backgroundColor,
  }), "*");
});
</script>
"""


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, study_at: Any, a1_grid: dict[str, list[Any]], report_of: Any
) -> Path:
    study = study_at(tmp_path_factory.mktemp("browser"))
    study.steps = 400
    study.job({**a1_grid, "training.seed": [0]}, description="An_unbreakable_word_" * 12)
    look = {"fid": 12.5, "modes": 9, "class_kl": 0.1, "diversity": 0.9}
    study.grid({**a1_grid, "training.seed": [0]}, samples=(1, 2), looks={200: look, 400: look}, collapsed_at=300)
    for row in study.rows:
        for threshold in (None, 0.5, 1.0):
            study.judge(row["trial_id"], threshold, fid=12.5, modes=9, precision=0.8, recall=0.4)
    study.trial(
        {"training.seed": 1}, status="failed", error="/a/long/path" * 40, samples=(), metrics=False, d_loss=None
    )
    report_of(study)
    return Path(study.store.uri) / "report/index.html"


def chromium(target: Path, profile: Path, width: int, *more: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={profile}", f"--window-size={width},1000",
        *more, target.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True)


def console(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page itself said; the browser's own complaints about the machine are not ours."""
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [400, 768, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overflows_and_sorting_works(page: Path, tmp_path: Path, width: int, *, dark: bool) -> None:
    # The page's own policy would not let the probe run, so the probed copy goes without it.
    probed = tmp_path / "probed.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    probed.write_text(text.replace("</body>", PROBE + "</body>"))
    framed = tmp_path / "framed.html"
    framed.write_text(FRAME.format(width=width))
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    run = chromium(framed, tmp_path / "profile", 1700, "--dump-dom", "--virtual-time-budget=5000", *scheme)
    assert console(run) == []
    match = re.search(r'<pre id="probe">(.*?)</pre>', run.stdout)
    assert match
    found = json.loads(html.unescape(match[1]))
    assert found["width"] == width
    assert found["scroll"] == width
    assert found["beyond"] == []
    assert found["broken"] == 0
    assert (found["background"] == "rgb(255, 255, 255)") is not dark
    assert found["focused"]
    assert found["chosen"] == [found["rows"], 0]
    assert found["fixed"] <= 1
    assert found["hint"] is found["wide"]
    assert found["wide"] or width > 768
    assert found["nav"] == "sticky"
    (up, ascending), (down, descending) = found["first"], found["second"]
    assert (up, down) == ("ascending", "descending")
    assert ascending[-1] == descending[-1] == ""  # the failed trial has no loss
    numbers = [float(value) for value in ascending[:-1]]
    assert len(numbers) == 9
    assert numbers == sorted(numbers)
    assert [float(value) for value in descending[:-1]] == numbers[::-1]


def test_the_page_as_it_is_keeps_its_own_policy(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    run = chromium(page, tmp_path / "profile", 400, f"--screenshot={picture}")
    assert console(run) == []
    with Image.open(picture) as image:
        assert image.width == 400
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20  # styled text, not an empty page


def test_a_script_that_came_with_the_data_would_not_run(page: Path, tmp_path: Path) -> None:
    smuggled = tmp_path / "smuggled.html"
    smuggled.write_text(page.read_text().replace("</body>", "<script>document.title = 'run'</script></body>"))
    run = chromium(smuggled, tmp_path / "profile", 800, "--dump-dom")
    assert "<title>run</title>" not in run.stdout
    assert any("Content Security Policy" in line for line in console(run))
