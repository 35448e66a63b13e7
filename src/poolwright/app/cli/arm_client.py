"""A small synchronous ARM client for our command line: token, requests, long-running operations.

It is configured by the environment that ``poolwright up`` writes to ``env.sh``.
"""

from __future__ import annotations

import os
import shlex
import ssl
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
from rich.console import Console

from poolwright.model.json_value import child, children

AKS_API_VERSION = "2026-08-01"
AKS_PREVIEW_API_VERSION = "2026-08-02-preview"
RESOURCES_API_VERSION = "2024-11-01"
FEATURES_API_VERSION = "2021-07-01"
COMPUTE_API_VERSION = "2024-07-01"

_TERMINAL = {"succeeded", "failed", "canceled"}


class CliError(Exception):
    """Ends the command with one line on stderr and an exit code as az's."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _error_of(answer: httpx.Response) -> CliError:
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        return CliError(f"the server answered {answer.status_code} without JSON")
    if isinstance(body.get("error"), str):  # the token endpoint's shape
        return CliError(str(body.get("error_description") or body["error"]))
    text = "\n".join(_told(child(body, "error") or body))
    # az: 3 for a resource that is not there, 1 for every other refusal
    return CliError(text, exit_code=3 if answer.status_code == 404 else 1)


def _told(error: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """An error, its target and what it is made of: the cause is often the innermost."""
    yield f"{indent}({error.get('code')}) {error.get('message')}"
    if error.get("target"):
        yield f"{indent}Target: {error['target']}"
    for detail in children(error, "details"):
        yield from _told(detail, indent + "  ")


class ArmClient:
    """Requests below one subscription of one endpoint."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        endpoint = environment.get("POOLWRIGHT_ENDPOINT")
        if not endpoint:
            raise CliError(
                "POOLWRIGHT_ENDPOINT is not set. Start a server with "
                "`poolwright up --data-dir DIR` and run `source DIR/env.sh`."
            )
        self.subscription = environment.get("AZURE_SUBSCRIPTION_ID", "")
        self._environment = environment
        bundle = environment.get("REQUESTS_CA_BUNDLE")
        try:
            context = ssl.create_default_context(cafile=bundle) if bundle else True
        except OSError as error:  # ssl.SSLError is one
            raise CliError(
                f"REQUESTS_CA_BUNDLE: {bundle} cannot be read ({error.strerror})"
            ) from error
        self._http = httpx.Client(base_url=endpoint, verify=context, timeout=60)
        self._token = ""

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _headers(self) -> dict[str, str]:
        if not self._token:
            answer = self._http.post(
                "/adfs/oauth2/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._environment.get("AZURE_CLIENT_ID", "poolwright"),
                    "client_secret": self._environment.get("AZURE_CLIENT_SECRET", ""),
                    "scope": str(self._http.base_url) + "/.default",
                },
            )
            if answer.is_error:
                raise _error_of(answer)
            self._token = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._token}"}

    def send(
        self,
        method: str,
        path: str,
        *,
        api_version: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request; an error status becomes a `CliError`. ``path`` may be a whole URL."""
        query = {"api-version": api_version, **(parameters or {})} if api_version else None
        try:
            answer = self._http.request(
                method,
                path,
                params=query,
                json=body,
                headers={**self._headers(), **(headers or {})},
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        for warning in answer.headers.get_list("warning"):
            sys.stderr.write(f"WARNING: {warning}\n")
        if answer.status_code == 429:
            time.sleep(float(answer.headers.get("retry-after", "1")))
            return self.send(
                method,
                path,
                api_version=api_version,
                body=body,
                headers=headers,
                parameters=parameters,
            )
        if answer.is_error:
            raise _error_of(answer)
        return answer

    def _unreachable(self, error: httpx.HTTPError) -> CliError:
        """What to do when nobody answers: most often the server is not running."""
        url = self._http.base_url
        folder = os.path.dirname(self._environment.get("REQUESTS_CA_BUNDLE", ""))
        is_data = os.path.exists(os.path.join(folder, "env.sh"))
        port = f" --port {url.port}" if url.port else ""
        return CliError(
            f"cannot reach {url} ({error or type(error).__name__}). If the server is not running, "
            "start it where it was: poolwright up --data-dir "
            f"{shlex.quote(folder) if folder and is_data else 'DIR'}{port}"
        )

    def get(self, path: str, *, api_version: str = AKS_API_VERSION, **query: str) -> Any:
        """The JSON at a path."""
        return self.send("GET", path, api_version=api_version, parameters=query).json()

    def pages(self, path: str, *, api_version: str = AKS_API_VERSION) -> list[Any]:
        """All items of a list, whatever pages it comes in."""
        items: list[Any] = []
        page = self.get(path, api_version=api_version)
        while True:
            items += page["value"]
            if not page.get("nextLink"):
                return items
            page = self.send("GET", page["nextLink"], api_version="").json()

    def operate(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        api_version: str = AKS_API_VERSION,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Any:
        """Start a long-running operation; with ``wait`` follow it to its end and give the
        resource as it then is (None where there is none).
        """
        answer = self.send(
            method,
            path,
            api_version=api_version,
            body=body,
            headers=headers,
            parameters=parameters,
        )
        follow = answer.headers.get("azure-asyncoperation")
        location = answer.headers.get("location")
        if not wait:
            return None
        if not follow and not (location and answer.status_code == 202):
            return answer.json() if answer.content else None
        with _progress(method, path) as show:
            self._follow(follow or str(location), answer, show)
        if method in {"PUT", "PATCH"}:
            return self.get(path, api_version=api_version)
        if location:
            final = self.send("GET", location, api_version="")
            return final.json() if final.content else None
        return None

    def _follow(self, url: str, last: httpx.Response, show: Any) -> None:
        while True:
            time.sleep(_delay(last))
            last = self.send("GET", url, api_version="")
            body: Any = last.json() if last.content else {}
            status = str(
                body.get("status") or ("InProgress" if last.status_code == 202 else "Succeeded")
            )
            if show is not None:
                show.update(status)
            if status.lower() in _TERMINAL:
                break
        if status.lower() != "succeeded":
            error = child(body, "error")
            raise CliError("\n".join(_told({"code": status, "message": "", **error})))


def _delay(answer: httpx.Response) -> float:
    milliseconds = answer.headers.get("retry-after-ms")
    if milliseconds:
        return int(milliseconds) / 1000
    return min(float(answer.headers.get("retry-after", "1")), 30.0)


@contextmanager
def _progress(method: str, path: str) -> Generator[Any]:
    """A spinner with the operation's status on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    name = path.split("?", maxsplit=1)[0].rsplit("/", 1)[-1]
    spinner = console.status(f"{method} {name}") if console.is_terminal else nullcontext()
    with spinner as shown:
        yield shown
