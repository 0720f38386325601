"""The report of a job: one HTML file that needs nothing but itself, and its figures as PNG files."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from orchestrator.metrics.health import REJECTED
from orchestrator.report import text
from orchestrator.report.answer import DAMPED, VANISHED, answer
from orchestrator.report.axes import grid_axes, meanings, names_of
from orchestrator.report.canvas import DPI
from orchestrator.report.claims import Claims, counted, direction, judge_claims
from orchestrator.report.codes import draw_codes
from orchestrator.report.comparisons import draw_against, draw_truncation
from orchestrator.report.drawings import Curves, Drawing, draw_curves
from orchestrator.report.facts import STATUSES, Row, heads_of, notices, provenance, short_id, summary, trial_rows
from orchestrator.report.figure_files import write_figures
from orchestrator.report.forest import draw_claims
from orchestrator.report.health import frozen_rows
from orchestrator.report.interpolation import strips, walked
from orchestrator.report.inversion import (
    ENCODER_KIND,
    KIND,
    by_class,
    encoded,
    encoder_galleries,
    galleries,
    inverted,
)
from orchestrator.report.likelihood import draw_likelihoods, likelihoods, without_likelihood
from orchestrator.report.pictures import size_of
from orchestrator.report.quality import SEVERAL, judged, looked, truncated
from orchestrator.report.reconstruction import rebuilt, reconstructed, sharpened
from orchestrator.report.restoration import panels, restored
from orchestrator.report.results import ENDED, Results, load
from orchestrator.report.runs import Runs, runs_of
from orchestrator.report.samples import Gallery, gallery, reconstructions, strip
from orchestrator.report.saturation import FAIR_SHARE, agreement, gradient_rows, is_saturation_study
from orchestrator.report.searches import draw_bands, draw_restarts, draw_searches, draw_training
from orchestrator.report.sheets import draw_samples, sample_matrix, sample_words
from orchestrator.report.tables import varying_settings
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

INDEX = "report/index.html"
FAILURES_SHOWN = 20
DETAILED = 1000
"""Trials up to which each row of their table has all settings and facts of its trial in it."""
MOST_TRIAL_ROWS = 6000
MOST_ROWS = 300
"""Rows of the other tables, one a cell."""
MOST_SEEDS, MOST_TRIALS = 40, 6
"""Seeds of a side of a claim that are listed, and trials of each."""
MOST_TEXT, MOST_WORDS = 200_000, 5000
"""Characters of the job file, and of its description."""
_PER_INCH = 100


@np.errstate(all="ignore")  # rows of strangers may leave the range of numbers, which shows in the page
def write_report(store: Store, job: Job | None = None) -> str:
    """Write the report of the job rooted at ``store``; returns the key of its page.

    Its description, grid and claims are those of ``job``, or else of what was last submitted. Figures of an earlier
    report that this one does not have are removed. Raises NotFoundError when the job has no results, StorageError
    when they cannot be read or the report cannot be written.
    """
    results = load(store, job)
    varying = varying_settings(results.trials, grid_axes(results.job))
    names = names_of([*results.settings, SEED], varying)
    claims = judge_claims(store, results.job, job)
    drawn = _draw(results, varying, names, claims)
    found = gallery(store, results, [column for column in varying if column != SEED])
    page = render(results, varying, names, drawn, found, claims)
    figures = {drawing.name: drawing.wide for drawing in drawn.all()}
    write_figures(store, figures | draw_samples(found.samples, names))
    store.write(INDEX, page.encode())
    return INDEX


@dataclass(frozen=True)
class Figures:
    """All that was drawn: claims, measures over the step, quality against settings, truncation, latent searches."""

    claims: Drawing | None
    curves: Curves
    against: tuple[Drawing, ...]
    truncation: Drawing | None
    inversion: tuple[Drawing, ...]
    encoder: tuple[Drawing, ...]
    codes: Drawing | None
    likelihood: Drawing | None
    runs: tuple[Runs, Runs]
    """Of latent searches and of encoders: what their figures, and the tables beside these, are of."""

    def all(self) -> list[Drawing]:
        """Every figure, in the page's order."""
        single = [self.claims, *self.against, self.truncation, self.codes, self.likelihood]
        return [*(one for one in single if one is not None), *self.inversion, *self.encoder, *self.curves.drawings]


def _draw(results: Results, varying: Sequence[str], names: dict[str, str], claims: Claims) -> Figures:
    inversions, encoders = (runs_of(results, kind, varying, names) for kind in (KIND, ENCODER_KIND))
    of_inversion = draw_restarts(results, inversions), draw_bands(results, inversions)
    of_encoder = draw_searches(results, encoders), draw_training(results, encoders)
    return Figures(
        draw_claims(claims.verdicts),
        draw_curves(results, varying, names),
        tuple(draw_against(results, varying, names)),
        draw_truncation(results, varying, names),
        tuple(drawing for drawing in of_inversion if drawing),
        tuple(drawing for drawing in of_encoder if drawing),
        draw_codes(results, varying, names),
        draw_likelihoods(results, varying, names),
        (inversions, encoders),
    )


