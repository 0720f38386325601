"""What the worker draws of single trials: one by itself, or several side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchestrator import text
from orchestrator.report.blocks import Cell, Code, Facts, Fold, Head, Items, Row, Section, Table, Text
from orchestrator.report.page import section_modules
from orchestrator.report.sections.trials import shown_measures
from orchestrator.server.draw import PLACES, drawn, store_of
from orchestrator.server.pages import Part, template
from orchestrator.state.log import read_log
from orchestrator.store.columns import TRIALS
from orchestrator.study import COLUMNS
from orchestrator.study.compare import differing_keys, row_of, settings_of, study_of
from orchestrator.study.study import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.server.pages import Address
    from orchestrator.store.location import Store
    from orchestrator.study import Study

MOST = 8
"""Trials side by side."""
_OF_JOBS = ("claims", "run", "trials", "samples")
"""Sections of whole jobs, and of pictures, which these pages show by themselves."""
_LINES = 200
_PICTURE = re.compile(r"samples/[^/]+/(?P<kind>epoch|autoencoder)-(?P<epoch>\d{1,9})\.png")
_KINDS = {"epoch": "Samples", "autoencoder": "Before and after the autoencoder"}
_FACTS = ("health", "step", "epoch", "train_s", "images_per_second", "device", "device_model", "started_at", "ended_at")


@np.errstate(all="ignore")  # rows of strangers may leave the range of numbers, which shows in the page
def trial_parts(uri: str, name: str, trial_id: str, alive: bool, address: Address) -> list[Part]:
    """The page of one trial, without its position, which changes all the time."""
    store = store_of(uri, name)
    study = study_of(store, [trial_id], alive=alive)
    parts = [drawn(_settings_of_one(store, study, trial_id), name, PLACES["settings"])]
    parts += _report_parts(study, name)
    parts += _film(store, name, [(trial_id, "")], address)
    return [*parts, drawn(_files(store, trial_id), name, PLACES["files"])]


@np.errstate(all="ignore")
def compare_parts(uri: str, name: str, trials: Sequence[str], alive: bool, address: Address) -> list[Part]:
    """Several trials side by side."""
    store = store_of(uri, name)
    study = study_of(store, trials, alive=alive)
    settings = {trial_id: settings_of(store, study, trial_id) for trial_id in trials}
    rows = {trial_id: row_of(study, trial_id) for trial_id in trials}
    differing, equal = differing_keys([*settings.values()])
    blocks: list[Block] = []
    if differing:
        blocks.append(_side_by_side("Settings that differ", differing, settings))
    else:
        blocks.append(Text("Their settings are the same.", "notes"))
    if equal:
        table = _side_by_side("Settings that are the same", equal, settings)
        blocks.append(Fold(f"{text.plural(len(equal), 'setting')} that are the same", (table,)))
    parts = [drawn(Section("settings", "Settings", "Settings", tuple(blocks)), name, PLACES["settings"])]
    if study is not None:
        measures = ["status", "step", "epoch", *shown_measures(study.trials), "error"]
        shown = {trial_id: {_head(key): row.get(key) for key in measures} for trial_id, row in rows.items()}
        table = _side_by_side("Measures", list(dict.fromkeys(map(_head, measures))), shown)
        parts.append(drawn(Section("measures", "Measures", "Measures", (table,)), name, PLACES["measures"]))
    parts += _report_parts(study, name)
    names = {key: key.rpartition(".")[2] for key in differing}
    labels = [(one, text.described({key: settings[one].get(key) for key in differing}, names)) for one in trials]
    return [*parts, *_film(store, name, labels, address)]


def _head(column: str) -> str:
    return (COLUMNS[column].heading or column) if column in COLUMNS else column


def _settings_of_one(store: Store, study: Study | None, trial_id: str) -> Section:
    settings, row = settings_of(store, study, trial_id), row_of(study, trial_id)
    facts = [(_head(key), _fact(row.get(key))) for key in _FACTS if _is_known(row.get(key))]
    blocks: list[Block] = [Facts(tuple(facts))] if facts else []
    if error := plain(row.get("error")):
        blocks.append(Code(text.excerpt(str(error), 20_000)))
    blocks.append(Facts(tuple((key, text.setting(value)) for key, value in settings.items()), "facts small"))
    known = [column.name for column in TRIALS if column.name not in (*_FACTS, "trial_id", "error")]
    rest = [(_head(key), _fact(row.get(key))) for key in known if _is_known(row.get(key))]
    if rest:
        blocks.append(Fold("All that its row has", (Facts(tuple(rest), "facts small"),)))
    return Section("settings", "Settings", "Settings", tuple(blocks))


def _is_known(value: Any) -> bool:
    return value is not None and not (pd.api.types.is_scalar(value) and pd.isna(value))


def _fact(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else text.number(plain(value))


def _side_by_side(label: str, keys: Sequence[str], values: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each of ``keys``, a column for each trial."""
    heads = (Head("", long=True), *(Head(trial_id[:8]) for trial_id in values))
    rows = tuple(Row((Cell(key), *(Cell(_words(one.get(key))) for one in values.values()))) for key in keys)
    return Table(label, heads, rows, most=1000)


