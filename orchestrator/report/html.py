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
from markupsafe import Markup

from orchestrator.report.figure_files import FIGURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.report.blocks import Section

LONG_TABLE = 50
"""Rows of a table that can be folded away; only that of trials is open at first."""


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


def render_section(section: Section, *, job_name: str, images: Mapping[str, Image]) -> Markup:
    """The section as one ``<section>`` element.

    ``job_name`` is what commands that the section names call the job; ``images`` are those of charts, by name.
    """
    context = {"job_name": job_name, "images": images, "figures": FIGURES, "long_table": LONG_TABLE}
    module: Any = environment().get_template("blocks.html").make_module(context)
    return Markup(module.section(section))  # noqa: S704  # the template has escaped it


def style() -> Markup:
    """What stands in the page's ``<style>``."""
    return _asset("page.css")


def scripts() -> tuple[Markup, ...]:
    """What stands in each ``<script>`` of the page, at the end of its body."""
    return (_asset("page.js"),)


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
    found.filters |= {"image": lambda picture: Image.of(picture.png), "short": lambda trial_id: trial_id[:8]}
    return found


@cache
def _asset(name: str) -> Markup:
    return Markup(resources.files("orchestrator.report").joinpath("web", name).read_text(encoding="utf-8"))  # noqa: S704  # ours
