"""One partition of inputs in, its finished files as bytes out. What every worker runs, on one machine or on many.

Files are read ahead by threads, since that is waiting; decoding (in a child process under limits, for nobody vouches
for a million files) and the network take turns on one core. So a worker is one core, and workers add up.
"""

import collections
import itertools
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from covid_xray.bundle.bundle import Bundle
from covid_xray.cluster.parquet_rows import Row, encode
from covid_xray.cluster.plan import Part
from covid_xray.cluster.source_listing import Entry
from covid_xray.cluster.storage_backends import Place, open_place
from covid_xray.cluster.tar_shards import Member, lost, members
from covid_xray.errors import BadImage
from covid_xray.files import sha256_bytes
from covid_xray.inference.finding import Failure, Finding
from covid_xray.inference.heatmap_files import write_heatmap
from covid_xray.inference.io.inputs import Item, open_source
from covid_xray.inference.predictor import BATCH, Predictor
from covid_xray.inference.view import View
from covid_xray.limits import Limits

READERS = 8  # files under way from a slow store
PATIENCE = 12  # times the limit of decoding, for the second try of a file that took too long
GONE = ("missing-file", "unreadable-file")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Work:
    """What all partitions of one run have in common.

    Args:
        bundle: that answers.
        place: address of the folder that the inputs are below.
        heatmap: also draw a picture for each answered input.
        limits: what a file may cost.
    """

    bundle: Bundle
    place: str
    heatmap: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Done:
    """One finished partition.

    Args:
        number: of the partition.
        files: kind (answers, seconds, quarantine) -> Parquet bytes.
        pictures: file name -> PNG bytes.
        entries, size: of the partition: how many of the plan, and their bytes.
    """

    number: int
    files: dict[str, bytes]
    pictures: dict[str, bytes]
    entries: int
    size: int


@dataclass(frozen=True)
class Chunk:
    """The answers of one batch of inputs, in their order, and their pictures."""

    rows: tuple[Row, ...]
    pictures: dict[str, bytes]


@dataclass(frozen=True, eq=False)
class _Seen:
    """One input after decoding: what the network sees, or why not."""

    member: Member
    view: View | BadImage
    sha256: str | None
    seconds: float


