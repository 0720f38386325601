"""A job's results as an object: its trials, measurements and evaluations, and which of its settings vary."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchestrator import text
from orchestrator.evaluations import KINDS
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.objectives import FAMILIES
from orchestrator.spec.claims import ENDS
from orchestrator.spec.columns import declared, evaluation_columns
from orchestrator.spec.identity import IDLE_OF_EVALUATIONS
from orchestrator.spec.varying import OBJECTIVE, grid_columns, leaves, varying_settings
from orchestrator.state.ledger import ENDED
from orchestrator.store.columns import FLOAT, TRIALS, Column
from orchestrator.store.tables import read_files
from orchestrator.study.cells import Cells
from orchestrator.study.levels import Level, meanings, names_of
from orchestrator.text import SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from orchestrator.spec.grid import Axis
    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.location import Store

D_STEPS = "training.d_steps"

_ERRORS = (
    Column(
        "d_real_error", FLOAT, "", "what d_real is where the discriminator is an autoencoder", "error on real", log=True
    ),
    Column("d_fake_error", FLOAT, "", "what d_fake is there", "error on generated", log=True),
)
COLUMNS: Mapping[str, Column] = {column.name: column for column in (*TRIALS, *_ERRORS)}
"""The columns of a study's trials but for the settings, by name."""


