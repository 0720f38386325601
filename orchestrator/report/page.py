"""The report of a job: one HTML file that needs nothing but itself, and its figures as PNG files.

The page draws the sections that it finds in ``report.sections``, and knows none of them by name.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import numpy as np

from orchestrator import text
from orchestrator.report import html, sections
from orchestrator.report.blocks import Chart, Gallery, Grid, walk
from orchestrator.report.charts import DPI, chart_png
from orchestrator.report.figure_files import write_figures
from orchestrator.report.sheets import sheet_png
from orchestrator.study import load_study

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from orchestrator.report.blocks import Section
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store
    from orchestrator.study import Study

INDEX = "report/index.html"
MOST_WORDS = 5000
"""Characters of the job's description."""
BUDGET = 4_000_000
"""Bytes of PNG of charts after which further ones are files only."""
_PER_INCH = 100


@np.errstate(all="ignore")  # rows of strangers may leave the range of numbers, which shows in the page
def write_report(store: Store, job: Job | None = None) -> str:
    """Write the report of the job rooted at ``store``; returns the key of its page.

    Its description, grid and claims are those of ``job``, or else of what was last submitted. Figures of an earlier
    report that this one does not have are removed. Raises NotFoundError when the job has no results, StorageError
    when they cannot be read or the report cannot be written.
    """
    study = load_study(store, job)
    built = build_sections(study)
    charts = {block.name: chart_png(block) for block in _blocks(built) if isinstance(block, Chart)}
    sheets = {
        block.name: sheet_png(block)
        for block in _blocks(built)
        if isinstance(block, Grid | Gallery) and block.name and (isinstance(block, Grid) or block.pictures)
    }
    page = render(study, built, charts)
    write_figures(store, charts | sheets)
    store.write(INDEX, page.encode())
    return INDEX


def section_modules() -> list[ModuleType]:
    """The modules of the sections, in the order of the page."""
    names = [info.name for info in pkgutil.iter_modules(sections.__path__)]
    modules = [importlib.import_module(f"{sections.__name__}.{name}") for name in names]
    return sorted(modules, key=lambda module: (module.ORDER, module.__name__))


def build_sections(study: Study) -> list[Section]:
    """The sections that the study has something for."""
    built = (module.build(study) for module in section_modules())
    return [section for section in built if section]


def _blocks(built: Iterable[Section]) -> Iterable[object]:
    return (block for section in built for block in walk(section.blocks))


def render(study: Study, built: Sequence[Section], charts: Mapping[str, bytes]) -> str:
    """The page as HTML that loads nothing; ``charts`` are PNGs."""
    images: dict[str, html.Image] = {}
    size = 0
    for name, png in charts.items():
        size += len(png)
        if size <= BUDGET or not images:
            images[name] = html.Image.of(png, _PER_INCH / DPI)  # letters of all figures are equally large
    job_name = text.excerpt(study.title) or "JOB"
    return (
        html.environment()
        .get_template("page.html")
        .render(
            title=text.excerpt(study.title or "Report"),
            description=text.excerpt(str(study.raw.get("description") or ""), MOST_WORDS),
            remark=_remark(study),
            sections=built,
            drawn_sections=[html.render_section(section, job_name=job_name, images=images) for section in built],
            policy=html.policy(),
            style=html.style(),
            scripts=html.scripts(),
        )
    )


def _remark(study: Study) -> str:
    """The job's tags and note; empty without any, or where the job file cannot be read."""
    header = study.job.header if study.job else None
    parts = [f"Tags: {', '.join(header.tags)}." if header.tags else "", header.note] if header else []
    return " ".join(filter(None, parts))
