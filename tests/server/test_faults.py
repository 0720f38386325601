"""What goes wrong while someone looks: storage, files, strangers' results, and many of everything."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from orchestrator.errors import OrchError, StorageUnavailable
from orchestrator.server import worker as worker_module
from orchestrator.server.listing import Listing
from orchestrator.server.pages import Part
from orchestrator.server.watch import Feed, Watch
from orchestrator.server.worker import Worker
from orchestrator.store.local import LocalStore
from orchestrator.store.s3 import S3Store
from tests.s3 import ENVIRONMENT, OUTAGE, bucket_behind_proxy
from tests.server.conftest import TOKEN, Storage, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.server.conftest import Viewer

HOSTILE = "<script>alert(1)</script>"


class Cut(LocalStore):
    """Storage whose network can be taken away."""

    is_down = False

    def stamps(self, folder: str) -> dict[str, str]:
        if Cut.is_down:
            raise StorageUnavailable("results: cannot list: no answer; check the mount")
        return super().stamps(folder)

    def folders(self) -> list[str]:
        if Cut.is_down:
            raise StorageUnavailable("results: cannot list: no answer; check the mount")
        return super().folders()

    def child(self, folder: str) -> LocalStore:
        return Cut(self._base, folder)


@pytest.mark.parametrize("path", ["/", "/job/study"])
def test_storage_that_loses_its_network_is_told_and_comes_back(
    storage: Storage, view: Callable, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    storage.root = Cut(storage.root._base)
    job = storage.job()
    storage.run(job, {job.trials[0].id: (5, 20)})

    async def look(viewer: Viewer) -> None:
        events = await viewer.events(path)
        before = await events.until(lambda state: state["parts"])
        monkeypatch.setattr(Cut, "is_down", True)
        down = await events.until(lambda state: state["trouble"])
        assert down["trouble"] == "results: cannot list: no answer; check the mount"
        assert set(versions(down)) >= set(versions(before))
        assert "no answer; check the mount" in await viewer.page(path)
        monkeypatch.setattr(Cut, "is_down", False)
        await events.until(lambda state: not state["trouble"])
        events.close()

    view(look)


def test_files_are_replaced_while_they_are_read(storage: Storage, view: Callable) -> None:
    job = storage.job()
    for trial in job.trials:
        storage.log(job, trial, 10)
    storage.end(job, job.trials[0])
    stop = threading.Event()

    def replace() -> None:
        count = 1
        while not stop.is_set():
            count = count % 50 + 1
            for trial in job.trials:
                storage.log(job, trial, *range(10, 10 * count + 10, 10))

    writer = threading.Thread(target=replace)

    async def look(viewer: Viewer) -> None:
        writer.start()
        try:
            paths = ["/", "/job/study", f"/job/study/trial/{job.trials[1].id}"]
            for path in paths * 2:
                page = await viewer.page(path)
                assert 'role="status" hidden></p>' in page, path
            for _ in range(3):
                reply = await viewer.get("/job/study/sql", params={"q": "select count(*) as n from metrics"})
                assert "Answer" in await reply.text()
        finally:
            stop.set()
            writer.join()

    view(look)


def test_a_strangers_results_are_shown_as_text(storage: Storage, view: Callable, tmp_path: Path) -> None:
    job = storage.job()
    trial = job.trials[0]
    storage.log(job, trial, 10)
    storage.end(job, trial, error=HOSTILE, device=HOSTILE)
    root, store = storage.root, storage.store(job)
    root.write('a"onload="x/job.yaml', HOSTILE.encode())
    root.write("<b>bold/job.yaml", b"name: x")
    store.write("run.json", b"[" * 100_000)
    store.write("run.log", HOSTILE.encode())
    store.write(f"samples/{trial.id}/epoch-0001.png", HOSTILE.encode())
    store.write("metrics/eeeeeeeeeeeeeeee.parquet", b"\x80\x04c__builtin__\neval\n.")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "job.yaml").write_text("name: secret-of-another")
    (tmp_path / "results" / "linked").symlink_to(tmp_path / "secret")

    async def look(viewer: Viewer) -> None:
        pages = [await viewer.page(path) for path in ("/", "/job/study", f"/job/study/trial/{trial.id}")]
        pages += [await viewer.page(f"/job/{name}") for name in ("%3Cb%3Ebold", "a%22onload=%22x", "linked")]
        for page in pages:
            assert HOSTILE not in page
            assert "<b>" not in page
            assert 'onload="' not in page
            assert "secret-of-another" not in page
        assert "linked" not in pages[0]
        assert "unreadable" in pages[0]
        for path in ("%2e%2e", "..%2Fsecret", "study%2F..", ".orch-tmp-x", "a%00b", "a%5Cb"):
            reply = await viewer.client.get(URL(f"/{TOKEN}/job/{path}", encoded=True))
            assert (reply.status, "secret-of-another" in await reply.text()) in ((403, False), (404, False)), path

    view(look)


class Source:
    """A feed of a test: what is found, and how often it was drawn."""

    def __init__(self) -> None:
        self.found, self.drawn = 0, 0

    async def draw(self, found: int) -> AsyncIterator[tuple[str, Sequence[Part]]]:
        self.drawn += 1
        yield "", [Part("part", "Part", f"<p>{found}</p>", 0)]

    def feed(self) -> Feed:
        return Feed(lambda: self.found, self.draw, lambda: 0.0)


def test_a_day_of_changes_leaves_nothing_behind_for_any_viewer() -> None:
    """A viewer that does not read misses changes, and has none waiting for it."""
    source = Source()

    async def main() -> None:
        watch = Watch([source.feed()])
        watch.enter()
        slow = asyncio.create_task(watch.wait(watch.changes, 120.0))
        await slow
        sizes = []
        for number in range(1, 3001):
            source.found = number
            await watch.refresh()
            if number % 500 == 0:
                sizes.append((len(watch.parts), len(watch._changed._waiters), len(asyncio.all_tasks())))
        assert watch.changes >= 3000
        assert watch.parts[0].html == "<p>3000</p>"
        assert set(sizes) == {(1, 0, sizes[0][2])}
        watch.leave()

    asyncio.run(main())


def test_what_is_drawn_while_more_changes_is_drawn_once_more_and_not_for_each() -> None:
    source = Source()

    async def main() -> None:
        watch = Watch([source.feed()])
        began, go = asyncio.Event(), asyncio.Event()
        draw = source.draw

        async def slow(found: int) -> AsyncIterator[tuple[str, Sequence[Part]]]:
            began.set()
            await go.wait()
            async for one in draw(found):
                yield one

        watch.feeds = [Feed(lambda: source.found, slow, lambda: 0.0)]
        asked = [asyncio.create_task(watch.refresh()) for _ in range(10)]
        await began.wait()
        for _ in range(100):
            source.found += 1
        go.set()
        await asyncio.gather(*asked)
        assert source.drawn <= 2
        assert watch.parts[0].html == "<p>100</p>"

    asyncio.run(main())


def test_a_defect_is_told_in_one_line_and_the_page_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()

    async def main() -> None:
        watch = Watch([source.feed()])
        await watch.refresh()
        watch.feeds = [Feed(lambda: 1 // 0, source.draw, lambda: 0.0)]
        await watch.refresh()
        assert watch.trouble.startswith("a defect of orch: ZeroDivisionError")
        assert [part.id for part in watch.parts] == ["part"]
        watch.feeds = [source.feed()]
        await watch.refresh()
        assert watch.trouble == ""

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text


def test_a_thousand_jobs_are_one_page(view: Callable, tmp_path: Path) -> None:
    for number in range(1000):
        folder = tmp_path / "results" / f"job_{number:04}"
        folder.mkdir(parents=True)
        (folder / "job.yaml").write_text("name: x")

    async def look(viewer: Viewer) -> None:
        page = await viewer.page("/")
        assert page.count("/job/job_") == 1000

    view(look)


def test_looks_of_many_viewers_are_one_look(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    job = storage.job()
    storage.log(job, job.trials[0], 10)
    asked: list[str] = []
    stamps = LocalStore.stamps

    def counted(self: LocalStore, folder: str) -> dict[str, str]:
        asked.append(folder)
        return stamps(self, folder)

    monkeypatch.setattr(LocalStore, "stamps", counted)
    listing = Listing(storage.store(job))
    monkeypatch.setattr(listing, "_pause", lambda *_: 3600.0)
    threads = [threading.Thread(target=listing.look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked) == ["evaluations", "metrics", "trials"]


@pytest.mark.slow
def test_s3_is_asked_little_and_may_go_away(view: Callable, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with bucket_behind_proxy("studies") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        storage.root = S3Store("studies", "results")  # type: ignore[assignment]
        job = storage.job()
        storage.log(job, job.trials[0], 10)
        storage.end(job, job.trials[0])
        storage.run(job, {job.trials[1].id: (5, 20)})

        async def look(viewer: Viewer) -> None:
            streams = [await viewer.events("/job/study") for _ in range(3)]
            state = await streams[0].until(lambda state: "curves" in versions(state))
            listing = viewer.server.feeds.listing("study")
            before = len(proxy.seen)
            await asyncio.to_thread(listing._look)
            assert len(proxy.seen) - before <= 4 + 4  # a look of the page's own may fall into it
            assert listing.pause_s == 2.0
            proxy.answer = lambda *_: OUTAGE[0]
            down = await streams[0].until(lambda state: state["trouble"])
            assert set(versions(down)) >= set(versions(state))
            proxy.answer = lambda *_: None
            await streams[0].until(lambda state: not state["trouble"])
            for events in streams:
                events.close()

        view(look)


def fail(kind: str) -> str:
    """What a worker of a test does."""
    if kind == "die":
        worker_module.os._exit(1)
    if kind == "refuse":
        raise StorageUnavailable("storage is down")
    return kind


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced() -> None:
    worker = Worker()

    async def main() -> None:
        assert await worker.call(fail, "well") == "well"
        with pytest.raises(OrchError, match="storage is down"):
            await worker.call(fail, "refuse")
        with pytest.raises(OrchError, match="has ended, as for want of memory"):
            await worker.call(fail, "die")
        assert await worker.call(fail, "well") == "well"
        worker.end()

    asyncio.run(main())
