"""HTTP servers of the process itself: metrics and probes, each where its setting says."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.app.probes import Probe
from modelinfer_controller.app.scrape_authorization import ScrapeAuthorizer, Verdict
from modelinfer_controller.exits import Exit, ExitCode

NOWHERE = "0"
CLOSE_TIMEOUT = 1.0  # what a scrape under way is given at the end

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SecureMetrics:
    """Metrics over TLS, for whom the API server lets have them."""

    address: str
    tls: ssl.SSLContext
    authorizer: ScrapeAuthorizer


class Servers:
    """Implements `manager.Runnable`. Two addresses that are the same become one server."""

    def __init__(
        self,
        *,
        metrics_address: str,
        metrics: Metrics,
        probe_address: str,
        probes: Mapping[str, Probe],
        secure: SecureMetrics | None = None,
    ) -> None:
        self._routes: dict[str, list[tuple[str, Handler]]] = {}
        self._tls: dict[str, ssl.SSLContext] = {}
        self._add(metrics_address, "/metrics", _metrics_handler(metrics))
        if secure is not None:
            self._add(secure.address, "/metrics", _authorized(_metrics_handler(metrics), secure.authorizer))
            self._tls[secure.address] = secure.tls
        for path, probe in probes.items():
            self._add(probe_address, path, _probe_handler(probe))
        self._runners: list[web.AppRunner] = []

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports listened on, in the order of the addresses; of use where port 0 let the system choose."""
        return tuple(address[1] for runner in self._runners for address in runner.addresses)

    async def start(self) -> None:
        """Raises Exit when an address cannot be listened on."""
        for address, routes in self._routes.items():
            application = web.Application()
            for path, handler in routes:
                application.router.add_get(path, handler)
            runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT)
            self._runners.append(runner)
            await runner.setup()
            host, _, port = address.rpartition(":")
            try:
                tls = self._tls.get(address)
                await web.TCPSite(runner, host.strip("[]") or None, int(port), ssl_context=tls).start()
            except OSError as error:
                raise Exit(ExitCode.USAGE, f"cannot listen on {address}: {error.strerror or error}") from error

    async def stop(self) -> None:
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()

    def _add(self, address: str, path: str, handler: Handler) -> None:
        if address != NOWHERE:
            self._routes.setdefault(address, []).append((path, handler))


def _metrics_handler(metrics: Metrics) -> Handler:
    async def scrape(request: web.Request) -> web.StreamResponse:
        body, content_type = await metrics.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return scrape


def _authorized(handler: Handler, authorizer: ScrapeAuthorizer) -> Handler:
    async def ask_first(request: web.Request) -> web.StreamResponse:
        verdict = await authorizer.verdict(request.headers.get("Authorization", ""))
        if verdict is Verdict.ALLOWED:
            return await handler(request)
        headers = {"WWW-Authenticate": "Bearer"} if verdict is Verdict.UNAUTHENTICATED else {}
        return web.Response(status=verdict, text=f"{verdict.name.lower()}\n", headers=headers)

    return ask_first


def _probe_handler(probe: Probe) -> Handler:
    async def ask(_: web.Request) -> web.StreamResponse:
        status, text = probe.answer()
        return web.Response(status=status, text=text)

    return ask
