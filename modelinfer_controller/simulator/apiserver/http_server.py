"""The embedded API server over HTTP on loopback, for kubectl and for clients in other processes.

Plain HTTP without authentication: it serves a model of a cluster, never a real one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from modelinfer_controller.kube.transport import Request
from modelinfer_controller.simulator.apiserver.api_server import ApiServer, error_response, is_watch
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.objects import Object, encode

_HOST = "127.0.0.1"
_LARGEST_BODY = 3 * 1024 * 1024  # bytes, as kube-apiserver has it
_LONGEST_STOP = 0.1  # seconds that open watches get when the server stops


@asynccontextmanager
async def serve_http(api: ApiServer, *, port: int = 0) -> AsyncIterator[str]:
    """Serves on loopback while the context is open; port 0 is any free one. Gives the server's URL."""
    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_route("*", "/{path:.*}", _Handler(api).handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_LONGEST_STOP, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, port)
        await site.start()
        yield f"http://{_HOST}:{runner.addresses[0][1]}"
    finally:
        api.watches.end_all()
        await runner.cleanup()


def kubeconfig(url: str) -> str:
    """A kubeconfig for the server, as JSON, which is YAML too."""
    name = "simulated"
    config: Object = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return msgspec.json.format(encode(config), indent=2).decode() + "\n"


class _Handler:
    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def handle(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(
            incoming.method,
            incoming.path,
            dict(incoming.query),
            {name.lower(): value for name, value in incoming.headers.items()},
            await incoming.read() or None,
        )
        if is_watch(request):
            return await self._watch(incoming, request)
        response = self._api.handle(request)
        return web.Response(status=response.status, body=response.body, headers=dict(response.headers))

    async def _watch(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        try:
            watch = self._api.watch(request)
        except StatusError as error:
            response = error_response(error)
            return web.Response(status=response.status, body=response.body, headers=dict(response.headers))
        stream = web.StreamResponse(headers={"content-type": "application/json"})
        try:
            await stream.prepare(incoming)
            async for line in watch.lines():
                await stream.write(line + b"\n")
            await stream.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self._api.close(watch)
        return stream
