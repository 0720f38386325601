"""What the worker does: it reads a job's results and draws the parts of its pages."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from orchestrator.errors import NotFoundError
from orchestrator.report import html
from orchestrator.report.blocks import Card, Chart, Fold, Row, Section, Table, Text, walk
from orchestrator.report.charts import DPI, chart_png
from orchestrator.report.page import section_modules
from orchestrator.report.pictures import read_picture
from orchestrator.server.kept import KeptBundles
from orchestrator.server.pages import Part
from orchestrator.state.bundling import bundle_trials
from orchestrator.store.bundles import trial_of
from orchestrator.store.open import open_store
from orchestrator.store.tables import parquet_keys
from orchestrator.study import INTERRUPTED, RUNNING, load_study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.server.pages import Address
    from orchestrator.store.location import Store
    from orchestrator.study import Study

PLACES = {"now": 0, "settings": 1, "measures": 2, "films": 3, "report": 10, "files": 100}
"""Places of parts, of which the report's sections have one each."""
_kept: dict[str, tuple[Any, Study | None]] = {}
"""The study that was read last, with the job and the stamps that it is of."""


def store_of(uri: str, name: str) -> Store:
    """A job's storage, for requests that do not wait."""
    return open_store(uri).quick().child(name)


def sections_by_source() -> dict[str, list[str]]:
    """The names of the report's sections, by what they follow from.

    That is each logged step, ``metrics`` in few words, ``samples``, or ``results``.
    """
    found: dict[str, list[str]] = {"steps": [], "metrics": [], "samples": [], "results": []}
    for module in section_modules():
        found[getattr(module, "FOLLOWS", "results")].append(module.__name__.rpartition(".")[2])
    return found


@np.errstate(all="ignore")  # rows of strangers may leave the range of numbers, which shows in the page
def section(uri: str, name: str, wanted: str, stamp: str, alive: bool, address: Address) -> list[Part]:
    """A section of a job's report, of trials that have not ended too; ``stamp`` names the state of storage.

    Empty where the study has nothing for it.
    """
    study = _study(uri, name, stamp, alive=alive)
    place, module = next(
        (place, one) for place, one in enumerate(section_modules()) if one.__name__.rpartition(".")[2] == wanted
    )
    built = None if study is None else module.build(study)
    return [drawn(_linked(built, name, address), name, PLACES["report"] + place)] if built else []


def _study(uri: str, name: str, stamp: str, *, alive: bool) -> Study | None:
    """The job's study; None while it has no results."""
    key = uri, name, stamp, alive
    if _kept.get("study", (None, None))[0] != key:
        _kept.clear()  # before another takes its memory
        try:
            study = load_study(_kept_store(uri, name), unfinished=RUNNING if alive else INTERRUPTED)
        except NotFoundError:
            study = None
        _kept["study"] = key, study
    return _kept["study"][1]


@lru_cache(maxsize=4)
def _stores(uri: str, name: str) -> KeptBundles:
    return KeptBundles(store_of(uri, name))


def _kept_store(uri: str, name: str) -> Store:
    """A job's storage, of which the rows of trials that have ended are in memory where there are very many."""
    store = _stores(uri, name)
    bundle_trials(store, [trial_of(key) for key in parquet_keys(store, "trials")])
    return store


def drawn(section: Section, name: str, place: int) -> Part:
    """A section as a part of a page; charts that the page draws itself have no image."""
    lives = html.data_of_charts(section)
    charts = [block for block in walk(section.blocks) if isinstance(block, Chart) and block.name not in lives]
    images = {chart.name: html.Image.of(chart_png(chart), 100 / DPI) for chart in charts}
    shown = html.render_section(section, job_name=name, images=images, lives=lives)
    return Part(section.id, section.nav, str(shown), place)


def _linked(section: Section, name: str, address: Address) -> Section:
    """The section with rows of trials that lead to the trials' pages, and can be chosen for a comparison."""
    return replace(section, blocks=tuple(_with_links(section.blocks, name, address)))


def _with_links(blocks: Sequence[Block], name: str, address: Address) -> list[Block]:
    changed: list[Block] = []
    for block in blocks:
        if isinstance(block, Fold | Card):
            changed.append(replace(block, blocks=tuple(_with_links(block.blocks, name, address))))
        elif isinstance(block, Table) and any(row.id.startswith("trial-") for row in block.rows):
            changed.append(Text("Trials that are ticked can be compared.", "notes"))
            changed.append(replace(block, rows=tuple(_linked_row(row, name, address) for row in block.rows)))
        else:
            changed.append(block)
    return changed


def _linked_row(row: Row, name: str, address: Address) -> Row:
    trial_id = row.id.removeprefix("trial-")
    if not row.id.startswith("trial-"):
        return row
    words = Markup(
        '<input type="checkbox" name="trial" value="{}" form="compare" aria-label="compare trial {}"> '
        '<a href="{}"><code>{}</code></a>'
    ).format(trial_id, trial_id[:8], address.trial(name, trial_id), trial_id[:8])
    return replace(row, cells=(replace(row.cells[0], words=words), *row.cells[1:]))


def picture(uri: str, name: str, key: str) -> bytes:
    """A picture of a job's storage as a PNG of our own making, whatever the file was. Raises NotFoundError."""
    problems: list[str] = []
    image = read_picture(store_of(uri, name), key, problems)
    if image is None:
        raise NotFoundError(problems[0])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
