"""A transport for one question: plain HTTP of the standard library, for kubeconfigs that need nothing but a file.

Loading the full client costs more time than reading a thousand pods. Whatever this does not understand for certain
(plugins, identity providers, proxies) is left to the full client.
"""

import asyncio
import base64
import http.client
import os
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from modelinfer_controller.kube.transport import Request, Response, StreamResponse, TransportError
from modelinfer_controller.kubectl.model.kubeconfig import Entry, Kubeconfig

CLUSTER_KEYS = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "extensions",
}
USER_KEYS = {
    "token",
    "tokenFile",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "as",
    "as-uid",
    "as-groups",
    "extensions",
}
PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def stdlib_transport(config: Kubeconfig, environ: Mapping[str, str], user_agent: str) -> "StdlibTransport | None":
    """None where the configuration asks for more than this can do, or is not whole."""
    cluster, user = config.cluster, config.user
    if cluster is None or user is None or any(environ.get(variable) for variable in PROXY_VARIABLES):
        return None
    if not (cluster.keys() <= CLUSTER_KEYS and user.keys() <= USER_KEYS and cluster.get("server")):
        return None
    try:
        return StdlibTransport(str(cluster["server"]), _tls(cluster, user), _token(user), user_agent)
    except (OSError, ValueError, ssl.SSLError):
        return None  # the full client tells what is wrong with it


def _content(entry: Entry, key: str) -> bytes | None:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"], validate=True)
    return Path(str(entry[key])).read_bytes() if entry.get(key) else None


def _token(user: Entry) -> str | None:
    if user.get("tokenFile"):
        return Path(str(user["tokenFile"])).read_text(encoding="utf-8").strip()
    return str(user["token"]).strip() if user.get("token") else None


def _tls(cluster: Entry, user: Entry) -> ssl.SSLContext | None:
    """None for plain HTTP."""
    if urlsplit(str(cluster["server"])).scheme != "https":
        return None
    authority = _content(cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority is not None else None)
    # Cluster authorities are commonly made without the extensions that the strict check demands; Go does not ask.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
    if certificate is not None and key is not None:
        _load(tls, certificate, key)
    return tls


def _load(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """The ssl module reads keys from files alone: one that is private, and gone again at once."""
    handle, path = tempfile.mkstemp(prefix="modelinfer-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate + b"\n" + key)
        tls.load_cert_chain(path)
    finally:
        os.unlink(path)


class StdlibTransport:
    """Implements `kube.transport.Transport` without streams: each request is one of a thread."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, token: str | None, user_agent: str) -> None:
        self._server = urlsplit(server.rstrip("/"))
        self._tls = tls
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False

    async def request(self, request: Request) -> Response:
        return await asyncio.to_thread(self._exchange, request)

    def _exchange(self, request: Request) -> Response:
        query = f"?{urlencode(request.query)}" if request.query else ""
        connection = self._idle.pop() if self._idle else self._connection(request.timeout)
        try:
            connection.putrequest(request.method, f"{self._server.path}{request.path}{query}")
            for name, value in (*{**self._headers, **request.headers}.items(), *request.more_headers):
                connection.putheader(name, value)
            if request.body is not None:
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise TransportError(f"{request.method} {self._server.geturl()}{request.path}: {error}") from error
        self._idle.append(connection)
        if self._is_closed:  # meanwhile: another request has failed, and nobody waits for this one
            self._close_idle()
        return Response(answer.status, body, {name.lower(): value for name, value in answer.getheaders()})

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        host, port = self._server.hostname or "", self._server.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        # One request and its answer is all that this is for: `access.connected(follows=True)` gives the other.
        raise NotImplementedError("whoever follows the cluster uses the full client")

    async def close(self) -> None:
        self._is_closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
