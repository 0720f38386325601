"""Pages of single trials, trials side by side, and SQL."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from orchestrator.server import sql as sql_module
from orchestrator.state.ledger import Status
from orchestrator.state.log import RunLog
from tests.server.conftest import TOKEN, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Storage, Viewer


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_trial_with_all_that_is_known_of_it(storage: Storage, view: Callable) -> None:
    job = storage.job()
    trial = job.trials[3]
    storage.log(job, trial, 10, 20)
    storage.end(job, trial, Status.FAILED, error="RuntimeError: out of <b>luck</b>", error_kind="program")
    for epoch in (1, 2):
        storage.store(job).write(f"samples/{trial.id}/epoch-{epoch:04}.png", png(100 * epoch))
    storage.store(job).write(f"checkpoints/{trial.id}.pt", b"not looked at")
    log = RunLog(storage.store(job))
    log.add(f"{trial.id[:8]} goes on from its last checkpoint")
    log.add("another line")
    log.end()

    async def look(viewer: Viewer) -> None:
        page = await viewer.page(f"/job/study/trial/{trial.id}")
        parts = re.findall(r'data-part="([^"]*)"', page)
        assert parts == ["now", "settings", "film-epoch", "curves", "files"]
        assert "has ended" in page
        assert "<dt>training.d_steps</dt><dd>2</dd>" in page
        assert "out of &lt;b&gt;luck&lt;/b&gt;" in page
        assert f"checkpoints/{trial.id}.pt" in page
        assert "goes on from its last checkpoint" in page
        assert "another line" not in page
        sources = re.findall(r'src="([^"]*/picture/[^"]*)"', page)
        assert len(sources) == 1
        reply = await viewer.client.get(sources[0])
        assert reply.status == 200
        assert np.asarray(Image.open(io.BytesIO(await reply.read()))).max() == 200

    view(look)


def test_a_trial_goes_from_waiting_to_its_end_while_it_is_watched(storage: Storage, view: Callable) -> None:
    job = storage.job()
    trial = job.trials[0]
    storage.run(job, {})

    async def look(viewer: Viewer) -> None:
        path = f"/job/study/trial/{trial.id}"
        events = await viewer.events(path)
        await events.until(lambda state: {"now", "settings"} <= set(versions(state)))
        assert "waits" in await (await viewer.get(f"{path}?part=now")).text()
        assert "training.d_steps" in await (await viewer.get(f"{path}?part=settings")).text()
        storage.log(job, trial, 10)
        storage.run(job, {trial.id: (10, 20)})
        await events.until(lambda state: "curves" in versions(state))
        page = await viewer.page(path)
        assert "is training" in page
        assert "10 of 20 steps" in page
        storage.log(job, trial, 10, 20)
        storage.end(job, trial)
        storage.run(job, {}, state="done")
        await events.until(lambda state: state["parts"])
        assert "has ended" in await viewer.page(path)
        events.close()

    view(look)


def test_trials_side_by_side_with_what_differs_first(storage: Storage, view: Callable) -> None:
    job = storage.job()
    first, last = job.trials[0], job.trials[3]
    for trial in (first, last):
        storage.log(job, trial, 10, 20)
        storage.end(job, trial)
        storage.store(job).write(f"samples/{trial.id}/epoch-0001.png", png(9))

    async def look(viewer: Viewer) -> None:
        page = await viewer.page(f"/job/study/compare?trial={first.id}&trial={last.id}")
        settings = page[page.index("Settings that differ") :]
        assert settings.index("training.d_steps") < settings.index("training.seed")
        assert settings.index("training.seed") < settings.index("Settings that are the same")
        assert settings.index("Settings that are the same") < settings.index("data.name")
        assert len(re.findall(r'src="([^"]*/picture/[^"]*)"', page)) == 2
        assert 'data-part="curves"' in page
        assert 'data-part="claims"' not in page

    view(look)


@pytest.mark.parametrize("chosen", [[], ["a"], ["a", "a"], [f"a{n}" for n in range(9)], ["a", "../b"]])
def test_a_choice_that_cannot_be_compared_is_told(storage: Storage, view: Callable, chosen: list[str]) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        reply = await viewer.get("/job/study/compare", params=[("trial", one) for one in chosen])
        assert "Choose 2 to 8 trials" in await reply.text()

    view(look)


def test_a_trial_that_there_is_not(storage: Storage, view: Callable) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        assert "no such trial: 0123456789abcdef" in await viewer.page("/job/study/trial/0123456789abcdef")
        for path in ("/job/study/trial/a%2Fb", "/job/study/trial/a b", "/job/a%2Fb", "/job/study/nothing", "/nothing"):
            assert (await viewer.get(path)).status == 404

    view(look)


@pytest.mark.parametrize(
    "key",
    ["job.yaml", "samples/../job.yaml", "samples/a/epoch-0001.png", "samples/a/../../job.yaml", "checkpoints/a.pt"],
)
def test_only_pictures_of_samples_can_be_asked_for(storage: Storage, view: Callable, key: str) -> None:
    storage.job()
    storage.root.child("study").write("samples/a/epoch-0001.png", b"<script>alert(1)</script>")

    async def look(viewer: Viewer) -> None:
        reply = await viewer.get(f"/job/study/picture/{key}")
        assert reply.status == 404
        assert b"script" not in await reply.read()

    view(look)


def test_sql_is_answered_within_bounds(storage: Storage, view: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    job = storage.job()
    for trial in job.trials:
        storage.log(job, trial, *range(10, 210, 10))
        storage.end(job, trial)
    monkeypatch.setattr(sql_module, "ROWS", 50)

    async def asked(viewer: Viewer, query: str) -> str:
        reply = await viewer.get("/job/study/sql", params={"q": query})
        assert reply.status == 200
        return await reply.text()

    async def look(viewer: Viewer) -> None:
        assert '<textarea id="q"' in await viewer.page("/job/study/sql")
        page = await asked(viewer, "select trial_id, max(step) as last from metrics group by all order by all")
        assert page.count("<tr>") == 1 + 4
        assert ">200</td>" in page
        page = await asked(viewer, "select * from metrics")
        assert "80 rows, the first 50 shown" in page
        assert page.count("<tr>") == 1 + 50
        for query, words in (
            ("select * from read_csv('/etc/passwd')", "disabled by configuration"),
            ("copy trials to '/tmp/out.csv'", "results are only read"),
            ("select 1; select 2", "results are only read"),
            ("select nothing from trials", "SQL: Binder Error"),
            (" ", "is empty"),
            ("x" * 10_001, ""),
        ):
            reply = await viewer.get("/job/study/sql", params={"q": query})
            shown = await reply.text()
            assert words in shown if reply.status == 200 else reply.status in (400, 414)
            assert "root:" not in shown
        text = "select '<img src=x onerror=alert(1)>' as \"<b>\""
        page = await asked(viewer, text)
        assert "<img src=x" not in page
        assert "<b>" not in page
        assert TOKEN in page

    view(look)
