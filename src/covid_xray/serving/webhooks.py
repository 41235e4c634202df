"""Tell other systems of events: signed requests to the configured addresses, kept in the database until they arrive.

Signatures follow Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 of id, time and body, so that a receiver
recognises forged and repeated requests. A body holds ids and labels, never an image, a file name or clinical values.
Redirects are not followed, and no request can add an address.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from covid_xray.connections import Webhook
from covid_xray.errors import CovidXrayError
from covid_xray.store import tables
from covid_xray.store.database import Database
from covid_xray.store.records import new_id, now

_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0  # until the next try
_TRIES = 30  # about a day
_AT_ONCE = 16
_REQUEST_SECONDS = 10.0
_POLL_SECONDS = 1.0
_PREFIX = "whsec_"
_LOG = logging.getLogger("covid_xray.serving")


class Webhooks:
    """Sends events to the targets of one server. Thread-safe but `work`.

    Args:
        database: of the store.
        targets: addresses with their secrets and events.
    """

    def __init__(self, database: Database, targets: Sequence[Webhook]) -> None:
        self._database, self._targets = database, {target.url: target for target in targets}

    def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Record an event for every target that wants it. When the database cannot take it, it is lost and logged."""
        body = json.dumps({"type": event, "timestamp": now().isoformat(), "data": data})
        time, targets = now(), [it for it in self._targets.values() if event in it.events]
        rows = [{"id": new_id(), "url": it.url, "body": body, "tries": 0, "due": time} for it in targets]
        if not rows:
            return
        try:
            with self._database.writing() as connection:
                connection.execute(sa.insert(tables.webhooks), rows)
        except CovidXrayError as error:  # what the event is about has been stored: the request itself succeeded
            _LOG.warning("a webhook of %s is lost: %s", event, error.code)

    def waiting(self) -> int:
        """Count the requests that have not arrived."""
        with contextlib.suppress(CovidXrayError), self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(tables.webhooks)).scalar_one())
        return 0

    async def work(self) -> None:
        """Send what is due, for ever."""
        if not self._targets:
            return
        import httpx2

        async with httpx2.AsyncClient(timeout=_REQUEST_SECONDS, follow_redirects=False) as client:
            while True:
                rows = []
                with contextlib.suppress(CovidXrayError):  # of the database: tried again
                    rows = await asyncio.to_thread(self._due)
                    await asyncio.gather(*(self._send(client, row) for row in rows))
                if not rows:
                    await asyncio.sleep(_POLL_SECONDS)

    async def _send(self, client: Any, row: sa.Row[Any]) -> None:
        import httpx2

        target = self._targets.get(row.url)
        if target is None:  # no longer configured
            await asyncio.to_thread(self._forget, row.id)
            return
        headers = sign(target.secret.get_secret_value(), row.id, int(now().timestamp()), row.body)
        try:
            answer = await client.post(row.url, content=row.body, headers=headers)
            arrived = bool(answer.is_success)
        except httpx2.HTTPError:
            arrived = False
        await asyncio.to_thread(self._forget if arrived else self._postpone, row.id)

    def _due(self) -> list[sa.Row[Any]]:
        columns = tables.webhooks.c
        query = sa.select(tables.webhooks).where(columns.due <= now()).order_by(columns.due, columns.id).limit(_AT_ONCE)
        with self._database.reading() as connection:
            return list(connection.execute(query).all())

    def _forget(self, identity: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.webhooks).where(tables.webhooks.c.id == identity))

    def _postpone(self, identity: str) -> None:
        where = tables.webhooks.c.id == identity
        with self._database.writing() as connection:
            tries = connection.execute(sa.select(tables.webhooks.c.tries).where(where)).scalar_one() + 1
            if tries >= _TRIES:
                _LOG.warning("a webhook did not arrive within %d tries and is given up", tries)
                connection.execute(sa.delete(tables.webhooks).where(where))
                return
            due = now() + timedelta(seconds=min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** (tries - 1)))
            connection.execute(sa.update(tables.webhooks).where(where).values(tries=tries, due=due))


def sign(secret: str, identity: str, timestamp: int, body: str) -> dict[str, str]:
    """Build the headers of a request; the secret is `whsec_` and base64, as the specification has it, or any text."""
    key = b64decode(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else secret.encode()
    signature = hmac.new(key, f"{identity}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
