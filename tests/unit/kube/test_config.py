"""Credentials that change while the process runs, in virtual time."""

import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from kubernetes.aio.client import Configuration

from modelinfer_controller.kube.config import (
    TOKEN_REREAD_INTERVAL,
    ConfigError,
    Credentials,
    Loaded,
    is_in_cluster,
    load_config,
    service_account,
)
from modelinfer_controller.kube.oidc import is_expired, refreshed_tokens
from modelinfer_controller.simulator.virtual_time import VirtualClock

AUTHORITY = Path(__file__).with_name("authority.pem")
IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the kubelet mounts into a pod."""
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.read_bytes())
    (tmp_path / "token").write_text("first\n")
    return tmp_path


async def pod_credentials(folder: Path) -> Credentials:
    source = service_account(IN_A_POD, folder)
    return Credentials(await source(), source)


async def authorization(credentials: Credentials) -> str | None:
    return (await credentials.access()).authorization


async def test_a_service_account_token_is_read_again_as_it_rotates(folder: Path) -> None:
    credentials = await pod_credentials(folder)
    before = await credentials.access()
    assert before.authorization == "Bearer first"
    (folder / "token").write_text("second\n")
    await asyncio.sleep(TOKEN_REREAD_INTERVAL - 1)
    assert await credentials.access() is before
    await asyncio.sleep(2)
    after = await credentials.access()
    assert after.authorization == "Bearer second"
    assert after.tls is before.tls  # connections stay


@pytest.mark.parametrize("content", [None, ""])
async def test_while_the_token_is_missing_the_old_one_stays(
    folder: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = await pod_credentials(folder)
    (folder / "token").unlink()
    if content is not None:
        (folder / "token").write_text(content)
    await asyncio.sleep(TOKEN_REREAD_INTERVAL + 1)
    assert await authorization(credentials) == "Bearer first"
    (folder / "token").write_text("second")
    await asyncio.sleep(11)
    assert await authorization(credentials) == "Bearer second"
    shown = capsys.readouterr().out
    assert "not renewed" in shown
    assert "first" not in shown


async def test_a_401_reads_the_token_at_once_and_a_hopeless_one_not_each_time(folder: Path) -> None:
    loads = 0
    read = service_account(IN_A_POD, folder)

    async def counted() -> Loaded:
        nonlocal loads
        loads += 1
        await asyncio.sleep(1)
        return await read()

    credentials = Credentials(await read(), counted)
    rejected = await credentials.access()
    (folder / "token").write_text("second")
    assert all(await asyncio.gather(*(credentials.refresh(rejected) for _ in range(5))))
    assert loads == 1
    rejected = await credentials.access()
    assert rejected.authorization == "Bearer second"
    for _ in range(5):
        assert not await credentials.refresh(rejected)
    assert loads == 1
    await asyncio.sleep(11)
    assert not await credentials.refresh(rejected)
    assert loads == 2


async def test_a_renewal_that_hangs_ends_and_a_closed_one_leaves_no_task(folder: Path) -> None:
    async def hang() -> Loaded:
        await asyncio.sleep(10_000)
        raise AssertionError

    credentials = Credentials(await service_account(IN_A_POD, folder)(), hang)
    rejected = await credentials.access()
    started = asyncio.get_running_loop().time()
    assert not await credentials.refresh(rejected)
    assert asyncio.get_running_loop().time() - started == pytest.approx(60)
    await asyncio.sleep(100)
    waiting = asyncio.create_task(credentials.refresh(rejected))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await credentials.close()


async def test_a_renewal_that_a_library_breaks_off_leaves_the_old_credentials(folder: Path) -> None:
    loaded = await service_account(IN_A_POD, folder)()

    async def source() -> Loaded:
        raise asyncio.CancelledError

    credentials = Credentials(loaded, source)
    await asyncio.sleep(TOKEN_REREAD_INTERVAL)
    assert await authorization(credentials) == "Bearer first"
    await credentials.close()


async def test_outside_a_pod_it_is_said(clock: VirtualClock, folder: Path) -> None:
    assert not is_in_cluster({})
    with pytest.raises(ConfigError, match="not inside a pod"):
        await load_config(environ={}, clock=clock, kubeconfig=None, context=None, in_cluster=True)
    (folder / "ca.crt").write_text("")
    with pytest.raises(ConfigError, match="not inside a pod"):
        await service_account(IN_A_POD, folder)()


async def test_the_environment_names_the_kubeconfig(clock: VirtualClock, tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(ConfigError, match=missing):
        await load_config(environ={"KUBECONFIG": missing}, clock=clock, kubeconfig=None, context=None, in_cluster=False)


def id_token(clock: VirtualClock, lifetime: timedelta | None) -> str:
    claims: dict[str, object] = {"sub": "ü?>~" * 5}  # in base64url with - and _
    if lifetime is not None:
        claims["exp"] = (clock.now() + lifetime).timestamp()
    payload = base64.urlsafe_b64encode(json.dumps(claims, ensure_ascii=False).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


async def test_when_an_id_token_has_expired(clock: VirtualClock) -> None:
    assert not is_expired(id_token(clock, timedelta(hours=1)), clock.now())
    assert not is_expired(id_token(clock, None), clock.now())
    assert is_expired(id_token(clock, timedelta(minutes=1)), clock.now())
    assert is_expired(id_token(clock, timedelta(hours=-1)), clock.now())
    for malformed in ("", "a.b", "a.!.c", "a.e30", "a.bm90IGpzb24.c"):
        assert is_expired(malformed, clock.now())


async def test_what_an_oidc_renewal_needs_is_named() -> None:
    with pytest.raises(Exception, match=r"refresh-token; log in again"):
        await refreshed_tokens({"idp-issuer-url": "https://issuer", "client-id": "c"})


async def test_credentials_without_an_end_are_loaded_once() -> None:
    configuration = Configuration()
    configuration.host = "http://127.0.0.1"
    configuration.api_key["BearerToken"] = "Bearer t"

    async def never() -> Loaded:
        raise AssertionError

    credentials = Credentials(Loaded(configuration, None), never)
    await asyncio.sleep(1e6)
    assert await authorization(credentials) == "Bearer t"


KUBECONFIG = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


def kubeconfig(folder: Path, **cluster: str) -> str:
    path = folder / "kubeconfig"
    clusters = [{"name": "c", "cluster": {"server": "https://api.example.com", **cluster}}]
    path.write_text(json.dumps({**KUBECONFIG, "clusters": clusters}))
    return str(path)


async def test_a_proxy_of_the_kubeconfig_comes_before_the_environments(clock: VirtualClock, tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://theirs"}
    for cluster, expected in (({"proxy-url": "http://ours"}, "http://ours"), ({}, "http://theirs")):
        path = kubeconfig(tmp_path, **cluster)
        loaded = await load_config(environ=environ, clock=clock, kubeconfig=path, context=None, in_cluster=False)
        assert loaded.proxy == expected


async def test_a_proxy_of_another_kind_is_refused_without_its_password(clock: VirtualClock, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, **{"proxy-url": "socks5://user:secret@proxy"})
    with pytest.raises(ConfigError, match="proxy is socks5://") as refused:
        await load_config(environ={}, clock=clock, kubeconfig=path, context=None, in_cluster=False)
    assert "secret" not in str(refused.value)
