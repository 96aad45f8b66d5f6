"""The way from the machine's loopback to kube-apiserver: connections are passed on, byte for byte.

The listening socket is made in the machine's network namespace and inherited; this process runs in the site's, where
its own connections go out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

_CHUNK = 1 << 16


def main(listener: int, port: int) -> None:
    """Pass connections of the inherited socket `listener` on to 127.0.0.1:`port`; never returns."""
    asyncio.run(_serve(socket.socket(fileno=listener), port))


async def _serve(listener: socket.socket, port: int) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()

    server = await asyncio.start_server(pass_on, sock=listener)
    await server.serve_forever()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until one side ends, which ends the other: HTTP over TLS knows no connection that is half open."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    sink.close()
