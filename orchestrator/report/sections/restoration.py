"""What was restored of corrupted images: tables by corruption and method, and panels of pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from orchestrator import text
from orchestrator.evaluations.latent_search.norms import Norm
from orchestrator.evaluations.restoration.settings import SHOWN, Mask, Restoration
from orchestrator.report.blocks import Cell, Head, Heading, Row, Section, Table, Text
from orchestrator.report.cells import count_of, number, numeric_heads, setting_cells, setting_heads, spread
from orchestrator.report.pictures import Album
from orchestrator.study import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from orchestrator.report.blocks import Block
    from orchestrator.study import Cells, Study

ORDER = 90
KIND = "restoration"
WITHIN = ("evaluation.corruptions", "evaluation.norms", "evaluation.masks")
"""Settings that the rows tell one by one."""
MEASURES = ("mse", "psnr", "ssim", "mse_touched", "ring_excess", "far_excess", "class_kept")
WHERE = {
    "mse": "all pixels",
    "mse_touched": "corrupted pixels",
    "ring_excess": "ring around holes, excess",
    "far_excess": "far from holes, excess",
}
CLASSICAL = "classical"
_METHOD = ["method", "norm", "mask"]
_NOTE = (
    "PSNR in dB against the clean image, higher is better: the mean over a trial's images, then over seeds; below it "
    "the least and the greatest seed where they differ, MSE, SSIM and, of images with classes, the share in which the "
    "classifier sees the class of the clean image. Bold is the best of a row. A column of a norm is "
    "a search for the nearest image that the generator makes; classical is total variation for noise and biharmonic "
    "inpainting for the rest, which have seen no other image."
)
_MASKS = " Where nothing is hidden a known mask is no other than an unknown one, and one of them was computed."
_PARTS = (
    "Mean squared error, lower is better, over all pixels and over the corrupted ones. Around holes and squares: the "
    "error over observed pixels at most two from a hole, and over the others, less that of the same search for the "
    "clean image over the same pixels; what is left is what the hole does. Bold is the best of a row."
)


def build(study: Study) -> Section | None:
    """None where nothing was restored."""
    overall, parts = restoration_tables(study)
    if not overall.rows:
        return None
    masks = _MASKS if any("(mask" in head.words for head in overall.heads) else ""
    blocks: list[Block] = [Text(_NOTE + masks, "notes", "restored-note"), overall]
    blocks += [Heading("Corrupted pixels and their surroundings"), Text(_PARTS, "notes", "parts-note"), parts]
    blocks += restored_images(study).blocks("Restored images", "restored images")
    return Section("restoration", "Restoration", "Restoration", tuple(blocks))


def restoration_tables(study: Study) -> tuple[Table, Table]:
    """By PSNR over all pixels, and by MSE over all, corrupted and surrounding pixels: means over a trial's images."""
    cells = _cells(study)
    methods = _methods(cells.frame)
    overall, parts = [], []
    for cell in cells:
        for corruption, rows in _by_corruption(study, cell.rows):
            first = (*setting_cells(cell.values), Cell(corruption))
            means = _means(rows)
            of = [_of(means, *method) for method in methods.values()]
            counts = (number(means["trial_id"].nunique()), count_of(means["images"]))
            overall.append(Row((*first, *counts, *_by_psnr(of))))
            for measure, where in WHERE.items():
                spreads = [Spread.of(method[measure]) for method in of]
                if any(spreads):
                    parts.append(Row((*first, Cell(where), *_best(spreads, min))))
    start, ends = (*setting_heads(cells.heads), Head("corruption")), numeric_heads(methods)
    return (
        Table("Restored images, PSNR", (*start, *numeric_heads(["seeds", "images"]), *ends), tuple(overall),
              "restored-note"),
        Table("Error over corrupted pixels and around", (*start, Head("over"), *ends), tuple(parts), "parts-note"),
    )  # fmt: skip


def restored_images(study: Study) -> Album:
    """For each cell and corruption the picture of the first seed: a row for the clean images and for each method."""
    album = Album(study.store)
    for cell in _cells(study):
        for corruption, rows in _by_corruption(study, cell.rows):
            trial, evaluation = rows[["trial_id", "evaluation_id"]].iloc[0]
            rows = rows[(rows["trial_id"] == trial) & (rows["evaluation_id"] == evaluation)]
            methods = dict.fromkeys(rows[_METHOD].itertuples(index=False, name=None))
            shown = text.listing(["clean", *(_named(*method) for method in methods)])
            title = f"{corruption}, {cell.title}" if cell.title else corruption
            count = min(SHOWN, rows["image_id"].nunique())
            alt = f"{title}: {text.plural(count, 'held-out image')}; rows from above: {shown}."
            album.add(Restoration.picture_of(evaluation, trial, corruption), trial, title, alt)
    return album


def _cells(study: Study) -> Cells:
    rows = study.evaluated(KIND)
    return study.evaluation(KIND, WITHIN, rows.assign(**{column: rows[column].fillna("") for column in _METHOD}))


def _by_corruption(study: Study, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each corruption, in the order of the evaluations."""
    for corruption in dict.fromkeys(study.evaluations[KIND]["corruption"]):
        if len(corrupted := rows[rows["corruption"] == corruption]):
            yield str(corruption), corrupted


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a trial and method: means over images, and how many of them."""
    how = {**dict.fromkeys(MEASURES, "mean"), "images": "nunique"}
    keys = ["trial_id", *_METHOD]
    return rows.assign(images=rows["image_id"]).groupby(keys, sort=False, as_index=False).agg(how)


def _methods(rows: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """The columns of the tables, and the method, norm and mask of each."""
    searches = set(rows.loc[rows["method"] == "search", ["norm", "mask"]].itertuples(index=False, name=None))
    several = len({mask for _, mask in searches}) > 1
    methods = {"as corrupted": ("corrupted", "", ""), "classical": (CLASSICAL, "", "")}
    for mask in get_args(Mask):
        for norm in get_args(Norm):
            if (norm, mask) in searches:
                methods[_named("search", norm, mask if several else "")] = ("search", norm, mask)
    return methods


def _of(rows: pd.DataFrame, method: str, norm: str, mask: str) -> pd.DataFrame:
    kind = rows["method"].where(rows["method"].isin(["corrupted", "search"]), CLASSICAL)
    return rows[(kind == method) & (rows["norm"] == norm) & (rows["mask"] == mask)]


def _named(method: str, norm: str, mask: str) -> str:
    if method != "search":
        return method.replace("_", " ")
    return f"{norm} (mask {mask})" if mask else norm


def _by_psnr(methods: Sequence[pd.DataFrame]) -> list[Cell]:
    return _best([Spread.of(one["psnr"]) for one in methods], max, [_further(one) for one in methods])


def _further(method: pd.DataFrame) -> str:
    mse, ssim, kept = (float(method[name].mean()) for name in ("mse", "ssim", "class_kept"))
    words = f"MSE {text.number(mse)}, SSIM {text.number(ssim)}"
    return words if math.isnan(kept) else f"{words}, class kept {text.percent(kept)}"


def _best(
    spreads: Sequence[Spread | None], choose: Callable[..., float | None], more: Sequence[str] = ()
) -> list[Cell]:
    """A cell for each method, that of the best mean strong."""
    best = choose((one.mean for one in spreads if one), default=None)
    words = [[word] for word in more] or [[] for _ in spreads]
    return [
        spread(one, small=small, best=one is not None and one.mean == best)
        for one, small in zip(spreads, words, strict=True)
    ]