@dataclass(frozen=True)
class Study:
    """A job's results.

    ``trials`` has one row a trial, every column of TRIALS, and the settings as dotted columns of plain Python values
    (None where a kind has no such setting), with those of ``levels.link``; they stand in the grid's order. ``metrics``
    has the columns of ``read.MEASURED``, by trial and step. Both have ``d_real_error`` and ``d_fake_error``: what
    ``d_real`` and ``d_fake`` are where the discriminator is an autoencoder. ``evaluations`` leads from every kind to
    the rows of its first table, with every column of the kind, ids and settings of the evaluation as in ``trials``;
    empty without any. ``tables`` leads from the folder of a kind's further table and a trial id to the files that
    ``further`` reads. ``samples`` leads from trial id and epoch to the key of a picture, ``autoencoders`` to that of
    images before and after the autoencoder that judges them.

    ``job`` is the job of the results; None where its file is missing or cannot be read as one. ``raw`` is the file's
    content, empty where it is no mapping; ``job_text`` is the file as it stands. ``axes`` are those of the grid, and
    ``planned`` the job's trials by the ids under which storage keeps their rows. ``left_out`` has a sentence on the
    files, and on the rows, that are no results.
    """

    store: Store
    trials: pd.DataFrame
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluations: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    samples: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    autoencoders: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    job: Job | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    job_text: str = ""
    axes: tuple[Axis, ...] = ()
    left_out: tuple[str, ...] = ()
    planned: Mapping[str, Trial] = field(default_factory=dict)

    @cached_property
    def settings(self) -> list[str]:
        """Names of the dotted columns."""
        return [column for column in self.trials.columns if "." in column]

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The settings in which trials differ, the seed last; see ``levels.varying_settings``."""
        return tuple(varying_settings(self.trials, [grid_columns(axis) for axis in self.axes]))

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The settings that vary but for the seed: those of equal factors are trials of one cell."""
        return tuple(column for column in self.varying if column != SEED)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The short name of each setting."""
        return names_of([*self.settings, SEED], self.varying)

    def name(self, column: str) -> str:
        """The short name of a setting, of a trial or of an evaluation."""
        return self.names.get(column, column.removeprefix("evaluation."))

    def describe(self, settings: Mapping[str, Any]) -> str:
        """``objective = saturating, d_steps = 3``."""
        return text.described(settings, {column: self.name(column) for column in settings})

    @cached_property
    def title(self) -> str:
        """The job's name, as its file or else a trial has it; empty without either."""
        names = self.trials["job"].dropna()
        return str(self.raw.get("name") or (names.iloc[0] if len(names) else ""))

    @cached_property
    def meanings(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """For each axis that links settings its name, and of each level its label and what it sets."""
        return meanings(self.trials, self.axes)

    @cached_property
    def ended(self) -> pd.DataFrame:
        """The trials that ran as they were told to."""
        return self.trials[self.trials["status"].isin(ENDED)]

    def levels(self, column: str, rows: pd.DataFrame | None = None) -> list[Any]:
        """The values of a setting among trials, or ``rows``: numbers ascend, names follow the grid; None is last."""
        values = set((self.trials if rows is None else rows)[column])
        numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
        others = sorted(values.difference(numbers), key=_rank)
        if numbers:
            return [*numbers, *others]
        return list(dict.fromkeys([*(value for value in self._listed.get(column, ()) if value in values), *others]))

    @cached_property
    def _listed(self) -> dict[str, list[Any]]:
        """The values that the grid's entries set of each path, in their order."""
        listed: dict[str, list[Any]] = {}
        for axis in self.axes:
            for entry in leaves(axis):
                for path, value in entry.items():
                    listed.setdefault(path, []).append(plain(value))
        return listed

    def ordered(
        self, keys: Iterable[tuple[Any, ...]], columns: Sequence[str], rows: pd.DataFrame | None = None
    ) -> list[tuple[Any, ...]]:
        """Values of ``columns`` that rows have together, in the order of their levels; no product of levels is made."""
        places = [{value: place for place, value in enumerate(self.levels(column, rows))} for column in columns]
        return sorted(keys, key=lambda key: [place[value] for place, value in zip(places, key, strict=True)])

    def cells(self, rows: pd.DataFrame | None = None, by: Sequence[str] | None = None) -> Cells:
        """Trials, or ``rows`` that have their settings, in groups of equal factors, or of equal ``by``."""
        rows = self.trials if rows is None else rows
        columns = self.factors if by is None else tuple(by)
        places: dict[tuple[Any, ...], list[int]] = {}
        for position, key in enumerate(zip(*(rows[column] for column in columns), strict=True)):
            places.setdefault(key, []).append(position)
        if not columns and len(rows):
            places[()] = list(range(len(rows)))
        keys = self.ordered(places, columns, rows)
        names = {column: self.name(column) for column in columns}
        return Cells(rows, columns, names, tuple((key, places[key]) for key in keys))

    def evaluated(self, kind: str) -> pd.DataFrame:
        """The rows of a kind of evaluation, each with its trial's settings, status and steps of its conditions."""
        columns = ["status", *self.settings, *(f"{end}_at" for end in ENDS)]
        rows = self.evaluations[kind]
        kept = [column for column in rows.columns if column not in columns]
        return rows[kept].merge(self.trials[["trial_id", *columns]], on="trial_id")

    def evaluation(
        self, kind: str, within: Sequence[str] = (), rows: pd.DataFrame | None = None, further: Sequence[str] = ()
    ) -> Cells:
        """The rows of a kind, or some ``rows`` of ``evaluated``, by cell, in the order of their seeds.

        Evaluations of different settings are cells of their own, but for the settings ``within``, which rows tell
        apart; ``further`` columns tell cells apart too. Of what was computed twice by the same settings the last
        counts.
        """
        rows = self.evaluated(kind) if rows is None else rows
        differing = variants(rows, within)
        keys = [*KINDS[kind].keys, *KINDS[kind].keys_or_null]
        rows = rows.drop_duplicates(["trial_id", *keys, *differing], keep="last")
        if SEED in rows:
            rows = rows.sort_values(SEED, kind="stable")
        return self.cells(rows, (*self.factors, *differing, *further))

    def further(self, kind: str, table: str, trial_id: str) -> pd.DataFrame:
        """The rows of one trial in a further table of a kind, with its columns and ids but no settings.

        Of one trial, and read when asked for: those of a whole study may be many millions.
        """
        columns = [column for column in evaluation_columns(KINDS[kind], table) if "." not in column.name]
        keys = self.tables.get(f"{kind}_{table}", {}).get(trial_id, [])
        schema = declared(f"{FOLDER}/{kind}_{table}")
        return whole(read_files(self.store, keys, [one.name for one in columns], schema).table.to_pandas(), columns)


def conditions(trial: Mapping[Any, Any]) -> list[tuple[str, float]]:
    """The conditions that a trial's row has met, each with its step, in the order of these."""
    steps = [(float(trial[f"{end}_at"]), end) for end in ENDS if trial[f"{end}_at"] == trial[f"{end}_at"]]
    return [(end, step) for step, end in sorted(steps)]


def adversarial(trials: pd.DataFrame) -> pd.Series[bool]:
    """Whether each trial trains against a discriminator of images; one of a kind that is unknown here counts so."""
    kinds = trials[OBJECTIVE] if OBJECTIVE in trials else pd.Series(None, index=trials.index, dtype=object)
    return kinds.map(lambda kind: FAMILIES.get(kind, "adversarial") == "adversarial").astype(bool)


def variants(rows: pd.DataFrame, within: Sequence[str] = ()) -> list[str]:
    """The settings of evaluations in which ``rows`` differ and results may, without those ``within``."""
    passed_over = {*within, *IDLE_OF_EVALUATIONS}
    columns = [column for column in rows.columns if column.startswith("evaluation.") and column not in passed_over]
    return [column for column in columns if len(set(rows[column])) > 1]


def plain(value: Any) -> Any:
    """A setting as a value that can be compared and hashed: None for NaN, text for a list or mapping."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def whole(frame: pd.DataFrame, columns: Sequence[Column] = TRIALS) -> pd.DataFrame:
    """``frame`` with every one of ``columns``; one that its files lack, or have nothing in, is null."""
    lacking = [column for column in columns if column.name not in frame or frame[column.name].isna().all()]
    return frame.assign(**{column.name: _nulls(column.dtype, frame.index) for column in lacking})


def _nulls(dtype: pa.DataType, index: pd.Index[Any]) -> pd.Series[Any]:
    if str(dtype).startswith("timestamp"):
        return pd.Series(pd.NaT, index=index, dtype="datetime64[us, UTC]")
    number = str(dtype).startswith(("int", "float", "double"))
    return pd.Series(np.nan, index=index, dtype=float) if number else pd.Series(None, index=index, dtype=object)


def _rank(value: Any) -> tuple[bool, int, str]:
    return value is None, value.place if isinstance(value, Level) else 0, str(value)