def _words(value: Any) -> str:
    value = plain(value)
    return text.number(value) if value is None or isinstance(value, float) else text.setting(value)


def _report_parts(study: Study | None, name: str) -> list[Part]:
    """The sections of the report, as if these trials were all."""
    if study is None or study.trials.empty:
        return []
    modules = [one for one in section_modules() if one.__name__.rpartition(".")[2] not in _OF_JOBS]
    built = [section for module in modules if (section := module.build(study))]
    return [drawn(section, name, PLACES["report"] + place) for place, section in enumerate(built)]


def _files(store: Store, trial_id: str) -> Section:
    """The trial's checkpoints, and the lines of the last run's log that name it."""
    prefix = f"checkpoints/{trial_id}."
    keys = [key for key in store.keys("checkpoints") if key.startswith(prefix)]
    blocks: list[Block] = [Items(tuple(keys)) if keys else Text("No checkpoint is stored.", "missing")]
    lines = [line for line in read_log(store).lines if trial_id[:8] in line][-_LINES:]
    if lines:
        blocks.append(Code("\n".join(text.excerpt(line, 500) for line in lines)))
    return Section("files", "Checkpoints and log", "Checkpoints and log", tuple(blocks))


@dataclass(frozen=True)
class Reel:
    """The pictures of a trial over its epochs."""

    trial_id: str
    label: str
    sources: tuple[str, ...]


def _film(store: Store, name: str, trials: Sequence[tuple[str, str]], address: Address) -> list[Part]:
    """Pictures over epochs, with a slider for all trials."""
    parts = []
    for place, (kind, title) in enumerate(_KINDS.items()):
        found = {trial_id: _epochs(store, trial_id, kind) for trial_id, _ in trials}
        epochs = sorted({epoch for one in found.values() for epoch in one})
        if not epochs:
            continue
        reels = []
        for trial_id, label in trials:
            latest, sources = "", []
            for epoch in epochs:
                if epoch in found[trial_id]:
                    key, stamp = found[trial_id][epoch]
                    latest = f"{address.picture(name, key)}?v={stamp}"
                sources.append(latest)
            reels.append(Reel(trial_id, label, tuple(sources)))
        shown = template("film.html").render(id=f"film-{kind}", title=title, epochs=epochs, reels=reels)
        parts.append(Part(f"film-{kind}", title, shown, PLACES["films"] + place))
    return parts


def _epochs(store: Store, trial_id: str, kind: str) -> dict[int, tuple[str, str]]:
    """The pictures of a kind by epoch: each's key, and a stamp that can stand in an address."""
    found = {}
    for key, stamp in store.stamps(f"samples/{trial_id}").items():
        if (match := _PICTURE.fullmatch(key)) and match["kind"] == kind:
            found[int(match["epoch"])] = key, re.sub(r"[^0-9a-zA-Z-]", "", stamp)
    return found
