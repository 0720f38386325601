"""Pages that follow what is in storage, for one viewer or many."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.server import draw
from tests.server.conftest import TOKEN, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.server.conftest import Storage, Viewer


def test_the_jobs_of_a_storage_with_their_states(storage: Storage, view: Callable) -> None:
    at_work, done, new = storage.job("at_work"), storage.job("done"), storage.job("new")
    storage.run(at_work, {at_work.trials[0].id: (5, 20)})
    storage.end(done, done.trials[0])
    storage.run(done, state="done")
    storage.root.write("no_job/notes.txt", b"nothing to see")

    async def look(viewer: Viewer) -> None:
        page = await viewer.page("/")
        rows = [f'href="/{TOKEN}/job/{job.header.name}"' for job in (at_work, done, new)]
        places = [page.index(row) for row in rows]
        assert places == sorted(places)
        assert "no_job" not in page
        for words in ("running", "0 of 4 ended", "no run known", "1 ended"):
            assert words in page
        events = await viewer.events("/")
        before = versions(await events.next())
        storage.run(at_work, state="cancelled")
        assert versions(await events.until(lambda state: versions(state) != before))
        assert "cancelled" in await viewer.page("/")
        events.close()

    view(look)


def test_rows_show_in_the_page_of_a_running_job(storage: Storage, view: Callable) -> None:
    job = storage.job()
    first, second, *_ = job.trials
    storage.run(job, {second.id: (10, 20)})

    async def look(viewer: Viewer) -> None:
        events = await viewer.events("/job/study")
        state = await events.until(lambda state: "progress" in versions(state))
        assert set(versions(state)) == {"progress"}
        storage.log(job, second, 10)
        state = await events.until(lambda state: "curves" in versions(state))
        page = await viewer.page("/job/study")
        assert f'href="/{TOKEN}/job/study/trial/{second.id}"' in page
        assert "running" in page
        before = versions(state)["curves"]
        storage.log(job, second, 10, 20)
        await events.until(lambda state: versions(state)["curves"] != before)
        assert f'id="trial-{first.id}"' not in await (await viewer.get("/job/study?part=trials")).text()
        storage.log(job, first, 10, 20)
        storage.end(job, first)
        while f'id="trial-{first.id}"' not in await (await viewer.get("/job/study?part=trials")).text():
            await events.next()
        assert (await viewer.get("/job/study?part=nothing")).status == 404
        events.close()

    view(look)


def test_two_viewers_share_what_is_drawn(storage: Storage, view: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    job = storage.job()
    storage.log(job, job.trials[0], 10)
    storage.end(job, job.trials[0])
    loads = []
    load = draw.load_study

    def counted(*given: object, **named: object) -> object:
        loads.append(1)
        return load(*given, **named)

    monkeypatch.setattr(draw, "load_study", counted)
    draw._kept.clear()

    async def look(viewer: Viewer) -> None:
        streams = [await viewer.events("/job/study") for _ in range(5)]
        for events in streams:
            await events.until(lambda state: {"curves", "trials", "run"} <= set(versions(state)))
        await asyncio.gather(*(viewer.page("/job/study") for _ in range(5)))
        assert len(loads) == 1
        for events in streams:
            events.close()

    view(look)


def test_a_job_that_is_deleted_while_it_is_watched_says_so_and_comes_back(
    storage: Storage, view: Callable, tmp_path: Path
) -> None:
    job = storage.job()
    storage.log(job, job.trials[0], 10)
    storage.end(job, job.trials[0])
    folder = Path(storage.root.uri) / "study"

    async def look(viewer: Viewer) -> None:
        events = await viewer.events("/job/study")
        drawn = await events.until(lambda state: "curves" in versions(state))
        assert drawn["trouble"] == ""
        shutil.move(folder, tmp_path / "away")
        gone = await events.until(lambda state: state["trouble"])
        assert "study" in gone["trouble"]
        assert versions(gone)["curves"]
        shutil.move(tmp_path / "away", folder)
        await events.until(lambda state: not state["trouble"])
        events.close()

    view(look)


def test_a_page_that_nobody_looks_at_costs_nothing(storage: Storage, view: Callable) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        events = await viewer.events("/job/study")
        await events.next()
        watch = viewer.server._watches["job", "study"]
        assert (watch.viewers, bool(watch._tasks)) == (1, True)
        events.close()
        for _ in range(1200):
            if not watch.viewers:
                break
            storage.run(storage.jobs["study"])  # a write to a viewer that has gone tells that it has
            await asyncio.sleep(0.1)
        assert (watch.viewers, viewer.server.viewers, watch._tasks) == (0, 0, [])

    view(look)
