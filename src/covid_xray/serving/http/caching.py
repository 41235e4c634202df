"""Let a browser keep pictures, but ask each time whether they may still be shown."""

from collections.abc import Callable

from fastapi import Request, Response

from covid_xray.files import sha256_bytes

_KEPT = "private, no-cache"  # kept by this browser only; it asks before each use, so that log-out and deletion count


def cached(request: Request, draw: Callable[[], bytes], *facts: object) -> Response:
    """Return a PNG, or 304 where the browser has it.

    Args:
        request: with `If-None-Match`, if the browser kept the picture.
        draw: makes the picture when it is needed.
        facts: what the picture depends on: the study, which never changes its image, and the parameters.
    """
    tag = f'"{sha256_bytes(repr(facts).encode())[:32]}"'
    headers = {"ETag": tag, "Cache-Control": _KEPT}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(draw(), media_type="image/png", headers=headers)
