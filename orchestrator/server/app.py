"""The server's pages: each is sent as it is, and then kept up to date by events."""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web

from orchestrator import text
from orchestrator.errors import OrchError
from orchestrator.report import html
from orchestrator.server import draw, sql
from orchestrator.server.access import add_headers, guard
from orchestrator.server.feeds import Feeds
from orchestrator.server.pages import Address, template
from orchestrator.server.trials import MOST
from orchestrator.server.watch import Watch
from orchestrator.server.worker import Worker
from orchestrator.store.location import is_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor

    from orchestrator.server.pages import Part
    from orchestrator.server.watch import Feed
    from orchestrator.store.location import Store

MOST_VIEWERS = 200
_KEPT = 32
"""Pages that nobody looks at any more, and that are kept for who comes back."""
_AT_ONCE_S = 0.5
"""A page that takes longer is sent without its parts, which follow."""
_HEARTBEAT_S = 15.0
_GONE_S = 60.0
_REST_S = 60.0
_TRIAL = re.compile(r"[0-9a-zA-Z_]{1,64}")
_PICTURE = re.compile(r"samples/[0-9a-zA-Z_]{1,64}/(epoch|autoencoder)-[0-9]{1,9}\.png")
_ASSETS = {"live.css": "text/css", "live.js": "text/javascript"}


