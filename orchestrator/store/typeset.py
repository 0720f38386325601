"""Tables of words as LaTeX and Markdown, for papers and pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from orchestrator.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

Form = Literal["latex", "markdown"]

_ONE_PAGE = 40
"""Rows beyond which a table of LaTeX may go over pages."""
_NUMBER = re.compile(r"[-−]?\d+(\.\d+)?(e[-+]?\d+)?|nan|-?inf|")
_TEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "−": "$-$",
        "∂": r"$\partial$",
        "σ": r"$\sigma$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "±": r"$\pm$",
    }
)
"""What means something to LaTeX, and signs that it has under other names."""
_MARKUP = re.compile(r"([\\`*_\[\]<>~$&|])")
"""What means something to Markdown within a cell."""


def typeset(form: Form, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """The table as UTF-8; a column of numbers is aligned to the right. Nothing in a cell is taken for markup.

    LaTeX needs booktabs, and longtable for more rows than a page has.
    """
    lines = [[one_line(cell) for cell in row] for row in rows]
    numeric = [all(_NUMBER.fullmatch(row[place]) for row in lines) for place in range(len(headings))]
    write = _latex if form == "latex" else _markdown
    return write([one_line(heading) for heading in headings], lines, numeric).encode()


def _latex(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    long = len(rows) > _ONE_PAGE
    name, packages = (
        ("longtable", r"\usepackage{booktabs,longtable}") if long else ("tabular", r"\usepackage{booktabs}")
    )
    columns = "".join("r" if one else "l" for one in numeric)
    lines = [rf"% {packages}", rf"\begin{{{name}}}{{{columns}}}", r"\toprule", _line(headings), r"\midrule"]
    lines += [r"\endhead"] if long else []
    return "\n".join([*lines, *map(_line, rows), r"\bottomrule", rf"\end{{{name}}}", ""])


def _line(cells: Sequence[str]) -> str:
    """A row; a line break would take a star or a bracket after it as its own, so these are put into braces."""
    line = " & ".join(cell.translate(_TEX) for cell in cells)
    return (f"{{{line[0]}}}{line[1:]}" if line.startswith(("[", "*")) else line) + r" \\"


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    rule = ["---:" if one else "---" for one in numeric]
    escaped = [[_MARKUP.sub(r"\\\1", cell) for cell in row] for row in (headings, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (escaped[0], rule, *escaped[1:]))
