"""Define the limits for untrusted files. A plain dataclass, since importing pydantic costs a quarter of a second.

Every default can be set for one program: `covid-xray --limit pixels=60000000 ...`, `limits.pixels` in the settings of
the server and of the DICOM node, or `COVID_XRAY_LIMITS=pixels=60000000,upload_bytes=130000000` for all of them.
"""

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from covid_xray.errors import UsageError, did_you_mean

MiB = 1 << 20
GiB = 1 << 30
VARIABLE = "COVID_XRAY_LIMITS"
_WORD = 2  # bytes of a 16-bit pixel


def _limit(name: str, default: float) -> Any:
    return field(default_factory=lambda: _of_environment(os.environ.get(VARIABLE, "")).get(name, default))


@dataclass(frozen=True)
class Limits:
    """Largest (and smallest) accepted values. An uncompressed plate of 35 x 43 cm at 0.1 mm has 30 MB."""

    upload_bytes: int = _limit("upload_bytes", 100 * MiB)
    pixels: int = _limit("pixels", 40_000_000)
    side: int = _limit("side", 8192)  # rows, columns
    frames: int = _limit("frames", 1)
    min_bits: int = _limit("min_bits", 8)
    max_bits: int = _limit("max_bits", 16)
    decode_seconds: float = _limit("decode_seconds", 5.0)
    decode_bytes: int = _limit("decode_bytes", GiB)
    zip_entries: int = _limit("zip_entries", 1000)
    zip_bytes: int = _limit("zip_bytes", 2 * GiB)
    zip_ratio: float = _limit("zip_ratio", 100.0)
    queue: int = _limit("queue", 256)
    concurrency: int = _limit("concurrency", 64)

    def require_agreement(self) -> "Limits":
        """Return these limits if they agree with each other. Raises `UsageError`."""
        for each in fields(self):
            if getattr(self, each.name) <= 0:
                raise UsageError(f"Not a valid limit: {each.name}={getattr(self, each.name)}. Give more than 0.")
        if self.pixels * _WORD > self.upload_bytes:
            raise UsageError(
                f"The limits contradict each other: {self.pixels:,} pixels of 16 bits are {self.pixels * _WORD:,} "
                f"bytes, more than a file may have ({self.upload_bytes:,}). Set upload_bytes and pixels together."
            )
        if self.upload_bytes > self.zip_bytes:
            raise UsageError(
                f"The limits contradict each other: a file may have {self.upload_bytes:,} bytes, a whole archive "
                f"{self.zip_bytes:,}. Set upload_bytes and zip_bytes together."
            )
        return self


def parse_limits(settings: Iterable[str]) -> dict[str, float]:
    """Parse limits written as `name=value`. Raises `UsageError`."""
    values: dict[str, float] = {}
    for setting in settings:
        name, _, text = (part.strip() for part in setting.partition("="))
        known = {each.name: each.type for each in fields(Limits)}
        if name not in known:
            raise UsageError(f"No such limit: {name}. The limits are {', '.join(known)}.{did_you_mean(name, known)}")
        try:
            values[name] = float(text) if known[name] in (float, "float") else int(text)
        except ValueError:
            raise UsageError(f"Not a valid limit: {setting}. Give a number, as pixels=60000000.") from None
    return values


def set_limits(settings: Iterable[str]) -> None:
    """Make `name=value` the defaults of this process and its children. Raises `UsageError`."""
    values = {**_of_environment(os.environ.get(VARIABLE, "")), **parse_limits(settings)}
    text = ",".join(f"{name}={value}" for name, value in values.items())
    if text:
        os.environ[VARIABLE] = text
        Limits().require_agreement()


@functools.lru_cache(maxsize=8)
def _of_environment(text: str) -> dict[str, float]:
    return parse_limits(part for part in text.split(",") if part.strip())