class Server:
    """The pages of one storage. ``executor`` takes the place of worker processes in tests."""

    def __init__(self, root: Store, token: str, executor: Executor | None = None) -> None:
        self.address = Address(f"/{token}")
        self.storage = root.uri
        # Each in a process of its own: a trial's page waits for no large study, and neither for a query.
        self.study_worker, self.trial_worker, self.sql_worker = (Worker(executor) for _ in range(3))
        self._workers = self.study_worker, self.trial_worker, self.sql_worker
        self.feeds = Feeds(root, self.address, self.study_worker, self.trial_worker)
        self.viewers = 0
        self._asking = asyncio.Lock()
        self._token = token
        self._watches: OrderedDict[tuple[str, ...], Watch] = OrderedDict()
        self._page = template("live.html")

    def app(self) -> web.Application:
        """The application, for aiohttp to run."""
        app = web.Application(middlewares=[guard(self._token)])
        base = self.address.base
        app.add_routes(
            [
                web.get(f"{base}/", self.jobs),
                web.get(f"{base}/static/{{name}}", self.static),
                web.get(f"{base}/job/{{job}}", self.job),
                web.get(f"{base}/job/{{job}}/trial/{{trial}}", self.trial),
                web.get(f"{base}/job/{{job}}/compare", self.compare),
                web.get(f"{base}/job/{{job}}/sql", self.sql),
                web.get(f"{base}/job/{{job}}/picture/{{key:.+}}", self.picture),
            ]
        )
        app.on_response_prepare.append(add_headers)
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """The list of jobs."""
        watch = self._watch(("jobs",), lambda: [self.feeds.jobs()])
        return await self._answer(request, watch, "Jobs", self.storage)

    async def job(self, request: web.Request) -> web.StreamResponse:
        """A job: its progress, and the sections of its report as they are now."""
        name = self._job(request)
        watch = self._watch(("job", name), lambda: self.feeds.job(name))
        return await self._answer(request, watch, name, "", job=name, comparing=True)

    async def trial(self, request: web.Request) -> web.StreamResponse:
        """A trial: its settings, curves, pictures over its epochs, evaluations, checkpoints and log."""
        name, trial_id = self._job(request), request.match_info["trial"]
        if not _TRIAL.fullmatch(trial_id):
            raise web.HTTPNotFound
        watch = self._watch(("trial", name, trial_id), lambda: self.feeds.trial(name, trial_id))
        return await self._answer(request, watch, f"Trial {trial_id}", "", job=name)

    async def compare(self, request: web.Request) -> web.StreamResponse:
        """Trials side by side, the settings in which they differ first."""
        name, chosen = self._job(request), list(dict.fromkeys(request.query.getall("trial", [])))
        if not 2 <= len(chosen) <= MOST or not all(map(_TRIAL.fullmatch, chosen)):
            words = f"Choose 2 to {MOST} trials in the table of trials, then compare them."
            return self._page_of("Comparison", "", name, [], words, still=True)
        watch = self._watch(("compare", name, *chosen), lambda: self.feeds.compare(name, chosen))
        return await self._answer(request, watch, "Comparison", "", job=name)

    async def sql(self, request: web.Request) -> web.StreamResponse:
        """SQL over a job's results, as `orch results --sql` answers it; one query at a time."""
        name, query = self._job(request), request.query.get("q", "")
        parts: list[Part] = []
        trouble = ""
        if query:
            if self._asking.locked():
                trouble = "Another query is at work; try again once it is answered."
            else:
                async with self._asking:
                    try:
                        parts = await self.sql_worker.call(sql.answer, self.storage, name, query)
                    except OrchError as error:
                        trouble = str(error)
        return self._page_of("SQL", "", name, parts, trouble, still=True, asked=query)

    async def picture(self, request: web.Request) -> web.Response:
        """A picture of samples; the browser may keep it, since its address names its state."""
        name, key = self._job(request), request.match_info["key"]
        if not _PICTURE.fullmatch(key):
            raise web.HTTPNotFound
        try:
            png = await self.trial_worker.call(draw.picture, self.storage, name, key)
        except OrchError:
            raise web.HTTPNotFound from None
        kept = {"Cache-Control": "private, max-age=86400"} if "v" in request.query else {}
        return web.Response(body=png, content_type="image/png", headers=kept)

    async def static(self, request: web.Request) -> web.Response:
        """Style and scripts: the report's, and what the live page adds."""
        name = request.match_info["name"]
        if name == "page.css":
            return web.Response(text=str(html.style()), content_type="text/css")
        if name in (reports := _report_scripts()):
            return web.Response(text=reports[name], content_type="text/javascript")
        if name in _ASSETS:
            return web.Response(text=_asset(name), content_type=_ASSETS[name])
        raise web.HTTPNotFound

    def _job(self, request: web.Request) -> str:
        name = request.match_info["job"]
        if "/" in name or not is_key(name):
            raise web.HTTPNotFound
        return name

    def _watch(self, key: tuple[str, ...], feeds: Callable[[], Sequence[Feed]]) -> Watch:
        """The one watch of a page, for all who look at it."""
        if key not in self._watches:
            self._watches[key] = Watch(feeds())
            for old in [one for one, watch in self._watches.items() if not watch.viewers][:-_KEPT]:
                del self._watches[old]
        self._watches.move_to_end(key)
        return self._watches[key]

    async def _answer(
        self, request: web.Request, watch: Watch, title: str, lead: str, job: str = "", *, comparing: bool = False
    ) -> web.StreamResponse:
        """A page, one of its parts, or its events, by the query of the request."""
        if "events" in request.query:
            return await self._events(request, watch)
        if wanted := request.query.get("part"):
            part = next((one for one in watch.parts if one.id == wanted), None)
            return web.Response(text=part.html, content_type="text/html") if part else web.Response(status=404)
        still = "still" in request.query
        refreshed = asyncio.create_task(watch.refresh())
        if still:
            await refreshed
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(refreshed), _AT_ONCE_S)
        return self._page_of(title, lead, job, watch.parts, watch.trouble, still=still, comparing=comparing)

    def _page_of(
        self,
        title: str,
        lead: str,
        job: str,
        parts: Sequence[Part],
        trouble: str,
        *,
        still: bool,
        comparing: bool = False,
        asked: str | None = None,
    ) -> web.Response:
        """The page around parts; ``comparing`` trials can be chosen, ``asked`` is the SQL."""
        shown = self._page.render(
            title=text.excerpt(title),
            lead=text.excerpt(lead),
            address=self.address,
            job=job,
            parts=parts,
            trouble=trouble,
            still=still,
            comparing=comparing,
            sql=asked,
            scripts=[*_report_scripts(), "live.js"],
            waiting=not parts and not trouble and not still,
        )
        return web.Response(text=shown, content_type="text/html")

    async def _events(self, request: web.Request, watch: Watch) -> web.StreamResponse:
        """Tell a viewer of each change: which parts there are, and the version of each."""
        if self.viewers >= MOST_VIEWERS:
            return web.Response(status=503)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        self.viewers += 1
        watch.enter()
        try:
            seen, told = -1, ""
            while True:
                state = _state(watch)
                line = f"data: {state}\n\n" if state != told else ": still here\n\n"
                async with asyncio.timeout(_GONE_S):
                    await response.write(line.encode())
                seen, told = watch.changes if seen < 0 else seen, state
                seen = await watch.wait(seen, _HEARTBEAT_S)
        except (ConnectionError, TimeoutError):
            return response
        finally:
            watch.leave()
            self.viewers -= 1

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        async def rest() -> None:
            while True:
                await asyncio.sleep(_REST_S)
                for worker in self._workers:
                    worker.rest()

        resting = asyncio.create_task(rest())
        yield
        resting.cancel()
        for watch in self._watches.values():
            watch.end()
        for worker in self._workers:
            worker.end()


def _state(watch: Watch) -> str:
    """A page's parts as the browser's script reads them."""
    parts = [{"id": part.id, "nav": part.nav, "version": part.version} for part in watch.parts]
    return json.dumps({"parts": parts, "trouble": watch.trouble})


def _report_scripts() -> dict[str, str]:
    return {f"page-{number}.js": str(script) for number, script in enumerate(html.scripts())}


def _asset(name: str) -> str:
    return resources.files("orchestrator.server").joinpath("web", name).read_text(encoding="utf-8")
