"""Who sends too slowly or too much is sent away: bodies have their time, and connections without a request soon end.

uvicorn waits for ever for either. The time of a body begins when somebody starts to read it.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from uvicorn.protocols.http.h11_impl import H11Protocol

from covid_xray.config import Serving
from covid_xray.errors import TooSlow
from covid_xray.serving.http.problems import problem

Message = MutableMapping[str, Any]
_TOO_LARGE = "expected a smaller body. Received: one over the limit of this address"
IDLE_SECONDS = 10.0  # in which a request must have begun, headers included


class Patience:
    """ASGI middleware: reading a body that is not complete in time raises `TooSlow`, and the connection is closed."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, settings: Serving) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        many = scope["path"].endswith("/batch")
        body = _Body(scope, receive, seconds=self.settings.batch_seconds if many else self.settings.body_seconds)

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                if "covid_xray.late" in scope:
                    MutableHeaders(scope=message)["Connection"] = "close"
                if _is_bare_413(message):
                    scope["covid_xray.replaced"] = True
                    await problem(413, "too-large", _TOO_LARGE)(scope, receive, send)
            if "covid_xray.replaced" not in scope:
                await send(message)

        await self.app(scope, body.receive, closing)


def _is_bare_413(message: Message) -> bool:
    """Whether Starlette refuses a body for the length that it declares, in plain text."""
    about = MutableHeaders(scope=message).get("content-type", "")
    return bool(message["status"] == 413) and about.startswith("text/plain")


class _Body:
    def __init__(self, scope: MutableMapping[str, Any], receive: Any, *, seconds: float) -> None:
        self._scope, self._receive, self._seconds = scope, receive, seconds
        self._deadline: float | None = None
        self._whole = False

    async def receive(self) -> Message:
        """The next piece of the body. Raises `TooSlow`."""
        if self._whole:
            return await self._next()
        now = asyncio.get_running_loop().time()
        self._deadline = self._deadline if self._deadline is not None else now + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._next()
        except TimeoutError:
            late = TooSlow(f"expected the whole body within {self._seconds:g} s. Received: a part of it")
            self._scope["covid_xray.late"] = late
            raise late from None
        self._whole = not message.get("more_body", False)
        return message

    async def _next(self) -> Message:
        message: Message = await self._receive()
        return message


class PatientProtocol(H11Protocol):
    """uvicorn's protocol that also closes a connection on which no request has begun for `IDLE_SECONDS`.

    A trickle of headers, or of a body that was refused already, does not count as a request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn, and begin to watch."""
        super().connection_made(transport)
        self._busy_until = self.loop.time()
        self._watch()

    def _watch(self) -> None:
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self._busy_until = now
        elif now - self._busy_until > IDLE_SECONDS:
            self.transport.close()
            return
        self.loop.call_later(1.0, self._watch)
