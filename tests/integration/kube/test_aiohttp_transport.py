"""The aiohttp transport against a local HTTP server: tokens, TLS, streams, and what breaks below HTTP."""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from modelinfer_controller.app.leader_guard import LeaderOnlyTransport
from modelinfer_controller.kube.aiohttp_transport import AiohttpTransport, connect
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.config import ConfigError
from modelinfer_controller.kube.transport import Request, TransportError

# A self-signed certificate of 127.0.0.1 that is its own authority; its key is in the repository, and good for nothing.
CERTIFICATE = Path(__file__).with_name("loopback.pem")
KEY = Path(__file__).with_name("loopback.key.pem")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, server: str, user: dict[str, Any], **cluster: Any) -> str:
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "one",
                "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [
                    {"name": "one", "context": {"cluster": "c", "user": "u"}},
                    {"name": "two", "context": {"cluster": "c", "user": "nobody"}},
                ],
            }
        )
    )
    return str(path)


@asynccontextmanager
async def connected(path: str, context: str | None = None) -> AsyncIterator[AiohttpTransport]:
    transport = await connect(environ={}, clock=SystemClock(), kubeconfig=path, context=context, user_agent="test")
    try:
        yield transport
    finally:
        await transport.close()


async def show_authorization(request: web.Request) -> web.Response:
    return web.Response(text=request.headers.get("Authorization", ""))


async def test_an_exchange_carries_everything_over(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        seen = {
            "method": request.method,
            "path": request.path_qs,
            "type": request.headers["Content-Type"],
            "agent": request.headers["User-Agent"],
            "body": await request.text(),
        }
        return web.json_response(seen, status=201, headers={"X-Thing": "y"})

    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, {"token": "t"})) as transport:
        query = {"labelSelector": "a=b,c in (d)"}
        request = Request("POST", "/api/v1/pods", query, {"Content-Type": "application/json"}, b"{}", timeout=5)
        response = await transport.request(request)
    assert response.status == 201
    assert response.headers["x-thing"] == "y"
    assert json.loads(response.body) == {
        "method": "POST",
        "path": "/api/v1/pods?labelSelector=a%3Db%2Cc+in+%28d%29",
        "type": "application/json",
        "agent": "test",
        "body": "{}",
    }


async def test_a_token_file_loses_its_newline_and_is_read_again_after_a_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    valid = "Bearer old"

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers["Authorization"] == valid else 401)

    async with (
        serving(answer) as server,
        connected(kubeconfig(tmp_path, server, {"tokenFile": str(token)})) as transport,
    ):
        get = Request("GET", "/version", timeout=5)
        assert (await transport.request(get)).status == 200
        valid = "Bearer new"
        token.write_text("new\n")
        statuses = await asyncio.gather(*(transport.request(get) for _ in range(10)))
        assert {response.status for response in statuses} == {200}
        token.unlink()
        assert (await transport.request(get)).status == 200


async def test_without_other_credentials_a_401_is_handed_on(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=401)

    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, {"token": "t"})) as transport:
        assert (await transport.request(Request("GET", "/version", timeout=5))).status == 401


async def test_an_exec_plugin_is_run_again_when_its_token_expires_or_is_refused(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(runs)!r})\n"
        "count = len(runs.read_text()) if runs.exists() else 0\n"
        "runs.write_text('x' * (count + 1))\n"
        "status = {'token': f't{count}', 'expirationTimestamp': " + repr(soon) + "}\n"
        "api = 'client.authentication.k8s.io/v1'\n"
        "print(json.dumps({'apiVersion': api, 'kind': 'ExecCredential', 'status': status}))\n"
    )
    api_version = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": api_version, "command": sys.executable, "args": [str(plugin)]}}
    valid = "Bearer t0"

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers["Authorization"] == valid else 401)

    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, user)) as transport:
        get = Request("GET", "/version", timeout=5)
        assert (await transport.request(get)).status == 200
        valid = "Bearer t1"
        statuses = await asyncio.gather(*(transport.request(get) for _ in range(10)))
        assert {response.status for response in statuses} == {200}
    assert len(runs.read_text()) == 2


