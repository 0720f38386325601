"""What of a study goes to an experiment tracker: of each trial its settings, rows, last values and pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchestrator.data import dataset as datasets
from orchestrator.evaluations import KINDS
from orchestrator.spec.columns import evaluation_settings
from orchestrator.spec.identity import IDLE_OF_EVALUATIONS
from orchestrator.state.ledger import ENDED
from orchestrator.store.columns import METRICS, TRIALS
from orchestrator.study.study import plain
from orchestrator.study.unfinished import UNFINISHED
from orchestrator.text import LINKED, setting, short_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from orchestrator.evaluations import Evaluation
    from orchestrator.store.location import Store
    from orchestrator.study import Study

_FORBIDDEN = re.compile(r"[^\w.\- /]")
"""What names of metrics may not hold: MLflow's rule, the strictest."""
PICTURE_BYTES = 50_000_000


@dataclass(frozen=True)
class Picture:
    """A PNG file in storage, of the samples at a step."""

    name: str
    step: int
    key: str


@dataclass(frozen=True)
class Record:
    """A trial as trackers know runs. Values are finite; what has none is left out.

    ``rows`` has the values by step, ``summary`` the last ones: of its row in trials/, and means over evaluations.
    """

    trial_id: str
    job: str
    status: str
    started_ms: int | None
    ended_ms: int | None
    settings: Mapping[str, Any]
    rows: tuple[tuple[int, Mapping[str, float]], ...]
    summary: Mapping[str, float]
    pictures: tuple[Picture, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing will be added to its rows."""
        return self.status not in UNFINISHED

    @property
    def succeeded(self) -> bool:
        """Whether it ran as it was told to."""
        return self.status in ENDED

    @property
    def last_step(self) -> int:
        """The step of its last row; 0 without any."""
        return self.rows[-1][0] if self.rows else 0

    @property
    def last(self) -> dict[str, float]:
        """The last values under the names that all trackers know them by: those of rows are taken."""
        return {f"last/{name}": value for name, value in self.summary.items()}

    def read(self, store: Store, picture: Picture) -> bytes:
        """A picture's PNG file. Raises StorageError."""
        return store.read(picture.key, PICTURE_BYTES)


def records(study: Study) -> Iterator[Record]:
    """Every trial of a study, in its order."""
    measured = {str(trial_id): rows for trial_id, rows in study.metrics.groupby("trial_id", sort=False)}
    evaluated = _evaluated(study)
    for row in study.trials.to_dict("records"):
        trial_id = str(row["trial_id"])
        rows = measured.get(trial_id, study.metrics.iloc[:0])
        yield Record(
            trial_id,
            study.title,
            str(row["status"]),
            _ms(row["started_at"]),
            _ms(row["ended_at"]),
            _settings(row),
            tuple(_by_step(rows)),
            {**_finite(row, _LAST), **evaluated.get(trial_id, {})},
            tuple(_pictures(study, trial_id, rows, row)),
        )


def _numbers(columns: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if _is_number(column.dtype))


def _is_number(dtype: pa.DataType) -> bool:
    return str(dtype) in ("double", "int64")


_LOGGED = tuple(name for name in _numbers(METRICS) if name != "step")
_LAST = tuple(column.name for column in TRIALS if _is_number(column.dtype) and column.label)
"""Columns of trials/ that measure something."""


def _settings(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The dotted columns but for axes of the grid, which repeat them, and places of files, which are of a machine."""
    return {
        str(name): value
        for name, value in row.items()
        if "." in str(name) and not str(name).startswith(LINKED) and name not in _PLACES and value is not None
    }


def _places() -> frozenset[str]:
    kinds = [datasets.Dataset]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return frozenset(f"data.{place}" for kind in kinds for place in kind.places)


_PLACES = _places()


def _finite(row: Mapping[Any, Any], names: tuple[str, ...]) -> dict[str, float]:
    values = {name: row.get(name) for name in names}
    return {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}


def _by_step(rows: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    for row in rows.to_dict("records"):
        yield int(row["step"]), _finite(row, _LOGGED)


def _ms(time: Any) -> int | None:
    return None if pd.isna(time) else int(pd.Timestamp(time).timestamp() * 1000)


def _pictures(study: Study, trial_id: str, rows: pd.DataFrame, row: Mapping[Any, Any]) -> Iterator[Picture]:
    """The sheets of samples, and of autoencoders, by the steps of their epochs."""
    last = row if not rows.size else rows.iloc[-1]
    step, epoch = (float(last[name]) if pd.notna(last[name]) else 0.0 for name in ("step", "epoch"))
    steps_of_epoch = step / epoch if epoch > 0 else 1.0
    for name, sheets in (("samples", study.samples), ("autoencoder", study.autoencoders)):
        for number, key in sorted(sheets.get(trial_id, {}).items()):
            yield Picture(name, round(number * steps_of_epoch), key)


def _evaluated(study: Study) -> dict[str, dict[str, float]]:
    """The mean of each measure over a trial's rows, of each evaluation and what else tells its rows apart.

    Names have the settings of an evaluation that are not as by default: so they do not depend on other evaluations.
    """
    means: dict[str, dict[str, float]] = {}
    for kind, evaluation in KINDS.items():
        rows = study.evaluations.get(kind)
        if rows is None or rows.empty:
            continue
        if "chosen" in rows:  # restarts that came to nothing are no result
            rows = rows[rows["chosen"].eq(True)]
        defaults = _defaults(evaluation)
        named = [name for name, value in defaults.items() if name in rows and any(rows[name] != value)]
        apart = [*named, *_telling_apart(evaluation)]
        measures = [name for name in evaluation.headings() if pd.api.types.is_numeric_dtype(rows[name])]
        names = {name: short.removeprefix("evaluation.") for name, short in short_names(defaults).items()}
        for key, part in rows.groupby(["trial_id", *apart], sort=False, dropna=False):
            words = [
                _words(names.get(column, ""), value)
                for column, value in zip(apart, key[1:], strict=True)
                if column not in defaults or value != defaults[column]
            ]
            prefix = "/".join([kind, *filter(None, words)])
            values = _finite(part[measures].astype(float).mean().to_dict(), tuple(measures))
            of_trial = means.setdefault(str(key[0]), {})
            of_trial.update({_FORBIDDEN.sub("_", f"{prefix}/{name}"): value for name, value in values.items()})
    return means


def _defaults(evaluation: type[Evaluation]) -> dict[str, Any]:
    """The settings of a kind by default, as columns have them, without those that change no result.

    Nor lists, such as corruptions: rows tell which entry they are of.
    """
    settings = evaluation_settings(evaluation.model_validate({}))
    return {
        name: plain(value)
        for name, value in settings.items()
        if name not in IDLE_OF_EVALUATIONS and not isinstance(value, list)
    }


def _telling_apart(evaluation: type[Evaluation]) -> list[str]:
    """The identifying columns that are no numbers of images or restarts, which means are taken over."""
    columns = {column.name: column for column in evaluation.columns}
    return [
        name
        for name in (*evaluation.keys, *evaluation.keys_or_null)
        if name in columns and str(columns[name].dtype) != "int64"
    ]


def _words(name: str, value: Any) -> str:
    """``truncation-0.7``, ``noise``; empty for none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{name}-{setting(value)}" if name else setting(value).replace("/", "_")
