"""What each page follows from, and how it is drawn from that."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

from orchestrator.report import html
from orchestrator.server import draw, trials
from orchestrator.server.jobs import Jobs, jobs_section
from orchestrator.server.listing import FOLDERS, Listing
from orchestrator.server.pages import Part
from orchestrator.server.progress import position, position_section, progress_section
from orchestrator.server.watch import Feed
from orchestrator.store.bundles import trial_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from orchestrator.report.blocks import Section
    from orchestrator.server.listing import Look
    from orchestrator.server.pages import Address
    from orchestrator.server.worker import Worker
    from orchestrator.store.location import Store

_PICTURES_S = 10.0
_MOST_LISTINGS = 64


class Feeds:
    """The feeds of the pages of one storage; pages of the same job share its listing."""

    def __init__(self, root: Store, address: Address, study_worker: Worker, trial_worker: Worker) -> None:
        self.root, self.address = root, address
        self.study_worker, self.trial_worker = study_worker, trial_worker
        self._listings: dict[str, Listing] = {}

    def jobs(self) -> Feed:
        """The feed of the list of jobs."""
        jobs = Jobs(self.root)

        async def draw_jobs(found: Any) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            yield "", [await asyncio.to_thread(_part, jobs_section(found, self.root.uri, self.address), "")]

        return Feed(jobs.look, draw_jobs, lambda: jobs.pause_s)

    def job(self, name: str) -> list[Feed]:
        """The feeds of a job's page: its progress, and the sections of its report by how often they change."""
        listing = self.listing(name)

        async def draw_progress(look: Look) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            yield "", [await asyncio.to_thread(_part, progress_section(look, name, self.address), name)]

        sections = draw.sections_by_source()
        return [
            Feed(listing.look, draw_progress, lambda: listing.pause_s),
            self._sections(name, listing, [*sections["steps"], *sections["metrics"]], FOLDERS),
            self._sections(name, listing, sections["results"], ("trials", "evaluations")),
            self._sections(name, listing, sections["samples"], FOLDERS, _PICTURES_S),
        ]

    def trial(self, name: str, trial_id: str) -> list[Feed]:
        """The feeds of a trial's page: its position, and what it has stored."""
        listing = self.listing(name)

        async def draw_now(found: Any) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            yield "", [await asyncio.to_thread(_part, position_section(found, trial_id), name)]

        return [
            Feed(lambda: position(listing.look(), trial_id), draw_now, lambda: listing.pause_s),
            self._trials(name, listing, trials.trial_parts, [trial_id]),
        ]

    def compare(self, name: str, trial_ids: Sequence[str]) -> list[Feed]:
        """The feed of trials side by side."""
        return [self._trials(name, self.listing(name), trials.compare_parts, trial_ids)]

    def _trials(
        self, name: str, listing: Listing, drawing: Callable[..., list[Part]], trial_ids: Sequence[str]
    ) -> Feed:
        given = trial_ids[0] if drawing is trials.trial_parts else list(trial_ids)

        def look() -> tuple[list[tuple[str, str]], bool]:
            found = listing.look()
            stamps = (one for folder in FOLDERS for one in found.stamps[folder].items())
            return sorted(one for one in stamps if trial_of(one[0]) in trial_ids), found.alive

        async def draw_trials(found: Any) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            alive, uri = found[1], self.root.uri
            yield "", await self.trial_worker.call(drawing, uri, name, given, alive=alive, address=self.address)

        return Feed(look, draw_trials, lambda: listing.pause_s)

    def listing(self, name: str) -> Listing:
        """The listing of a job."""
        if name not in self._listings:
            while len(self._listings) >= _MOST_LISTINGS:
                self._listings.pop(next(iter(self._listings)))
            self._listings[name] = Listing(self.root.child(name))
        return self._listings[name]

    def _sections(
        self, name: str, listing: Listing, wanted: Collection[str], folders: Sequence[str], rest_s: float = 0.0
    ) -> Feed:
        async def draw_sections(_found: Any) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            look = await asyncio.to_thread(listing.look)
            stamp, alive = _stamp(look, FOLDERS), look.alive  # of all that a study is read from
            for section in wanted:
                parts = await self.study_worker.call(
                    draw.section, self.root.uri, name, section, stamp, alive=alive, address=self.address
                )
                yield section, parts

        return Feed(lambda: _follows_from(listing.look(), folders), draw_sections, lambda: listing.pause_s, rest_s)


def _follows_from(look: Look, folders: Sequence[str]) -> tuple[str, bool]:
    return _stamp(look, folders), look.alive


def _stamp(look: Look, folders: Sequence[str]) -> str:
    """The state of these folders in few characters."""
    state = json.dumps([look.submission, *(sorted(look.stamps[folder].items()) for folder in folders)])
    return hashlib.blake2b(state.encode(), digest_size=16).hexdigest()


def _part(section: Section, name: str) -> Part:
    return Part(section.id, section.nav, str(html.render_section(section, job_name=name, images={})), 0)