async def test_a_failing_exec_plugin_says_why(tmp_path: Path) -> None:
    script = "import sys; sys.exit('please log in')"
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", script]}
    }
    with pytest.raises(ConfigError, match="please log in"):
        async with connected(kubeconfig(tmp_path, "http://127.0.0.1:1", user)):
            pass


async def test_an_expired_oidc_token_is_renewed_and_kept(tmp_path: Path) -> None:
    def id_token(expires: datetime) -> str:
        claims = base64.urlsafe_b64encode(json.dumps({"exp": expires.timestamp()}).encode()).decode().rstrip("=")
        return f"e30.{claims}.c2ln"

    old, new = (id_token(datetime.now(UTC) + timedelta(hours=hours)) for hours in (-1, 1))
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response({"token_endpoint": f"http://{request.host}/token"})
            case "/token":
                form = {key: str(value) for key, value in (await request.post()).items()}
                asked.append({**form, "login": request.headers["Authorization"]})
                return web.json_response({"id_token": new, "refresh_token": "r2"})
        return await show_authorization(request)

    async with serving(answer) as server:
        settings = {
            "idp-issuer-url": server,
            "client-id": "c",
            "client-secret": "s",
            "id-token": old,
            "refresh-token": "r1",
        }
        path = kubeconfig(tmp_path, server, {"auth-provider": {"name": "oidc", "config": settings}})
        for _ in range(2):  # the second time with what the first has written to the file
            async with connected(path) as transport:
                assert (await transport.request(Request("GET", "/", timeout=5))).body == f"Bearer {new}".encode()
    assert asked == [{"grant_type": "refresh_token", "refresh_token": "r1", "login": "Basic Yzpz"}]
    written = await asyncio.to_thread(Path(path).read_text)
    assert yaml.safe_load(written)["users"][0]["user"]["auth-provider"]["config"] == {
        **settings,
        "id-token": new,
        "refresh-token": "r2",
    }


async def test_basic_authentication(tmp_path: Path) -> None:
    user = {"username": "u", "password": "p"}
    async with serving(show_authorization) as server, connected(kubeconfig(tmp_path, server, user)) as transport:
        assert (await transport.request(Request("GET", "/", timeout=5))).body == b"Basic dTpw"


async def test_a_context_by_name_and_without_a_user(tmp_path: Path) -> None:
    async with serving(show_authorization) as server, connected(kubeconfig(tmp_path, server, {}), "two") as transport:
        assert (await transport.request(Request("GET", "/", timeout=5))).body == b""


