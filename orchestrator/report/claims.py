"""The claims of a job with what its results say of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator import text
from orchestrator.errors import SettingsError
from orchestrator.report.claim_values import ClaimValues, Side, words_of
from orchestrator.report.verdicts import Judgement, Word, least_supported, together
from orchestrator.spec.claims import sides_of, sides_of_each
from orchestrator.state.files import read_job
from orchestrator.statistics.effects import holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.report.claim_values import Compared
    from orchestrator.spec.claims import Claim, Measure
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store


@dataclass(frozen=True)
class Verdict:
    """A claim, its two groups, and the judgement; ``measure`` is that of ``group``, a constant has no group ``than``.

    A claim about each value of a setting has ``members``, which have the values and are told by their ``value``; a
    group that differs between them has no seeds in the claim itself. ``p_holm`` is corrected for the job's claims.
    """

    claim: Claim
    measure: Measure
    group: Side
    than: Side | None
    judgement: Judgement
    value: str = ""
    members: tuple[Verdict, ...] = ()
    paired: bool = False
    p_holm: float | None = None

    @property
    def name(self) -> str:
        """The claim's id, of a member with its value."""
        return f"{self.claim.id}: {self.value}" if self.value else self.claim.id

    @property
    def shown(self) -> Verdict:
        """What the effect is of: of a claim about each value the member with the least support, else itself."""
        if not self.members:
            return self
        members = {one.value: one for one in self.members}
        return members[least_supported({value: one.judgement for value, one in members.items()})]

    @property
    def compared(self) -> str:
        """What is compared: one measure, or that of each group."""
        other = self.claim.than_measure
        return f"{self.claim.measure} against {other}" if other else self.claim.measure

    @property
    def ratio(self) -> bool:
        """Whether the claim is of a ratio."""
        return self.claim.factor is not None

    @property
    def holm(self) -> Word:
        """The word that is left after Holm's correction over the job's claims."""
        return self.judgement.corrected(self.p_holm)


@dataclass(frozen=True)
class Claims:
    """What a report says of a job's claims, and what its reader has to know of them."""

    verdicts: tuple[Verdict, ...] = ()
    notices: tuple[str, ...] = ()


def judge_claims(store: Store, raw: Mapping[str, Any], job: Job | None = None) -> Claims:
    """The claims of the ``raw`` job in storage, or of ``job``; a job that cannot be read as one is a notice.

    Raises StorageError.
    """
    if not raw.get("claims"):
        return Claims()
    try:
        job = job or read_job(store)
    except SettingsError as error:
        return Claims(notices=(f"The claims cannot be judged: {error}.",))
    return judge_job(store, job)


def judge_job(store: Store, job: Job) -> Claims:
    """What the results below ``store`` say of each claim; only trials of this job count. Raises StorageError.

    A trial that has no row of the present spec version is judged by that of an earlier one, which a notice tells.
    """
    values = ClaimValues.read(store, job)
    verdicts = [_verdict(claim, values.compared(claim)) for claim in job.header.claims]
    adjusted = holm([one.judgement.p_value for one in verdicts])
    corrected = tuple(replace(one, p_holm=p) for one, p in zip(verdicts, adjusted, strict=True))
    return Claims(corrected, (*job.left_out, *values.notices()))


def _verdict(claim: Claim, compared: Sequence[Compared]) -> Verdict:
    members = [
        Verdict(one.claim, one.measure, one.group, one.than, one.judge(), one.value, paired=one.paired)
        for one in compared
    ]
    if claim.each is None:
        return members[0]
    judgement = together({one.value: one.judgement for one in members})
    group = _common(claim, "group", [one.group for one in members])
    than = None if claim.than is None else _common(claim, "than", [one.than for one in members if one.than])
    return Verdict(claim, members[0].measure, group, than, judgement, members=tuple(members))


def _common(claim: Claim, name: str, sides: Sequence[Side]) -> Side:
    """The side of all members; of one that takes each value in turn, only the words."""
    if name not in sides_of_each(claim):
        return sides[0]
    ((path, values),) = (claim.each or {}).items()
    where = sides_of(claim)[name]
    names = text.short_names([*where, path])
    each = f"{names[path]} = each of {', '.join(text.setting(value) for value in values)}"
    return Side(", ".join([*([words_of(where, names)] if where else []), each]), ())


def direction(claim: Claim) -> str:
    """On which side of the bound the claim puts its effect."""
    return {"higher": "above", "lower": "below", None: "within"}[claim.better]


def counted(verdicts: Sequence[Verdict]) -> str:
    """``2 supported, 1 undecided``."""
    words = [verdict.judgement.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in Word if word in words)
