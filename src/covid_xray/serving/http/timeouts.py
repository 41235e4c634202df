"""Enforce body deadlines and idle timeouts, without which uvicorn waits for a slow client for ever.

The deadline of a body starts when the application begins to read it.
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
_TOO_LARGE = "The body is too large. Send single images below the limit, or several archives."
IDLE_SECONDS = 10.0  # within which a request must have begun, headers included


class BodyDeadline:
    """ASGI middleware that raises `TooSlow` and closes the connection when a body is too slow.

    It also turns Starlette's plain 413 into a problem.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], *, settings: Serving) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_batch = scope["path"].endswith("/batch")
        seconds = self.settings.batch_seconds if is_batch else self.settings.body_seconds

        async def send_checked(message: Message) -> None:
            if message["type"] == "http.response.start":
                if "covid_xray.late" in scope:
                    MutableHeaders(scope=message)["Connection"] = "close"
                if _is_plain_413(message):
                    scope["covid_xray.replaced"] = True
                    await problem(413, "too-large", _TOO_LARGE)(scope, receive, send)
            if "covid_xray.replaced" not in scope:
                await send(message)

        body = _Body(scope, receive, seconds=seconds, rate=self.settings.least_bytes_per_second)
        await self.app(scope, body.receive, send_checked)


def _is_plain_413(message: Message) -> bool:
    """Say whether Starlette refuses a body, in plain text, for its declared length."""
    content_type = MutableHeaders(scope=message).get("content-type", "")
    return bool(message["status"] == 413) and content_type.startswith("text/plain")


class _Body:
    """The body of one request.

    Args:
        seconds: within which it must arrive.
        rate: bytes that earn it another second; 0 for none. A slow line may so take its time, a stalled one not.
    """

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], *, seconds: float, rate: float
    ) -> None:
        self._scope, self._receive, self._seconds, self._rate = scope, receive, seconds, rate
        self._deadline: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        """Receive the next part of the body. Raises `TooSlow`."""
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            late = TooSlow(
                f"The upload is too slow: after {self._seconds:g} s it must keep {self._rate:g} bytes a second. "
                "Send it over a faster connection."
            )
            self._scope["covid_xray.late"] = late
            raise late from None
        self._complete = not message.get("more_body", False)
        if self._rate:
            self._deadline += len(message.get("body", b"")) / self._rate
        return message


class IdleTimeoutProtocol(H11Protocol):
    """uvicorn's protocol that also closes a connection on which no request begins for `IDLE_SECONDS`.

    A trickle of headers, or of a body that was already refused, is no request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection and begin to watch it."""
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
