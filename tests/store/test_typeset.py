"""Tables as LaTeX and Markdown: hostile names are words like any other."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from orchestrator.store.typeset import typeset

HOSTILE = r"\input{/etc/passwd} $x_1^2$ & 50 % #1 ~ <script>alert(1)</script> | `code` [a](b) **b** — ∂"
"""What means something to LaTeX or Markdown."""
TEX = (
    r"\textbackslash{}input\{/etc/passwd\} \$x\_1\textasciicircum{}2\$ \& 50 \% \#1 \textasciitilde{} "
    r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} | `code` [a](b) **b** — $\partial$"
)


def test_latex_has_booktabs_and_every_character_as_itself() -> None:
    text = typeset("latex", [HOSTILE, "d_loss"], [[HOSTILE, "0.5"], ["[1, 2]", "-1.2e-05"], ["*", "40000"]]).decode()
    assert text == (
        "% \\usepackage{booktabs}\n\\begin{tabular}{lr}\n\\toprule\n"
        f"{TEX} & d\\_loss \\\\\n\\midrule\n{TEX} & 0.5 \\\\\n"
        "{[}1, 2] & -1.2e-05 \\\\\n{*} & 40000 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_no_command_of_latex_is_left_in_a_cell() -> None:
    """Without those that are written here, no character that means something is left."""
    cells = [chr(code) for code in range(32, 127)]
    text = typeset("latex", ["x"], [[cell * 2] for cell in cells[:30]]).decode()
    text += typeset("latex", ["x"], [[cell * 2] for cell in cells[30:60]]).decode()
    text += typeset("latex", ["x"], [[cell * 2] for cell in cells[60:]]).decode()
    body = "".join(re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL))
    known = r"\\text(backslash|asciitilde|asciicircum|less|greater)\{\}|\\[&%$#_{}]| \\\\\n|\{[\[*]\}"
    assert not re.search(r"[\\&%$#_{}~^<>]", re.sub(known, "", body))
    assert len(re.findall(r" \\\\\n", body)) == len(cells)


def test_a_long_table_of_latex_goes_over_pages() -> None:
    text = typeset("latex", ["step"], [[str(step)] for step in range(41)]).decode()
    assert text.startswith("% \\usepackage{booktabs,longtable}\n\\begin{longtable}{r}\n")
    assert text.count("\\endhead") == 1
    assert text.rstrip().endswith("\\end{longtable}")


def test_markdown_escapes_what_would_be_markup() -> None:
    head, rule, *rows = typeset("markdown", ["d_loss", HOSTILE], [["1.5", HOSTILE], ["", "a\nb"]]).decode().splitlines()
    escaped = (
        r"\\input{/etc/passwd} \$x\_1^2\$ \& 50 % #1 \~ \<script\>alert(1)\</script\> \| \`code\` \[a\](b) "
        r"\*\*b\*\* — ∂"
    )
    assert (head, rule) == (rf"| d\_loss | {escaped} |", "| ---: | --- |")
    assert rows == [f"| 1.5 | {escaped} |", r"|  | a\\nb |"]


def test_a_reader_of_markdown_sees_the_words_as_they_were() -> None:
    text = typeset(
        "markdown", [HOSTILE, "n"], [[HOSTILE, "1"], ["\\|", "a\\"], ["&amp; https://x_y_z", "1. x"]]
    ).decode()
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    cells = [token.children for token in tokens if token.type == "inline"]
    assert {child.type for cell in cells for child in cell or []} <= {"text", "text_special"}
    words = ["".join(child.content for child in cell or []) for cell in cells]
    assert words == [HOSTILE, "n", HOSTILE, "1", "\\|", "a\\", "&amp; https://x_y_z", "1. x"]


@pytest.mark.parametrize("form", ["latex", "markdown"])
def test_no_rows(form: str) -> None:
    assert b"trial" in typeset(form, ["trial"], [])  # type: ignore[arg-type]