async def test_what_is_wrong_with_the_configuration_is_said(tmp_path: Path) -> None:
    async def error(path: str, context: str | None = None, environ: dict[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            await connect(environ=environ or {}, clock=SystemClock(), kubeconfig=path, context=context)
        return str(caught.value)

    good = kubeconfig(tmp_path, "http://127.0.0.1:1", {})
    assert "no context 'x'; there are: one, two" in await error(good, "x")
    assert f"no kubeconfig at {tmp_path}/none" in await error(f"{tmp_path}/none")
    broken = tmp_path / "broken"
    for text in ("{", "", "[]", "contexts: 3", "contexts: [{name: a}]\ncurrent-context: a", "current-context: z"):
        broken.write_text(text)
        assert str(broken) in await error(str(broken)) or "Invalid kube-config" in await error(str(broken))
    with pytest.raises(ConfigError, match="service account"):
        await connect(environ={}, clock=SystemClock(), in_cluster=True)


async def test_tls_is_verified_and_presents_the_client_certificate(tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CERTIFICATE)
    tls.load_cert_chain(CERTIFICATE, KEY)
    tls.verify_mode = ssl.CERT_REQUIRED
    user = {"client-certificate": str(CERTIFICATE), "client-key": str(KEY)}
    get = Request("GET", "/", timeout=5)
    async with serving(show_authorization, tls) as server:
        authority = str(CERTIFICATE)
        async with connected(kubeconfig(tmp_path, server, user, **{"certificate-authority": authority})) as transport:
            assert (await transport.request(get)).status == 200
        async with connected(kubeconfig(tmp_path, server, user)) as transport:
            with pytest.raises(TransportError, match="certificate"):
                await transport.request(get)
        async with connected(kubeconfig(tmp_path, server, user, **{"insecure-skip-tls-verify": True})) as transport:
            assert (await transport.request(get)).status == 200


async def test_an_exec_plugin_may_give_a_client_certificate(tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CERTIFICATE)
    tls.load_cert_chain(CERTIFICATE, KEY)
    tls.verify_mode = ssl.CERT_REQUIRED
    api_version = "client.authentication.k8s.io/v1"
    script = (
        "import json, pathlib, sys\n"
        "certificate, key = (pathlib.Path(path).read_text() for path in sys.argv[1:])\n"
        "status = {'clientCertificateData': certificate, 'clientKeyData': key}\n"
        f"print(json.dumps({{'apiVersion': {api_version!r}, 'kind': 'ExecCredential', 'status': status}}))\n"
    )
    arguments = ["-c", script, str(CERTIFICATE), str(KEY)]
    user = {"exec": {"apiVersion": api_version, "command": sys.executable, "args": arguments}}
    async with serving(show_authorization, tls) as server:
        path = kubeconfig(tmp_path, server, user, **{"certificate-authority": str(CERTIFICATE)})
        async with connected(path) as transport:
            assert (await transport.request(Request("GET", "/", timeout=5))).status == 200


async def test_a_stream_is_read_line_by_line_whatever_the_chunks(tmp_path: Path) -> None:
    long = b"x" * 3_000_000

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in (b"a\nb", b"b\n\ncc", b"c\n", long, long + b"\nend"):
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response

    async with (
        serving(answer) as server,
        connected(kubeconfig(tmp_path, server, {})) as transport,
        transport.stream(Request("GET", "/", timeout=5)) as stream,
    ):
        assert stream.status == 200
        assert [line async for line in stream.lines()] == [b"a", b"bb", b"", b"ccc", long + long, b"end"]


async def test_leaving_a_stream_closes_its_connection(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"tick\n")
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, {})) as transport:
        async with transport.stream(Request("GET", "/", timeout=5)) as stream:
            async for line in stream.lines():
                assert line == b"tick"
                break
        async with asyncio.timeout(5):
            await closed.wait()


async def test_what_fails_below_http_is_a_transport_error(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/reset":
                assert request.transport
                request.transport.abort()
            case "/slow":
                await asyncio.sleep(0.3)
            case "/broken":
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"line\npart")
                assert request.transport
                request.transport.abort()
        return web.Response()

    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, {})) as transport:
        with pytest.raises(TransportError):
            await transport.request(Request("POST", "/reset", timeout=5))
        with pytest.raises(TransportError, match="timed out"):
            await transport.request(Request("GET", "/slow", timeout=0.05))
        with pytest.raises(TransportError, match="timed out"):
            async with transport.stream(Request("GET", "/slow", timeout=0.05)):
                pass
        with pytest.raises(TransportError):
            async with transport.stream(Request("GET", "/broken", timeout=5)) as stream:
                [line async for line in stream.lines()]
    async with connected(kubeconfig(tmp_path, server, {})) as transport:
        with pytest.raises(TransportError):
            await transport.request(Request("GET", "/", timeout=5))


@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_write_that_may_not_be_sent_any_more_when_it_leaves_does_not(
    tmp_path: Path, is_connected: bool
) -> None:
    """A process may be stopped for longer than its lease between the look at the clock and the socket."""
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(text="{}")

    looks = iter([True, False])
    async with serving(answer) as server, connected(kubeconfig(tmp_path, server, {})) as transport:
        if is_connected:
            await transport.request(Request("GET", "/api"))
            bodies.clear()
        guarded = LeaderOnlyTransport(transport, lambda: next(looks))
        with pytest.raises(TransportError, match="POST /api/v1/pods"):
            await guarded.request(Request("POST", "/api/v1/pods", body=b'{"kind": "Pod"}'))
        await transport.request(Request("GET", "/api"))
    assert bodies == [b""]
