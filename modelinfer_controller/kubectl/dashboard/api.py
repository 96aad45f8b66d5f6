"""The dashboard's API: the verbs' documents, the plan of a posted manifest, and streams of server-sent events."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kubectl.dashboard.documents import (
    encoded,
    live_documents,
    timeline,
    without_time,
)
from modelinfer_controller.kubectl.dashboard.feed import Feed
from modelinfer_controller.kubectl.dashboard.guard import guard, secure
from modelinfer_controller.kubectl.model.diagnostics import read_diagnostics
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.model.forecast import Forecasts
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.manifest import manifests_of
from modelinfer_controller.kubectl.render.event_timeline import timeline_plot
from modelinfer_controller.kubectl.verbs.plan import plan_of_manifest

PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/views.js": "views.js"}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
LARGEST_MANIFEST = 1 << 20  # bytes
KEEP_ALIVE = 15.0  # seconds without a change, after which the stream says that it is still there
ONE = "/api/namespaces/{namespace}/modelinfers/{name}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardApi:
    """Handlers over one feed. title: what the page says of the cluster."""

    def __init__(self, feed: Feed, client: Client, flags: ClusterFlags, title: str) -> None:
        self._feed = feed
        self._client = client
        self._flags = flags
        self._title = title

    def application(self, token: str) -> web.Application:
        application = web.Application(middlewares=[guard(token), _failures], client_max_size=LARGEST_MANIFEST)
        application.on_response_prepare.append(secure)
        for path, name in FILES.items():
            application.router.add_get(path, _file(PAGE / name))
        application.router.add_get("/api/about", self._about)
        application.router.add_get("/api/fleet", self._fleet)
        application.router.add_get("/api/watch", self._watch_fleet)
        application.router.add_get(ONE + "/watch", self._watch_one)
        application.router.add_get(ONE + "/events", self._events)
        application.router.add_get(ONE + "/events.svg", self._plot)
        application.router.add_get(ONE + "/{kind:tree|explain|rollout|history}", self._document)
        application.router.add_post("/api/plan", self._plan)
        return application

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response({"title": self._title})

    async def _fleet(self, request: web.Request) -> web.Response:
        return _answer("ModelInferStatusList", self._feed.fleet())

    async def _document(self, request: web.Request) -> web.Response:
        snapshot = self._feed.snapshot(_key(request))
        kinds = {"tree": "Tree", "explain": "Explanation", "rollout": "RolloutStatus", "history": "History"}
        kind = kinds[request.match_info["kind"]]
        documents = dict(live_documents(snapshot, await read_diagnostics(self._client, snapshot)))
        return _answer(kind, documents[kind])

    async def _events(self, request: web.Request) -> web.Response:
        return _answer("EventTimeline", await timeline(self._client, self._feed.snapshot(_key(request))))

    async def _plot(self, request: web.Request) -> web.Response:
        drawn = timeline_plot(await timeline(self._client, self._feed.snapshot(_key(request))))
        return web.Response(text=drawn, content_type="image/svg+xml")

    async def _plan(self, request: web.Request) -> web.Response:
        """Reads the cluster as `plan -f` does, and writes nothing."""
        found = list(manifests_of("the manifest", await request.text()))
        if not found:
            raise web.HTTPBadRequest(text="there is no ModelInfer in it\n")
        forecasts = [await plan_of_manifest(self._client, self._flags, manifest) for manifest in found]
        return _answer("PlanList", Forecasts(tuple(forecasts)))

    # -- streams -------------------------------------------------------------------------------------------------------

    async def _watch_fleet(self, request: web.Request) -> web.StreamResponse:
        async def documents() -> list[tuple[str, Document]]:
            return [("ModelInferStatusList", self._feed.fleet())]

        return await self._stream(request, documents)

    async def _watch_one(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)

        async def documents() -> list[tuple[str, Document]]:
            snapshot = self._feed.snapshot(key)
            return list(live_documents(snapshot, await read_diagnostics(self._client, snapshot)))

        return await self._stream(request, documents)

    async def _stream(
        self, request: web.Request, documents: Callable[[], Awaitable[list[tuple[str, Document]]]]
    ) -> web.StreamResponse:
        """An event for each document that differs from the last one of its kind; its name is the kind.

        The event Gone, with a sentence, is the last one where there is no such ModelInfer any more.
        """
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        last: dict[str, object] = {}
        try:
            while True:
                for kind, document in await documents():
                    text = encoded(kind, document)
                    if (content := without_time(text)) != last.get(kind):
                        last[kind] = content
                        await _send(response, kind, text)
                if not await self._feed.wait(KEEP_ALIVE):
                    await response.write(b": still here\n\n")
        except Exit as end:
            await _send(response, "Gone", json.dumps({"message": str(end)}))
        except (ApiError, ConnectionResetError):
            pass  # the page connects again
        return response


async def _send(response: web.StreamResponse, event: str, content: str) -> None:
    await response.write(f"event: {event}\ndata: {content}\n\n".encode())


def _key(request: web.Request) -> ObjectName:
    return ObjectName(request.match_info["namespace"], request.match_info["name"])


def _answer(kind: str, document: Document) -> web.Response:
    return web.Response(text=encoded(kind, document), content_type="application/json")


def _file(path: Path) -> Handler:
    content = path.read_text(encoding="utf-8")

    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=content, content_type=TYPES[path.suffix], charset="utf-8")

    return serve


@web.middleware
async def _failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a verb would end with is one line of text here too."""
    try:
        return await handler(request)
    except Exit as end:
        raise web.HTTPUnprocessableEntity(text=f"{end}\n") from end
    except ApiError as error:
        raise web.HTTPBadGateway(text=f"{error}\n") from error
