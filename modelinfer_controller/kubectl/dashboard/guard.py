"""Who may ask: this machine, by a loopback name, with the token that was printed; and what a browser may do with it."""

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API = "/api/"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    return secrets.token_urlsafe(32)


def guard(token: str) -> Middleware:
    """A middleware. A name that some other site made point here is refused, and so is whoever lacks the token."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host.rpartition(":")[0] not in LOOPBACK:
            raise web.HTTPForbidden(text="the dashboard answers to a loopback address alone\n")
        if request.path.startswith(API) and not _has_token(request, token):
            raise web.HTTPUnauthorized(text="the token is missing: open the address that the command printed\n")
        return await handler(request)

    return check


def _has_token(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return scheme == "Bearer" and secrets.compare_digest(given.encode(), token.encode())


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """On every response, those of errors included."""
    response.headers.update(SECURITY_HEADERS)
