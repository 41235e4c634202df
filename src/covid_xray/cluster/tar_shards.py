"""Read the images of a tar file one after the other, as a stream from front to end, without unpacking."""

import gzip
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from covid_xray.cluster.storage_backends import check_size, readable_name
from covid_xray.errors import BadImage, InputRefused
from covid_xray.images.decode import is_image_name
from covid_xray.limits import Limits

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Member:
    """One image of a shard: its name in the results, and its bytes or why they cannot be read."""

    name: str
    data: bytes
    problem: BadImage | None = None


def read_members(stream: BinaryIO, shard: str, *, limits: Limits) -> Iterator[Member]:
    """Yield the images of a tar file.

    Repeated names, which tar allows, get #2, #3 ... appended. A damaged or empty shard yields itself as a last member
    with the code `bad-tar` or `no-images`.

    Args:
        stream: read from front to end; gzip is recognised.
        shard: name of the tar file, put before those of its members.
        limits: of one file.

    Raises:
        InputRefused: `source-lost`, the stream failed.
    """
    names: Counter[str] = Counter()
    complete = False
    try:
        tail = _Tail(_uncompressed(stream))
        with tarfile.open(fileobj=cast(Any, tail), mode="r|") as archive:
            for info in archive:
                if info.isfile() and is_image_name(info.name):
                    names[info.name] += 1
                    suffix = f"#{names[info.name]}" if names[info.name] > 1 else ""
                    yield _read_member(archive, info, f"{shard}/{readable_name(info.name)}{suffix}", limits)
            complete = tail.is_end(archive.offset)
    except (tarfile.TarError, EOFError, ValueError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk or the network, not the archive
            raise source_lost(shard) from None
    if not complete:
        yield Member(shard, b"", BadImage("The tar file is damaged: it has no end.", code="bad-tar"))
    elif not names:
        yield Member(shard, b"", BadImage("No images in the tar file.", code="no-images"))


def source_lost(name: str) -> InputRefused:
    """Return the error for a source that became unreadable during the run."""
    problem = f"{name} can no longer be read. Make it available again and run the same command with --resume."
    return InputRefused(problem, code="source-lost")


class _Tail:
    """Pass reads on, count the bytes and keep the last block.

    `tarfile` accepts a shard that was cut off between two members, so the end mark is checked here.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._total, self._last = stream, 0, b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._total += len(data)
        self._last = (self._last + data)[-BLOCK:]
        return data

    def is_end(self, offset: int) -> bool:
        """Return whether a block of zeros follows the last member, which ends at `offset`."""
        while self.read(1 << 20):
            pass
        return self._total >= offset + BLOCK and not any(self._last)


def _uncompressed(stream: BinaryIO) -> BinaryIO:
    buffered = io.BufferedReader(_Raw(stream), 1 << 20)
    return cast(BinaryIO, gzip.GzipFile(fileobj=buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered


class _Raw(io.RawIOBase):
    """Adapt any object with `read` to `BufferedReader`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read_member(archive: tarfile.TarFile, info: tarfile.TarInfo, name: str, limits: Limits) -> Member:
    try:
        if info.size > limits.upload_bytes:
            check_size(b"x" * (limits.upload_bytes + 1), limits)
        opened = archive.extractfile(info)
        data = opened.read() if opened else b""
    except BadImage as error:
        return Member(name, b"", error)
    if len(data) != info.size:
        raise EOFError
    return Member(name, data)
