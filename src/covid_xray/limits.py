"""Define the limits for untrusted files. A plain dataclass, since importing pydantic costs a quarter of a second."""

from dataclasses import dataclass

MiB = 1 << 20
GiB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """Largest (and smallest) accepted values."""

    upload_bytes: int = 20 * MiB
    pixels: int = 40_000_000
    side: int = 8192  # rows, columns
    frames: int = 1
    min_bits: int = 8
    max_bits: int = 16
    decode_seconds: float = 5.0
    decode_bytes: int = GiB
    zip_entries: int = 1000
    zip_bytes: int = 500 * MiB
    zip_ratio: float = 100.0
    queue: int = 256
    concurrency: int = 64
