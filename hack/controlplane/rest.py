"""A small client of the API server: JSON over one HTTPS connection."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class RestError(Exception):
    """The server refused; `status` is the HTTP status, the message is the server's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class RestClient:
    """Sends requests one after the other. Not for use by several threads."""

    def __init__(self, server: str, authority: Path, token: str) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = http.client.HTTPSConnection(urlsplit(server).netloc, context=context, timeout=10)
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "hack-cluster", "Accept": "application/json"}

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(self.request("POST", path, json.dumps(body).encode()))

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def request(self, method: str, path: str, body: bytes | None = None, media_type: str = "application/json") -> bytes:
        """The answer's body. Raises RestError, or OSError or HTTPException when the server is not there."""
        try:
            self._connection.request(method, path, body, self._headers | {"Content-Type": media_type})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status >= 400:
            raise RestError(answer.status, content.decode(errors="replace"))
        return content

    def close(self) -> None:
        self._connection.close()
