"""What was restored of corrupted images: tables by corruption and method, and panels of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from orchestrator.evaluations.latent_search.norms import Norm
from orchestrator.evaluations.restoration.settings import SHOWN, Mask, Restoration
from orchestrator.report import text
from orchestrator.report.pictures import Album
from orchestrator.report.tables import Spread, by_setting, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results

KIND = "restoration"
TOLD = ("evaluation.corruptions", "evaluation.norms", "evaluation.masks")
"""Settings that the rows tell one by one."""

MEASURES = ("mse", "psnr", "ssim", "mse_touched", "mse_edge")
WHERE = {"mse": "all pixels", "mse_touched": "corrupted pixels", "mse_edge": "edges"}
CLASSICAL = "classical"
_METHOD = ["method", "norm", "mask"]


@dataclass(frozen=True)
class Restored:
    """One method's measure in one row: the spread over trials, what else is told of it, and whether it is the best."""

    spread: Spread | None
    more: str = ""
    best: bool = False


@dataclass(frozen=True)
class RestorationRow:
    """Trials of equal settings, a corruption, and a cell for each method."""

    settings: tuple[str, ...]
    corruption: str
    where: str
    trials: int
    images: str
    cells: tuple[Restored, ...]


@dataclass(frozen=True)
class RestorationTables:
    """``overall`` is by PSNR over all pixels, ``parts`` by MSE over all, corrupted and edge pixels."""

    settings: tuple[str, ...]
    methods: tuple[str, ...]
    overall: tuple[RestorationRow, ...]
    parts: tuple[RestorationRow, ...]


def restored(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> RestorationTables | None:
    """Means over a trial's images, spread over trials; None where nothing was restored."""
    means, by, told = _cells(results, varying, names)
    if means.empty:
        return None
    methods = _methods(means)
    overall, parts = [], []
    for settings, cell in by_setting(means, by, results.job):
        words = tuple(text.setting(value) for value in settings.values())
        for corruption, rows in cell.groupby("corruption", sort=False):
            counts = sorted(set(rows["images"]))
            images = " – ".join(text.number(int(count)) for count in dict.fromkeys([counts[0], counts[-1]]))
            common = (rows["trial_id"].nunique(), images)
            own = [_of(rows, *method) for method in methods.values()]
            overall.append(RestorationRow(words, str(corruption), "all pixels", *common, _by_psnr(own)))
            for measure, where in WHERE.items():
                spreads = [Spread.of(method[measure]) for method in own]
                if any(spreads):
                    parts.append(RestorationRow(words, str(corruption), where, *common, _best(spreads, min)))
    return RestorationTables(tuple(told[c] for c in by), tuple(methods), tuple(overall), tuple(parts))


def panels(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Album:
    """For each cell and corruption the picture of the first seed: a row for the clean images and for each method."""
    album = Album(results.store)
    means, by, told = _cells(results, varying, names)
    for settings, cell in by_setting(means, by, results.job):
        words = text.described(settings, told)
        first = cell.sort_values(SEED, kind="stable") if SEED in cell else cell
        for corruption in dict.fromkeys(cell["corruption"]):
            rows = first[first["corruption"] == corruption]
            trial, evaluation = rows[["trial_id", "evaluation_id"]].iloc[0]
            rows = rows[(rows["trial_id"] == trial) & (rows["evaluation_id"] == evaluation)]
            shown = text.listing(["clean", *(_told(*row) for row in rows[_METHOD].itertuples(index=False, name=None))])
            title = f"{corruption}, {words}" if words else str(corruption)
            count = min(SHOWN, int(rows["images"].iloc[0]))
            alt = f"{title}: {text.plural(count, 'held-out image')}; rows from above: {shown}."
            album.add(Restoration.picture_of(evaluation, trial, corruption), trial, title, alt)
    return album


def _cells(
    results: Results, varying: Sequence[str], names: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """A row a trial, evaluation, corruption and method, by which settings these are told apart, and their names."""
    rows = results.evaluations[KIND]
    rows = rows.assign(**{column: rows[column].fillna("") for column in _METHOD}, images=rows["image_id"])
    keys = ["trial_id", "evaluation_id", "corruption", *_METHOD]
    how = {**dict.fromkeys(MEASURES, "mean"), "images": "nunique"}
    means = rows.groupby(keys, sort=False, as_index=False).agg(how)
    own = variants(rows, TOLD)
    means = means.merge(rows.drop_duplicates("evaluation_id")[["evaluation_id", *own]], on="evaluation_id")
    means = means.drop_duplicates(["trial_id", "corruption", *_METHOD, *own])
    means = means.merge(results.trials[["trial_id", *results.settings]], on="trial_id")
    told = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
    return means, [*(column for column in varying if column != SEED), *own], told


def _methods(means: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """The columns of the tables, and the method, norm and mask of each."""
    searches = set(means.loc[means["method"] == "search", ["norm", "mask"]].itertuples(index=False, name=None))
    several = len({mask for _, mask in searches}) > 1
    found = {"as corrupted": ("corrupted", "", ""), "classical": (CLASSICAL, "", "")}
    for mask in get_args(Mask):
        for norm in get_args(Norm):
            if (norm, mask) in searches:
                found[_told("search", norm, mask if several else "")] = ("search", norm, mask)
    return found


def _of(rows: pd.DataFrame, method: str, norm: str, mask: str) -> pd.DataFrame:
    kind = rows["method"].where(rows["method"].isin(["corrupted", "search"]), CLASSICAL)
    return rows[(kind == method) & (rows["norm"] == norm) & (rows["mask"] == mask)]


def _told(method: str, norm: str, mask: str) -> str:
    if method != "search":
        return method.replace("_", " ")
    return f"{norm} (mask {mask})" if mask else norm


def _by_psnr(own: Sequence[pd.DataFrame]) -> tuple[Restored, ...]:
    more = [
        f"MSE {text.number(float(method['mse'].mean()))}, SSIM {text.number(float(method['ssim'].mean()))}"
        if len(method)
        else ""
        for method in own
    ]
    return _best([Spread.of(method["psnr"]) for method in own], max, more)


def _best(
    spreads: Sequence[Spread | None], choose: Callable[..., float | None], more: Sequence[str] = ()
) -> tuple[Restored, ...]:
    best = choose((spread.mean for spread in spreads if spread), default=None)
    told = more or [""] * len(spreads)
    return tuple(
        Restored(spread, words, spread is not None and spread.mean == best)
        for spread, words in zip(spreads, told, strict=True)
    )