def render(
    results: Results, varying: Sequence[str], names: dict[str, str], drawn: Figures, found: Gallery, claims: Claims
) -> str:
    """The page as HTML that loads nothing: its policy lets only its own style, script and images through."""
    rows = trial_rows(results, varying, detailed=_is_detailed(results))
    return (
        _environment(names, _name(results))
        .get_template("page.html")
        .render(
            results=results,
            title=text.excerpt(_name(results) or "Report"),
            description=str(results.job.get("description") or ""),
            detailed=_is_detailed(results),
            summary=summary(results, varying, names),
            meanings=meanings(results.trials, results.job),
            provenance=provenance(results),
            notices=list(dict.fromkeys([*notices(results), *claims.notices])),
            claims=claims.verdicts,
            counted_claims=counted(claims.verdicts),
            linked={row.trial_id for row in rows[:MOST_TRIAL_ROWS]},
            saturation=_saturation(results, varying, names),
            drawn=drawn,
            gallery=found,
            matrix=sample_matrix(found.samples, names),
            autoencoders=reconstructions(results, found.samples, names),
            films=[(sample, strip(sample.frames)) for sample in found.samples if sample.frames],
            style_hash=_policy_hash("page.css"),
            script_hash=_policy_hash("page.js"),
            **_tables(results, rows, varying, names),
            **_inversions(results, *drawn.runs),
        )
    )


def _is_detailed(results: Results) -> bool:
    return len(results.trials) <= DETAILED


def _name(results: Results) -> str:
    return str(results.job.get("name") or _first(results.trials["job"]) or "")


def _environment(names: dict[str, str], job_name: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "data_uri": _data_uri,
        "direction": direction,
        "excerpt": text.excerpt,
        "number": text.number,
        "percent": text.percent,
        "setting": text.setting,
        "short": short_id,
        "words": lambda sample: sample_words(sample, names),
    }
    environment.globals |= {
        "size": size_of,
        "figure_size": _figure_size,
        "job_name": text.excerpt(job_name) or "JOB",
        "most_rows": MOST_ROWS,
        "most_trial_rows": MOST_TRIAL_ROWS,
        "most_seeds": MOST_SEEDS,
        "most_trials": MOST_TRIALS,
        "most_text": MOST_TEXT,
        "most_words": MOST_WORDS,
    }
    return environment


def _tables(results: Results, rows: Sequence[Row], varying: Sequence[str], names: dict[str, str]) -> dict[str, Any]:
    """What the tables of trials, of runs that froze and of quality show."""
    return {
        "heads": heads_of(rows, results.trials, varying, names),
        "rows": rows,
        "statuses": STATUSES,
        "failed": [(row, _settings(row, varying, names)) for row in rows if row.status == "failed"],
        "failures_shown": FAILURES_SHOWN,
        "frozen": frozen_rows(results.trials, varying, results.job),
        "cell_heads": [names[column] for column in varying if column != SEED],
        "looked": looked(results, varying, names),
        "judged": judged(results, varying, names),
        "truncated": truncated(results, varying, names),
        "several": SEVERAL,
        "sharpened": sharpened(results, varying, names),
        "reconstructed": reconstructed(results, varying, names),
        "rebuilt": rebuilt(results, varying, names),
        "likelihoods": likelihoods(results, varying, names),
        "without_likelihood": without_likelihood(results, varying, names),
        "restored": restored(results, varying, names),
        "panels": panels(results, varying, names),
        "walked": walked(results, varying, names),
        "strips": strips(results, varying, names),
    }


def _inversions(results: Results, inversions: Runs, encoders: Runs) -> dict[str, Any]:
    """What the sections on inversion show beside their figures."""
    return {
        "inversion_heads": inversions.heads,
        "inverted": inverted(inversions),
        "classes": by_class(inversions),
        "galleries": galleries(results, inversions),
        "encoder_heads": encoders.heads,
        "encoded": encoded(encoders),
        "encoder_galleries": encoder_galleries(results, encoders),
    }


def _saturation(results: Results, varying: Sequence[str], names: dict[str, str]) -> dict[str, Any] | None:
    """What the section on the generator's gradient shows; None when the study does not compare its losses."""
    if not is_saturation_study(results.trials, varying):
        return None
    rows = gradient_rows(results.trials, results.metrics, varying, results.job)
    kinds = results.trials.get("training.g_optimizer.kind")
    fit = agreement(results.trials)
    quality = bool(len(results.evaluations["quality"])) or bool(results.trials["fid"].notna().any())
    return {
        "answer": answer(rows, names, fit, [] if kinds is None else sorted(set(map(str, kinds))), quality=quality),
        "rows": rows,
        "heads": [names[column] for column in rows[0].settings] if rows else [],
        "left_out": int((~results.trials["status"].isin(ENDED)).sum()),
        "rejected": REJECTED,
        "fair_share": FAIR_SHARE,
        "vanished": VANISHED,
        "damped": DAMPED,
    }


def _settings(row: Row, varying: Sequence[str], names: dict[str, str]) -> str:
    return ", ".join(text.assigned(column, cell.shown, names) for column, cell in zip(varying, row.cells, strict=False))


def _first(values: Any) -> Any:
    known = values.dropna()
    return known.iloc[0] if len(known) else None


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _figure_size(png: bytes) -> tuple[int, int]:
    """Width and height at which letters of all figures are equally large, unless the page is narrower."""
    width, height = size_of(png)
    return round(width * _PER_INCH / DPI), round(height * _PER_INCH / DPI)


def _policy_hash(name: str) -> str:
    """The hash by which the page's Content-Security-Policy knows its own inline file."""
    content = resources.files("orchestrator.report").joinpath(name).read_bytes()
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
