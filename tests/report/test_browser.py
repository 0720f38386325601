"""The page in a real browser: nothing overflows, nothing complains, tables and charts answer to hand and keys."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
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
const until = (test) => new Promise((done) => {
  const look = () => (test() ? done() : setTimeout(look, 20));
  look();
});
const useChart = async (figure) => {
  figure.scrollIntoView({ behavior: "instant" });
  await until(() => figure.querySelector(".live .u-over"));
  const over = figure.querySelector(".u-over"), plot = over.closest(".plot"), view = views.get(figure.id);
  const visible = (e) => e.getClientRects().length > 0;
  const mouse = (type, x, y, buttons = 0) => {
    const { left, top, width, height } = over.getBoundingClientRect();
    const at = { clientX: left + x * width, clientY: top + y * height };
    over.dispatchEvent(new MouseEvent(type, { bubbles: true, view: window, button: 0, buttons, movementX: 1, ...at }));
  };
  const tip = () => (visible(plot.querySelector(".tip")) ? plot.querySelector(".tip").innerText : "");
  const zoom = () => [...view.x.values()].map((ends) => ends.map(Math.round));
  const found = { images: [...figure.querySelectorAll("img")].filter(visible).length };
  for (let y = 0.05; y < 1 && !tip(); y += 0.05) mouse("mousemove", 0.5, y);
  found.tip = tip();
  mouse("mousedown", 0.25, 0.5, 1);
  mouse("mousemove", 0.75, 0.5, 1);
  mouse("mouseup", 0.75, 0.5);
  found.zoomed = zoom();
  const button = (words) => [...figure.querySelectorAll("button")].find((one) => one.textContent === words);
  button("Reset").click();
  found.reset = zoom();
  const touch = (type, pointerId, x) => {
    const { left, top, width, height } = over.getBoundingClientRect();
    const at = { clientX: left + x * width, clientY: top + 0.5 * height };
    over.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerType: "touch", pointerId, ...at }));
  };
  const fingers = [[1, 0.25, 0.1], [2, 0.75, 0.9]];
  for (const [finger, from] of fingers) touch("pointerdown", finger, from);
  for (const [finger, , to] of fingers) touch("pointermove", finger, to);
  for (const [finger, , to] of fingers) touch("pointerup", finger, to);
  touch("pointermove", 1, 0.5);
  found.pinched = [zoom(), view.y.size];
  button("Reset").click();
  const entry = figure.querySelector(".legend button");
  entry.click();
  found.single = [entry.getAttribute("aria-pressed"), figure.querySelectorAll("[aria-pressed=true]").length];
  plot.focus();
  const press = (key) => plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const says = () => plot.parentElement.querySelector("[aria-live]").textContent;
  found.said = ["Home", "ArrowRight", "End", "ArrowDown"].map((key) => (press(key), says()));
  const [over_, scale] = figure.querySelectorAll("select"), smooth = figure.querySelector("input[type=range]");
  const set = (field, value, event) => { field.value = value; field.dispatchEvent(new Event(event)); };
  found.over = [...over_.options].map((one) => one.textContent);
  set(over_, over_.options[1].value, "change");
  set(scale, "log", "change");
  set(smooth, 0.9, "input");
  await new Promise((done) => setTimeout(done)); // axes are laid out once the script has ended
  press("End");
  found.smoothed = tip();
  press("Escape");
  figure.querySelector(".values summary").click();
  await until(() => figure.querySelector(".values td"));
  found.values = figure.querySelectorAll(".values tbody tr").length;
  return found;
};
// What a press of the buttons puts into the clipboard and into a file.
const takeAway = async (table) => {
  const taken = {};
  Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { taken.copied = text; } } });
  URL.createObjectURL = (blob) => (blob.text().then((text) => { taken.csv = text; }), "blob:none");
  HTMLAnchorElement.prototype.click = function () { taken.file = this.download; };
  const copy = table.querySelector("button.copy");
  copy.click();
  [...document.querySelectorAll(".tools button")].find((one) => one.textContent === "Save as CSV").click();
  await until(() => taken.csv && copy.textContent === "copied");
  return { ...taken, wanted: copy.closest("tr").id };
};
const useTable = (table) => {
  const input = document.querySelector(".tools input"), heads = [...table.tHead.rows[0].cells];
  const look = (words) => {
    input.value = words;
    input.dispatchEvent(new Event("input"));
    return [...table.tBodies[0].rows].filter((row) => getComputedStyle(row).display !== "none").length;
  };
  const found = { shown: ["d_steps=2", "status=failed", "d_loss<1e9 saturating", "nowhere"].map(look), all: look("") };
  const { placeholder } = input;
  return { ...found, csv: asCsv(table, heads), placeholder, copies: table.querySelectorAll("button.copy").length };
};
const useTheme = () => {
  const button = document.querySelector("button.theme");
  const back = () => (button.click(), getComputedStyle(document.body).backgroundColor);
  return [back(), back()];
};
addEventListener("load", async () => {
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
  const place = table.closest(".table"), scroll = table.closest(".scroll");
  const box = place.querySelector("input[type=checkbox]");
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
  found.table = { ...useTable(table), taken: await takeAway(table) };
  found.themes = useTheme();
  found.chart = await useChart(document.querySelector("#figure-losses"));
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
    run = chromium(framed, tmp_path / "profile", 1700, "--dump-dom", "--virtual-time-budget=20000", *scheme)
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
    assert [colour == found["background"] for colour in found["themes"]] == [False, True]
    check_chart(found["chart"])
    check_table(found["table"], page.parent.parent)
    (up, ascending), (down, descending) = found["first"], found["second"]
    assert (up, down) == ("ascending", "descending")
    assert ascending[-1] == descending[-1] == ""  # the failed trial has no loss
    numbers = [float(value) for value in ascending[:-1]]
    assert len(numbers) == 9
    assert numbers == sorted(numbers)
    assert [float(value) for value in descending[:-1]] == numbers[::-1]


def check_chart(found: dict[str, Any]) -> None:
    """What a reader sees who points at the figure of losses, enlarges it and goes through it by keys."""
    assert found["images"] == 0  # the chart stands in its place
    assert re.search(r"D loss: [\d.e-]+\nstep: \d+\nepoch: [\d.]+\ntraining time in s: ", found["tip"])
    assert re.search(r"d_steps = [123]; trial [0-9a-f]{16}", found["tip"])
    ((left, right),) = found["zoomed"]
    assert 80 < left < 120
    assert 280 < right < 320
    assert found["reset"] == []
    (((left, right),), upright) = found["pinched"]
    assert 55 < left < 95  # a quarter and three quarters of 400 steps are now at a tenth and nine tenths
    assert 305 < right < 345
    assert upright == 0  # the fingers moved along one axis alone
    assert found["single"] == ["true", 1]
    first, second, last, other = found["said"]
    assert [re.search(r"step: (\d+)", one)[1] for one in found["said"]] == ["10", "20", "400", "400"]  # type: ignore[index]
    assert all("d_steps = 1" in one for one in (first, second, last, other))  # the line that is singled out
    assert found["over"] == ["step", "epoch", "training time in s"]
    assert "smoothed: " in found["smoothed"]
    assert found["values"] == 2 * 9


def check_table(found: dict[str, Any], folder: Path) -> None:
    """What is left of a table that is searched, and what is saved of it."""
    assert found["shown"] == [3, 1, 6, 0]
    assert found["all"] == found["copies"] == 10
    assert found["placeholder"] == "Words, or d_steps<1, or status=failed"
    taken = found["taken"]
    assert f"trial-{taken['copied']}" == taken["wanted"]
    assert (taken["file"], taken["csv"]) == ("trials.csv", found["csv"])
    rows = {row["trial"]: row for row in csv.DictReader(io.StringIO(found["csv"]))}
    trials = pd.read_parquet(folder / "trials").set_index("trial_id")
    assert set(rows) == set(trials.index)
    for trial_id, row in rows.items():
        loss = trials.loc[trial_id, "d_loss"]
        assert row["D loss"] == "" if pd.isna(loss) else float(row["D loss"]) == loss


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
