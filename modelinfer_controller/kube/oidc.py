"""Renewing an OIDC id token, as kubeconfig's `auth-provider: oidc` describes it."""

import base64
import binascii
import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote_plus as quote

import aiohttp
import msgspec
from kubernetes.aio.config import ConfigException

EXPIRY_MARGIN = timedelta(minutes=2)
TIMEOUT = aiohttp.ClientTimeout(total=30)


class _Claims(msgspec.Struct):
    exp: float = 0


class _Discovery(msgspec.Struct):
    token_endpoint: str


class _Tokens(msgspec.Struct):
    id_token: str
    refresh_token: str = ""


def is_expired(id_token: str, now: datetime) -> bool:
    """Whether the token is missing, malformed or about to expire; one without an expiry is good."""
    try:
        _, payload, _ = id_token.split(".")
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return True
    return claims.exp > 0 and claims.exp <= (now + EXPIRY_MARGIN).timestamp()


async def refreshed_tokens(settings: Mapping[str, str]) -> dict[str, str]:
    """New `id-token` and `refresh-token` settings from the identity provider. Raises ConfigException."""
    for needed in ("refresh-token", "idp-issuer-url", "client-id"):
        if not settings.get(needed):
            raise ConfigException(f"oidc: the id token is expired and cannot be renewed without {needed}; log in again")
    try:
        tokens = await _ask(settings)
    except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
        raise ConfigException(f"oidc: {settings['idp-issuer-url']} did not renew the id token: {error}") from error
    return {"id-token": tokens.id_token, "refresh-token": tokens.refresh_token or settings["refresh-token"]}


async def _ask(settings: Mapping[str, str]) -> _Tokens:
    issuer = settings["idp-issuer-url"].rstrip("/")
    form = {"grant_type": "refresh_token", "refresh_token": settings["refresh-token"]}
    login = f"{quote(settings['client-id'])}:{quote(settings.get('client-secret', ''))}"  # escaped as RFC 6749 2.3.1
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    connector = aiohttp.TCPConnector(ssl=_tls(settings))
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True, timeout=TIMEOUT) as session:
        async with session.get(f"{issuer}/.well-known/openid-configuration") as response:
            discovery = msgspec.json.decode(await response.read(), type=_Discovery)
        async with session.post(discovery.token_endpoint, data=form, headers=headers) as response:
            return msgspec.json.decode(await response.read(), type=_Tokens)


def _tls(settings: Mapping[str, str]) -> ssl.SSLContext:
    data = settings.get("idp-certificate-authority-data")
    if data:
        return ssl.create_default_context(cadata=base64.b64decode(data).decode())
    return ssl.create_default_context(cafile=settings.get("idp-certificate-authority"))
