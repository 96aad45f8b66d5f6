"""A headless browser, driven over its DevTools protocol: opens a page, runs expressions in it, and takes pictures."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from chromium import Chromium

FLAGS = (
    "--headless",
    "--no-sandbox",  # root's, in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing but this machine can be reached
)
START = 60.0  # seconds; a cold start on a loaded machine


class Page:
    """requests: every address that it asked for. problems: exceptions, and errors of the console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._sent = 0
        self.requests: list[str] = []
        self.problems: list[str] = []

    async def receive(self) -> None:
        """Until the connection ends."""
        async for message in self._socket:
            content = json.loads(message.data)
            if (waiting := self._waiting.pop(content.get("id", -1), None)) is not None:
                waiting.set_result(content)
            self._note(content.get("method", ""), content.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])

    async def command(self, method: str, **params: Any) -> Any:
        self._sent += 1
        answer = asyncio.get_running_loop().create_future()
        self._waiting[self._sent] = answer
        await self._socket.send_json({"id": self._sent, "method": method, "params": params})
        async with asyncio.timeout(START):
            content = await answer
        assert "error" not in content, content
        return content["result"]

    async def open(self, address: str) -> None:
        await self.command("Page.navigate", url=address)

    async def evaluate(self, expression: str) -> Any:
        found = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str, seconds: float = 60.0) -> Any:
        """What it becomes, as soon as that is true. The page's text is in the error where it does not."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if found := await self.evaluate(expression):
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{expression} is not true of: {await self.text()} {self.problems}") from None

    async def text(self) -> str:
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def resize(self, width: int, height: int, *, is_dark: bool = False) -> None:
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """PNG of the whole page, down to twice what is in view."""
        size = await self.evaluate("[innerWidth, Math.min(document.documentElement.scrollHeight, 2 * innerHeight)]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        found = await self.command("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])


@asynccontextmanager
async def browsing(chromium: Chromium) -> AsyncIterator[Page]:
    """A page of a browser of its own, which ends with the context."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            chromium.program,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            env={**os.environ, **chromium.environment, "HOME": profile},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile), process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    target = next(one for one in await answer.json() if one["type"] == "page")
                async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    receiving = asyncio.create_task(page.receive(), name="DevTools")
                    for domain in ("Page", "Runtime", "Network", "Log"):
                        await page.command(f"{domain}.enable")
                    try:
                        yield page
                    finally:
                        receiving.cancel()
                        await asyncio.gather(receiving, return_exceptions=True)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _port(profile: Path, process: asyncio.subprocess.Process) -> int:
    """The port that the browser chose, as it says in its profile."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(START):
        while not (file.exists() and file.read_text().strip()):
            assert process.returncode is None, f"the browser ended with code {process.returncode}"
            await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])
