"""Which proxy the environment names for which server."""

import pytest

from modelinfer_controller.kube.proxy import proxy_for

SERVER = "https://api.example.com:6443"


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        (SERVER, {}, ""),
        (SERVER, {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        (SERVER, {"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        (SERVER, {"HTTPS_PROXY": "http://one", "https_proxy": "http://other"}, "http://one"),
        (SERVER, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        (SERVER, {"HTTP_PROXY": "http://proxy:3128"}, ""),
        ("http://api.example.com", {"HTTP_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://proxy:3128"}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://proxy:3128"}, ""),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://proxy:3128"}, ""),
    ],
)
def test_the_proxy_is_the_one_of_the_servers_scheme(server: str, environ: dict[str, str], proxy: str) -> None:
    assert proxy_for(server, environ) == proxy


@pytest.mark.parametrize(
    ("server", "no_proxy", "is_direct"),
    [
        (SERVER, "*", True),
        (SERVER, "api.example.com", True),
        (SERVER, "example.com", True),
        (SERVER, ".example.com", True),
        (SERVER, "*.example.com", True),
        (SERVER, "other.com, EXAMPLE.com", True),
        (SERVER, "example.com:6443", True),
        (SERVER, "example.com:443", False),
        ("https://api.example.com", "example.com:443", True),
        (SERVER, "ample.com", False),
        ("https://example.com", ".example.com", False),
        (SERVER, "other.com", False),
        ("https://10.96.0.1", "10.96.0.0/12", True),
        ("https://10.96.0.1", "10.96.0.1", True),
        ("https://10.200.0.1", "10.96.0.0/12", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[fd00::1]:6443", "[fd00::1]:443", False),
        (SERVER, "10.0.0.0/nonsense", False),
    ],
)
def test_what_no_proxy_excepts_is_reached_directly(server: str, no_proxy: str, is_direct: bool) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    assert proxy_for(server, environ) == ("" if is_direct else "http://proxy:3128")
