"""What results and plan print of a job's claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.columns import print_columns
from orchestrator.cli.console import out, shown
from orchestrator.errors import SettingsError
from orchestrator.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from orchestrator.cli.options import NamedJob
    from orchestrator.report.claim_power import ClaimPower
    from orchestrator.report.claims import Claims, Verdict
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

_ROWS = 50
_HEADINGS = (
    "claim", "verdict", "effect (95 %)", "claimed", "Holm", "effect size", "measure", "group", "than", "why", "source",
)  # fmt: skip


def judge_named(named: NamedJob) -> Claims:
    """The verdicts on a job's claims. Raises SettingsError where it has none."""
    from orchestrator.report.claims import judge_job

    job = named.load()
    if not job.header.claims:
        raise SettingsError(job.source, "claims", "is missing; see docs/job-file.md")
    return judge_job(named.store, job)


def claims_rows(judged: Claims) -> pa.Table:
    """A row a claim, for exports."""
    from orchestrator.report.claims_table import claims_table

    return claims_table(judged.verdicts)


def claims_words(judged: Claims, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Headings and rows in words, of columns that have any; of at most so many claims.

    A claim about each value of a setting is followed by a row for every value.
    """
    rows = []
    for one in judged.verdicts[:most]:
        rows.append(_row(one))
        rows += [_row(member) for member in one.members]
    told = [place for place in range(len(_HEADINGS)) if any(row[place] for row in rows)]
    return [_HEADINGS[place] for place in told], [[shown(row[place]) for place in told] for row in rows]


def print_claims(judged: Claims) -> None:
    """Print the columns that have words and that a screen has room for, the ones that matter most first.

    The exports have all columns.
    """
    print_columns(out, *claims_words(judged, _ROWS))
    count = len(judged.verdicts)
    out.print(f"{count} rows" if count <= _ROWS else f"{_ROWS} of {count} rows; --csv, --json, --parquet give all")
    for notice in judged.notices:
        out.print(notice)


def _row(one: Verdict) -> tuple[str, ...]:
    from orchestrator.report.claims_table import claimed_words, effect_words, holm_words, size_words, verdict_words

    constant = one.claim.than_value
    than = (
        f"{constant:.4g}" if one.than is None and constant is not None else _mean(one.than.mean if one.than else None)
    )
    return (
        f"- {one.value}" if one.value else one.claim.id,
        verdict_words(one.judgement),
        effect_words(one.judgement),
        claimed_words(one),
        "" if one.value else holm_words(one),
        size_words(one),
        one.compared,
        _mean(one.group.mean),
        than,
        one.judgement.why,
        "" if one.value else one.claim.source or "",
    )


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def claims_power_of(job: Job, store: Store) -> list[ClaimPower]:
    """What the seeds of each claim can show; a job without claims needs no statistics for that."""
    if not job.header.claims:
        return []
    from orchestrator.report.claim_power import claims_power

    return claims_power(store, job)


def power_lines(powers: Sequence[ClaimPower]) -> list[str]:
    """What the seeds of each claim can show; a line for those that can show the same."""
    alike: dict[str, list[str]] = {}
    for one in powers:
        alike.setdefault(one.words, []).append(one.claim)
    return [f"claim{'s' if len(ids) > 1 else ''} {listing(ids)}: {words}" for words, ids in alike.items()]


def power_json(powers: Sequence[ClaimPower]) -> list[dict[str, Any]]:
    """What the seeds of each claim can show, for a script."""
    return [
        {
            "claim": one.claim,
            "group_seeds": one.seeds.group,
            "than_seeds": None if one.seeds.design.name == "CONSTANT" else one.seeds.than,
            "design": one.seeds.design.name.lower(),
            "smallest_in_sd": one.in_sd,
            "smallest": one.effect,
            "unit": one.unit,
            "spread": one.spread,
            "earlier": one.earlier,
        }
        for one in powers
    ]
