"""A study: its trials, measurements, evaluations and verdicts as data frames."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from orchestrator import text
from orchestrator.api.frames import declared
from orchestrator.api.trial import Trial
from orchestrator.errors import SettingsError
from orchestrator.evaluations import KINDS
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.store.columns import METRICS
from orchestrator.study import COLUMNS
from orchestrator.study.best import best_trial
from orchestrator.study.trained import find_trial_id

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store
    from orchestrator.study import Study as Results

_SHOWN = 20
"""Trials that a notebook shows."""


@dataclass(frozen=True, repr=False)
class Study:
    """A job's results as they were when it was opened: ``orchestrator.open`` reads them anew.

    Data frames are copies, which may be changed. ``frame.attrs["units"]`` and ``frame.attrs["labels"]`` tell of columns
    by their names; ``orch results --schema`` prints what each means.
    """

    _results: Results
    _store: Store
    _asked: Job | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self._results.title

    @property
    def uri(self) -> str:
        """The folder or the URL of its results."""
        return self._store.uri

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, in the grid's order: status, measures, provenance, and every setting as a dotted column."""
        return declared(self._results.trials, [*trial_columns(), *COLUMNS.values()])

    @property
    def varying(self) -> tuple[str, ...]:
        """The columns of the settings in which trials differ, the seed last."""
        return self._results.varying

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a logged step of each trial, by trial and step."""
        return declared(self._results.metrics, [*METRICS, *COLUMNS.values()])

    def evaluations(self, kind: str) -> pd.DataFrame:
        """A row an item of a kind of evaluation, with its trial's settings; empty where nothing was evaluated so.

        Raises SettingsError for a kind that there is not.
        """
        if kind not in KINDS:
            raise SettingsError("kind", "", f"got {show(kind)}; {did_you_mean(str(kind), list(KINDS))}")
        return declared(self._results.evaluated(kind), [*trial_columns(), *evaluation_columns(KINDS[kind])])

    @property
    def claims(self) -> pd.DataFrame:
        """A row a claim of the job: verdict, effect with its interval, and what the report says beside it.

        ``attrs["notices"]`` has sentences on what the verdicts rest on. Raises StorageError.
        """
        from orchestrator.report.claims import judge_claims  # statistics take a second to import
        from orchestrator.report.claims_table import COLUMNS as CLAIMS
        from orchestrator.report.claims_table import claims_table

        judged = judge_claims(self._store, self._results.raw, self._results.job)
        frame = declared(claims_table(judged.verdicts).to_pandas(), CLAIMS)
        frame.attrs["notices"] = list(judged.notices)
        return frame

    def trial(self, beginning: str) -> Trial:
        """The trial whose id begins so. Raises NotFoundError where there is none, SettingsError where several do."""
        return self._trial(find_trial_id(self._store, beginning, self._results.job))

    def best(self, measure: str | None = None) -> Trial:
        """The trial with the best value of a measure in ``trials``, of those that ran as told.

        Without one it is that of the report: by the measure of the job's search, else by FID, else by that of a claim.
        Raises SettingsError for a measure of which no values are the better ones, NotFoundError where no trial has one.
        """
        return self._trial(best_trial(self._results, measure).trial_id)

    def report(self) -> str:
        """Write the report of what is in storage now; returns the path or URL of its page. Raises StorageError."""
        from orchestrator.report.page import write_report  # which draws, likewise

        return f"{self._store.uri}/{write_report(self._store, self._asked)}"

    def _trial(self, trial_id: str) -> Trial:
        return Trial(trial_id, self._results, self._store)

    def __repr__(self) -> str:
        return f"<Study {text.excerpt(self.name)}: {self._counted()}, in {text.excerpt(self.uri)}>"

    def _counted(self) -> str:
        states = self._results.trials["status"].value_counts()
        counts = ", ".join(f"{count} {text.excerpt(str(status))}" for status, count in states.items())
        return f"{text.plural(len(self._results.trials), 'trial')}{f' ({counts})' if counts else ''}"

    def _repr_html_(self) -> str:
        """A table of the trials for a notebook: what differs between them and what was measured."""
        from orchestrator.report.sections.trials import shown_measures

        results = self._results
        measures = shown_measures(results.trials)
        rows = [
            {
                "trial": row["trial_id"][:8],
                "status": text.excerpt(str(row["status"])),
                **{results.name(column): text.setting(row[column]) for column in results.varying},
                **{COLUMNS[column].heading: text.number(row[column]) for column in measures},
            }
            for row in results.trials.head(_SHOWN).to_dict("records")
        ]
        table = pd.DataFrame(rows).to_html(index=False, escape=True, border=0)
        more = len(results.trials) - len(rows)
        after = f"<p>and {text.plural(more, 'trial')} more: <code>study.trials</code></p>" if more > 0 else ""
        head = f"<p><b>{escape(text.excerpt(self.name))}</b>: {escape(self._counted())}</p>"
        return f"{head}<p><code>{escape(text.excerpt(self.uri))}</code></p>{table}{after}"
