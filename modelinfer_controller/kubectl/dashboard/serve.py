"""The verb `dashboard`."""

import asyncio
import os

from aiohttp import web

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.dashboard.api import DashboardApi
from modelinfer_controller.kubectl.dashboard.feed import feeding
from modelinfer_controller.kubectl.dashboard.guard import new_token
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.follow import following_all
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, failure
from modelinfer_controller.kubectl.render.output import say

HOST = "127.0.0.1"  # nobody else's machine, whatever the network
CLOSE_TIMEOUT = 0.5  # seconds that open pages are given at the end


async def serve_dashboard(flags: ClusterFlags, *, all_namespaces: bool, port: int) -> None:
    """Until Ctrl-C. port: 0 for any that is free. Raises Exit where it cannot be listened on."""
    namespace = None if all_namespaces else namespace_of(flags, os.environ)
    clock, token = SystemClock(), new_token()
    title = f"namespace {namespace}" if namespace is not None else "all namespaces"
    async with (
        connected(flags, os.environ, follows=True) as client,
        following_all(client, namespace, clock) as follower,
        feeding(follower, clock) as feed,
    ):
        application = DashboardApi(feed, client, flags, title).application(token)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT)
        await runner.setup()
        try:
            await _listen(runner, port)
            say(f"the dashboard of {title}, for you alone, until Ctrl-C:\n{_address(runner)}/#token={token}\n")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        raise failure(f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}") from error


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
