"""A small storage of made-up jobs, and the server of it in this process."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from orchestrator.server.app import Server
from orchestrator.spec.job import make_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.ledger import Status, record
from orchestrator.state.process import this_process
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiohttp import ClientResponse

    from orchestrator.spec.job import Job, Trial

TOKEN = "a-token"
WAIT_S = 120
"""Against hanging alone."""


@dataclass
class Storage:
    """Writes what a run would."""

    root: LocalStore
    jobs: dict[str, Job] = field(default_factory=dict)

    def job(self, name: str = "study", **changes: Any) -> Job:
        raw = raw_job(grid={"training.d_steps": [1, 2], "training.seed": [0, 1]}, name=name, **changes)
        job = self.jobs[name] = make_job(raw, "job.yaml")
        write_job(self.root.child(name), job)
        return job

    def log(self, job: Job, trial: Trial, *steps: int, **values: float) -> None:
        """All rows of a trial, of these steps."""
        loss = {"d_loss": 1.0, "g_loss": 0.5, "d_real": 0.1, "d_fake": -0.1, "images_per_second": 100.0}
        rows = [
            {"trial_id": trial.id, "step": step, "epoch": step / 10, "health": "healthy", **loss, **values}
            for step in steps
        ]
        write_rows(self.store(job), f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)

    def end(self, job: Job, trial: Trial, status: Status = Status.FINISHED, **measured: Any) -> None:
        row = {"step": 20, "epoch": 2.0, "d_loss": 1.0, "g_loss": 0.5, "train_s": 3.0, **measured}
        record(self.store(job), job.header.name, trial, status, row, {"orch_version": "0.1.0"})

    def run(self, job: Job, running: dict[str, tuple[int, int]] | None = None, state: str = "running") -> None:
        now = time.time()
        run = RunState(state, now - 60, now, len(job.trials), running=running or {}, run_id="r", process=this_process())
        write_state(self.store(job), run)

    def store(self, job: Job) -> LocalStore:
        return self.root.child(job.header.name)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(LocalStore(tmp_path / "results"))


class Viewer:
    """A browser's part: pages, parts and events."""

    def __init__(self, client: TestClient[Any, Any], server: Server) -> None:
        self.client, self.server = client, server

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.get(f"/{TOKEN}{path}", **options)

    async def page(self, path: str) -> str:
        """A page as it stands once everything is drawn."""
        reply = await self.get(f"{path}{'&' if '?' in path else '?'}still")
        assert reply.status == 200, path
        return await reply.text()

    async def events(self, path: str) -> Events:
        return Events(await self.get(f"{path}{'&' if '?' in path else '?'}events"))


class Events:
    """The events of a page, one after the other."""

    def __init__(self, reply: ClientResponse) -> None:
        assert reply.status == 200
        self.reply = reply

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while True:
                line = (await self.reply.content.readline()).decode()
                assert line, "the stream has ended"
                if line.startswith("data: "):
                    return json.loads(line.removeprefix("data: "))

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            if holds(state := await self.next()):
                return state

    def close(self) -> None:
        self.reply.close()


def versions(state: dict[str, Any]) -> dict[str, str]:
    """The version of each part by its id."""
    return {part["id"]: part["version"] for part in state["parts"]}


@pytest.fixture
def view(storage: Storage) -> Callable[[Callable[[Viewer], Awaitable[None]]], None]:
    """Runs a test's coroutine against a server of the storage, whose work is done by a thread."""

    def view(look: Callable[[Viewer], Awaitable[None]]) -> None:
        async def main() -> None:
            with ThreadPoolExecutor(1) as executor:
                server = Server(storage.root, TOKEN, executor)
                async with TestClient(TestServer(server.app(), host="127.0.0.1")) as client:
                    await look(Viewer(client, server))

        asyncio.run(main())

    return view
