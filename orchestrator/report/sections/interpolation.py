"""Paths between inverted images: a table by path and by likeness of the ends, and strips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.evaluations.interpolation.settings import SHOWN, Interpolation
from orchestrator.report.blocks import Section, Text
from orchestrator.report.cells import SEVERAL
from orchestrator.report.measured import measured_table
from orchestrator.report.pictures import Album

if TYPE_CHECKING:
    from orchestrator.report.blocks import Table
    from orchestrator.study import Cells, Study

ORDER = 100
KIND = "interpolation"
ENDS = {True: "of one class", False: "of two classes"}
_NOTE = (
    "Pairs of held-out images were inverted, and eight steps made from the one to the other. Path length is the sum of "
    "the distances between the classifier's features of successive images, detour that sum over the distance of the "
    "ends, largest step the greatest of them: of the mean over pairs the mean over seeds, below it the least and the "
    "greatest seed where they differ. A third class is one that the classifier sees on the way and at neither end."
)
_STRIPS = (
    "A row is a pair: the second image, the generator's way from its inversion to that of the first, the first image. "
    "The settings of one way stand side by side."
)


def build(study: Study) -> Section | None:
    """None where no path was walked."""
    table = path_table(study)
    if not table:
        return None
    note = Text(f"{_NOTE} {_classifiers(study)}".rstrip(), "notes", "walked-note")
    blocks = (note, table, *strips(study).blocks("Strips", "ways", _STRIPS))
    return Section("interpolation", "Interpolation", "Interpolation", blocks)


def path_table(study: Study) -> Table | None:
    """Means over a trial's pairs, spread over trials; None where no path was walked."""
    cells = _cells(study)
    rows = cells.frame.assign(
        third=(cells.frame["third_classes"] > 0).astype(float),
        ends=cells.frame["alike"].map(ENDS),
        unlike=~cells.frame["alike"].astype(bool),
    )
    rows = rows.sort_values(["way", "unlike"], kind="stable")
    words = {"way": "way", "ends": "ends"}
    label = "Ways between inverted images"
    writes = {"third": text.percent}
    measures = {**Interpolation.headings(), "third": "with a third class"}
    return measured_table(study.cells(rows, cells.by), label, "walked-note", measures, words, "pairs", writes)


def strips(study: Study) -> Album:
    """For each path and cell the picture of the first seed: a row a pair, from the second image to the first.

    The cells of one path stand side by side, to be compared.
    """
    album = Album(study.store)
    cells = _cells(study)
    for way in sorted(set(cells.frame["way"])):
        for cell in study.cells(cells.frame[cells.frame["way"] == way], cells.by):
            rows = cell.of_first_seed().sort_values("pair", kind="stable")
            trial, evaluation = rows[["trial_id", "evaluation_id"]].iloc[0]
            rows = rows[rows["pair"] < SHOWN]
            title = f"{way}, {cell.title}" if cell.title else way
            classes = ", ".join(rows["classes"].fillna("unknown"))
            alt = f"{title}: {text.plural(len(rows), 'pair')}; classes met from above: {classes}."
            album.add(Interpolation.picture_of(evaluation, trial, way), trial, title, alt)
    return album


def _cells(study: Study) -> Cells:
    rows = study.evaluated(KIND)
    return study.evaluation(KIND, rows=rows[rows["alike"].notna()])  # what another version wrote does not have it


def _classifiers(study: Study) -> str:
    """A sentence on whose features measured the paths."""
    digests = sorted({str(one).removeprefix("classifier:") for one in _cells(study).frame["features"].dropna()})
    if len(digests) > 1:
        return f"{SEVERAL} ({', '.join(digests)})"
    if not digests:
        return ""
    return f"Features and classes are those of classifier {digests[0]}; nothing compares with measures of another one."
