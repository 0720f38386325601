"""Sections as HTML, each by itself, with the style and the scripts that they need: for any page that shows some.

A page that carries style and scripts within itself names them in its Content-Security-Policy by ``policy_hash``.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from orchestrator.report.blocks import Chart, walk
from orchestrator.report.figure_files import FIGURES
from orchestrator.report.live import MOST_POINTS, is_thinned, live_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.report.blocks import Section

LONG_TABLE = 50
"""Rows of a table that can be folded away; only that of trials is open at first."""


LIVE_BUDGET = 5_000_000
"""Characters of the data of a section's charts after which further ones are images only."""
THINNED = (
    f"Of lines of more than {MOST_POINTS} points the page draws the first, the last, the least and the greatest of "
    "each of some hundred stretches."
)
UPLOT = "uplot-1.6.32"
"""Draws charts in the page: leeoniya/uPlot, MIT, as its package in the npm registry has it."""


@dataclass(frozen=True)
class Image:
    """An image within the page; width and height are those at which it is shown, unless the page is narrower."""

    uri: str
    width: int
    height: int

    @classmethod
    def of(cls, png: bytes, per_pixel: float = 1.0) -> Image:
        """Of a PNG, whose header has its size."""
        width, height = struct.unpack(">II", png[16:24])
        uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        return cls(uri, round(width * per_pixel), round(height * per_pixel))


def render_section(
    section: Section, *, job_name: str, images: Mapping[str, Image], lives: Mapping[str, Markup] | None = None
) -> Markup:
    """The section as one ``<section>`` element.

    ``job_name`` is what commands that the section names call the job; ``images`` are those of charts, by name. A chart
    of ``lives``, which are ``data_of_charts(section)``, has its data beside its image, which the script draws in its
    place.
    """
    lives = data_of_charts(section) if lives is None else lives
    context: dict[str, Any] = {"job_name": job_name, "images": images, "lives": lives, "figures": FIGURES}
    context |= {"long_table": LONG_TABLE, "thinned": THINNED}
    module: Any = environment().get_template("blocks.html").make_module(context)
    return Markup(module.section(section))  # noqa: S704  # the template has escaped it


def data_of_charts(section: Section) -> dict[str, Markup]:
    """The data of charts that answer to the hand (``Chart.measured``), as JSON that closes no element, by name.

    Beyond LIVE_BUDGET further ones stay images.
    """
    lives: dict[str, Markup] = {}
    size = 0
    for block in walk(section.blocks):
        if isinstance(block, Chart) and block.measured:
            data = htmlsafe_json_dumps(live_data(block), separators=(",", ":"))
            size += len(data)
            if size <= LIVE_BUDGET or not lives:
                lives[block.name] = data
    return lives


def style() -> Markup:
    """What stands in the page's ``<style>``."""
    return Markup("\n").join([_asset(f"{UPLOT}.min.css"), _asset("page.css")])


def scripts() -> tuple[Markup, ...]:
    """What stands in each ``<script>`` of the page, at the end of its body."""
    licensed = Markup("/*! {} */\n{}").format(_asset(f"{UPLOT}.license.txt"), _asset(f"{UPLOT}.min.js"))
    return (licensed, *map(_asset, ("charts.js", "live.js", "tables.js", "page.js")))


def policy() -> str:
    """The Content-Security-Policy of a page that loads nothing: its own style, scripts and images are let through."""
    hashes = " ".join(map(policy_hash, scripts()))
    return f"default-src 'none'; img-src data:; style-src {policy_hash(style())}; script-src {hashes}"


def policy_hash(content: str) -> str:
    """The hash by which a Content-Security-Policy knows an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def environment() -> jinja2.Environment:
    """Where the report's templates are, which escape whatever they are given."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.report", "web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "image": lambda picture: Image.of(picture.png),
        "short": lambda trial_id: trial_id[:8],
        "is_thinned": is_thinned,
    }
    return found


@cache
def _asset(name: str) -> Markup:
    return Markup(resources.files("orchestrator.report").joinpath("web", name).read_text(encoding="utf-8"))  # noqa: S704  # ours
