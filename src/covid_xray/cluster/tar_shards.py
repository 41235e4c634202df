"""A tar file in, its images out one after the other: read once from front to end, as a stream, nothing unpacked."""

import gzip
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from covid_xray.cluster.source_listing import is_image_name
from covid_xray.cluster.storage_backends import bounded, readable_name
from covid_xray.errors import BadImage, InputRefused
from covid_xray.limits import Limits

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Member:
    """One image of a shard: its name in the results, and its bytes or why they cannot be had."""

    name: str
    data: bytes
    problem: BadImage | None = None


def members(stream: BinaryIO, shard: str, *, limits: Limits) -> Iterator[Member]:
    """The images of a tar file, each once.

    A name that comes again gets #2, #3 ... behind it: tar allows that, and each is an input. What is behind damage
    cannot be had; the shard itself is then one more member that fails with the code `bad-tar`.

    Args:
        stream: read from front to end; gzip is recognised.
        shard: name of the tar file, put before those of its members.
        limits: what one file may cost.
    """
    seen: Counter[str] = Counter()
    whole = False
    try:
        tail = _Tail(_plain(stream))
        with tarfile.open(fileobj=cast(Any, tail), mode="r|") as archive:
            for info in archive:
                if info.isfile() and is_image_name(info.name):
                    seen[info.name] += 1
                    again = f"#{seen[info.name]}" if seen[info.name] > 1 else ""
                    yield _member(archive, info, f"{shard}/{readable_name(info.name)}{again}", limits)
            whole = tail.is_end(archive.offset)
    except (tarfile.TarError, EOFError, ValueError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk or the network, not the archive
            raise lost(shard) from None
    if not whole:
        problem = BadImage("expected a tar file that can be read to its end. Received: a damaged one", code="bad-tar")
        yield Member(shard, b"", problem)
    elif not seen:
        problem = BadImage("expected images in the tar file. Received: none", code="no-images")
        yield Member(shard, b"", problem)


def lost(name: str) -> InputRefused:
    """The source went away while it was being read."""
    return InputRefused(
        f"expected the source to stay until its end. Received: {name} can no longer be read; "
        "when it is back, the same command with --resume goes on",
        code="source-lost",
    )


class _Tail:
    """Passes reads on, counts the bytes and keeps the last block.

    `tarfile` takes a shard that was cut off between two members for a whole one, so its end mark is looked for here.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._total, self._last = stream, 0, b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._total += len(data)
        self._last = (self._last + data)[-BLOCK:]
        return data

    def is_end(self, offset: int) -> bool:
        """Whether a block of zeros follows the last member, which ends at `offset`."""
        while self.read(1 << 20):
            pass
        return self._total >= offset + BLOCK and not any(self._last)


def _plain(stream: BinaryIO) -> BinaryIO:
    buffered = io.BufferedReader(_Raw(stream), 1 << 20)
    return cast(BinaryIO, gzip.GzipFile(fileobj=buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered


class _Raw(io.RawIOBase):
    """Any object with `read` as something that `BufferedReader` takes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo, name: str, limits: Limits) -> Member:
    try:
        if info.size > limits.upload_bytes:
            bounded(b"x" * (limits.upload_bytes + 1), limits)
        opened = archive.extractfile(info)
        data = opened.read() if opened else b""
    except BadImage as error:
        return Member(name, b"", error)
    if len(data) != info.size:
        raise EOFError
    return Member(name, data)