class Scorer:
    """Answers partitions with one ONNX session of one thread. Raises `BadBundle` as `Predictor`."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.predictor = Predictor(work.bundle, threads=1, limits=work.limits, untrusted=True)
        self.place: Place = open_place(work.place)

    def score(self, part: Part) -> Done:
        """The finished partition. Raises `InputRefused` (`source-lost`) when the source went away."""
        return self.finished(part, self.chunks(part))

    def finished(self, part: Part, chunks: Iterable[Chunk]) -> Done:
        """The partition made of its chunks."""
        rows: list[Row] = []
        pictures: dict[str, bytes] = {}
        for chunk in chunks:
            rows += chunk.rows
            pictures |= chunk.pictures
        predictor = self.predictor
        files = encode(rows, partition=part.number, identity=predictor.identity, classes=predictor.classes)
        return Done(part.number, files, pictures, len(part.entries), sum(entry.size for entry in part.entries))

    def chunks(
        self,
        part: Part,
        *,
        begin: int = 0,
        alone: Container[int] = (),
        given_up: Container[str] = (),
        note: Callable[[str], None] = lambda name: None,
    ) -> Iterator[Chunk]:
        """The answers in batches that are the same in every run.

        Args:
            part: the inputs.
            begin: chunks before this one are passed over.
            alone: numbers of chunks whose inputs are answered one by one.
            given_up: names that are not tried again: they fail.
            note: called with each name before its input is decoded, and with "" before the network runs on a batch.
        """
        inputs = iter(self._members(part))
        for number in itertools.count():
            chunk = list(itertools.islice(inputs, BATCH))
            if not chunk:
                return
            if number < begin:
                continue
            groups = [[one] for one in chunk] if number in alone else [chunk]
            rows: tuple[Row, ...] = ()
            pictures: dict[str, bytes] = {}
            for group in groups:
                seen = []
                for member, seconds in group:
                    if member.name not in given_up:
                        note(member.name)
                    seen.append(self._see(member, seconds, given_up))
                if number not in alone:
                    note("")
                answered = self._answered(seen)
                rows, pictures = rows + answered.rows, pictures | answered.pictures
            yield Chunk(rows, pictures)

    def _members(self, part: Part) -> Iterator[tuple[Member, float]]:
        """Every input with its bytes, and the seconds that reading them took."""
        for is_shard, group in itertools.groupby(part.entries, lambda entry: entry.shard):
            if is_shard:
                for entry in group:
                    yield from self._shard(entry)
            else:
                yield from ahead(self._fetch, group)

    def _shard(self, entry: Entry) -> Iterator[tuple[Member, float]]:
        try:
            stream = self.place.stream(entry.path)
        except (OSError, ValueError):
            if entry.size or not self.place.is_alive():  # it was there when the source was listed
                raise lost(entry.name) from None
            yield (
                Member(entry.name, b"", BadImage("expected the file that was named. Received: none", code=GONE[0])),
                0.0,
            )
            return
        with stream:
            began = time.perf_counter()
            for member in members(stream, entry.name, limits=self.work.limits):
                yield member, time.perf_counter() - began
                began = time.perf_counter()

    def _fetch(self, entry: Entry) -> tuple[Member, float]:
        began = time.perf_counter()
        try:
            if entry.problem:
                raise BadImage("expected a file name in the image column. Received: an empty cell", code=entry.problem)
            member = Member(entry.name, self.place.read(entry.path, limits=self.work.limits))
        except BadImage as error:
            if error.code in GONE and not self.place.is_alive():
                raise lost(entry.name) from None
            member = Member(entry.name, b"", error)
        return member, time.perf_counter() - began

    def _see(self, member: Member, seconds: float, given_up: Container[str]) -> _Seen:
        began = time.perf_counter()
        view: View | BadImage
        sha256 = None
        try:
            if member.name in given_up:
                Item(member.name, Path(member.name), problem="gave-up").read(self.work.limits)  # raises
            if member.problem:
                raise member.problem
            sha256 = sha256_bytes(member.data)
            view = self._view(member.data)
        except BadImage as error:
            view = error
        return _Seen(member, view, sha256, seconds + time.perf_counter() - began)

    def _view(self, data: bytes) -> View:
        """What the network sees; a file that took too long has a second, longer try.

        The limit is one of the clock, and a machine on which a hundred processes wait is no fault of the file.
        """
        try:
            return self.predictor.view(data)
        except BadImage as error:
            if error.code != "decode-timeout":
                raise
        limits = replace(self.work.limits, decode_seconds=PATIENCE * self.work.limits.decode_seconds)
        return self.predictor.view(open_source(data, limits=limits, untrusted=True))

    def _answered(self, seen: list[_Seen]) -> Chunk:
        names = [one.member.name for one in seen if isinstance(one.view, View)]
        views = [one.view for one in seen if isinstance(one.view, View)]
        began = time.perf_counter()
        findings = iter(self.predictor.answers(names, views, class_maps=self.work.heatmap) if views else ())
        each = (time.perf_counter() - began) / max(1, len(views))
        rows: list[Row] = []
        pictures: dict[str, bytes] = {}
        for one in seen:
            member = one.member
            if isinstance(one.view, BadImage):
                rows.append(Row(Failure(member.name, one.view.code, one.view.message), one.sha256, one.seconds))
                continue
            finding = next(findings)
            rows.append(Row(finding, one.sha256, one.seconds + each))
            if self.work.heatmap:
                pictures |= self._picture(finding, member.data)
        return Chunk(tuple(rows), pictures)

    def _picture(self, finding: Finding, data: bytes) -> dict[str, bytes]:
        try:
            radiograph = open_source(data, limits=self.work.limits, untrusted=True)
        except BadImage:  # it was decoded a moment ago; a child that was killed costs the picture, not the answer
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = write_heatmap(finding, radiograph, Path(folder), shown=None, limits=self.work.limits)
            return {path.name: path.read_bytes()}


def ahead(function: Callable[[Entry], T], entries: Iterable[Entry]) -> Iterator[T]:
    """`map` in order by `READERS` threads, with at most twice as many results waiting."""
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    waiting: collections.deque[Future[T]] = collections.deque()
    try:
        for entry in entries:
            waiting.append(pool.submit(function, entry))
            if len(waiting) >= 2 * READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
