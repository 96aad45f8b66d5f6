"""The proxy that the environment names, by the rules of Go's net/http, which kubectl follows."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def proxy_for(server: str, environ: Mapping[str, str]) -> str:
    """The proxy's URL for requests to that URL, or "" for none.

    HTTPS_PROXY or HTTP_PROXY by the server's scheme, NO_PROXY for exceptions, each in capitals or not. NO_PROXY holds,
    separated by commas: "*"; a domain, which stands for its subdomains too; one with a leading dot, for these alone;
    an address; a network as address/length; each but the last with a :port if only that is meant. Loopback needs none.
    """
    url = urlsplit(server)
    proxy = _value(environ, f"{url.scheme}_proxy")
    host = url.hostname or ""
    port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
    if not proxy or _is_loopback(host) or _is_excepted(host, port, _value(environ, "no_proxy")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_excepted(host: str, port: int, exceptions: str) -> bool:
    return any(_covers(one.strip().lower(), host, port) for one in exceptions.split(",") if one.strip())


def _covers(exception: str, host: str, port: int) -> bool:
    if exception == "*":
        return True
    if "/" in exception:
        return _is_in_network(host, exception)
    name, _, number = (
        exception.rpartition(":") if exception.count(":") == 1 or "]:" in exception else (exception, "", "")
    )
    if number and number != str(port):
        return False
    name = name.strip("[]").removeprefix("*")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
