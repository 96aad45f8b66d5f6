"""A kubeconfig's proxy-url: everything goes through that proxy, the watch too."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from controlplane import ControlPlane

from modelinfer_controller.kube.aiohttp_transport import connect
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.resource import SERVICES


class ConnectProxy:
    """Does CONNECT, and notes where to."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        assert method == "CONNECT"
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def test_requests_and_watches_go_through_the_proxy_of_the_kubeconfig(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    proxy = ConnectProxy()
    async with proxy.listening() as port:
        kubeconfig = yaml.safe_load(control_plane.kubeconfig.read_text())
        kubeconfig["clusters"][0]["cluster"]["proxy-url"] = f"http://127.0.0.1:{port}"
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig))
        transport = await connect(environ=os.environ, clock=SystemClock(), kubeconfig=str(path))
        client = Client(transport)
        try:
            listed = await client.list_all(SERVICES, "default")
            assert "kubernetes" in [service.metadata.name for service in listed.items]
            version = listed.metadata.resource_version
            async with client.watch(SERVICES, "default", resource_version=version, timeout_seconds=1) as stream:
                [event async for event in stream.events()]
        finally:
            await client.close()
    assert set(proxy.targets) == {control_plane.server.removeprefix("https://")}
