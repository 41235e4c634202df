"""Score one partition of inputs with one core: threads read ahead, decoding and the network take turns."""

import collections
import itertools
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from covid_xray.bundle.bundle import Bundle
from covid_xray.cluster.parquet_rows import Row, encode_partition
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.source_listing import Entry
from covid_xray.cluster.storage_backends import Storage, missing_file, open_storage
from covid_xray.cluster.tar_shards import Member, read_members, source_lost
from covid_xray.errors import BadImage
from covid_xray.files import sha256_bytes
from covid_xray.inference.drift.reference import Reference, observe
from covid_xray.inference.finding import Failure, Finding
from covid_xray.inference.heatmap_files import write_heatmap
from covid_xray.inference.io.inputs import Item, open_source
from covid_xray.inference.predictor import BATCH, Predictor
from covid_xray.inference.site.site_file import Site
from covid_xray.inference.view import View
from covid_xray.limits import Limits

READERS = 8  # files read at the same time
RETRY_FACTOR = 12  # times the time limit of decoding, for the second try of a slow file
WATCHED = 32  # inputs of a partition that are kept for drift monitoring
LOST_CODES = ("missing-file", "unreadable-file")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ScoringSetup:
    """What all partitions of one run have in common."""

    bundle: Bundle | Sequence[Bundle]  # several answer together
    place: str  # address of the folder that the inputs are below
    heatmap: bool = False  # also draw heat maps
    site: Site | None = None  # where the bundle was checked
    tta: int | None = None  # copies of every input; None for those of the bundle
    limits: Limits = field(default_factory=Limits)

    @property
    def bytes(self) -> int:
        """Return the size of all networks."""
        bundles = (self.bundle,) if isinstance(self.bundle, Bundle) else self.bundle
        return sum(len(bundle.model) for bundle in bundles)


@dataclass(frozen=True)
class ScoredPartition:
    """The files of one partition."""

    number: int
    files: dict[str, bytes]  # kind (answers, seconds, quarantine) -> Parquet; drift -> JSON
    pictures: dict[str, bytes]  # file name -> PNG
    entries: int  # inputs in the plan
    size: int  # bytes of these inputs


@dataclass(frozen=True)
class ScoredBatch:
    """The rows of one batch of inputs, in order, and their pictures."""

    rows: tuple[Row, ...]
    pictures: dict[str, bytes]


@dataclass(frozen=True, eq=False)
class _PreparedInput:
    """One decoded input, or why it cannot be decoded."""

    member: Member
    view: View | BadImage
    sha256: str | None
    seconds: float


class PartitionScorer:
    """Score partitions with one ONNX session of one thread. Raises `BadBundle` as `Predictor`."""

    def __init__(self, setup: ScoringSetup) -> None:
        self.setup = setup
        self.predictor = Predictor(
            setup.bundle, threads=1, limits=setup.limits, untrusted=True, site=setup.site, tta=setup.tta
        )
        self.storage: Storage = open_storage(setup.place)

    def score(self, part: Partition) -> ScoredPartition:
        """Score a partition. Raises `InputRefused` (`source-lost`) when the source can no longer be read."""
        return self.assemble(part, self.score_batches(part))

    def assemble(self, part: Partition, batches: Iterable[ScoredBatch]) -> ScoredPartition:
        """Encode the files of a partition from its batches."""
        rows: list[Row] = []
        pictures: dict[str, bytes] = {}
        for batch in batches:
            rows += batch.rows
            pictures |= batch.pictures
        predictor = self.predictor
        files = encode_partition(rows, partition=part.number, identity=predictor.identity, classes=predictor.classes)
        kept = [observe(row.answer) for row in rows]
        drawn = Reference.draw(kept, model_sha256=predictor.identity.sha256, seed=part.number, most=WATCHED)
        files["drift"] = drawn.encode()
        return ScoredPartition(
            part.number, files, pictures, len(part.entries), sum(entry.size for entry in part.entries)
        )

    def score_batches(
        self,
        part: Partition,
        *,
        begin: int = 0,
        alone: Container[int] = (),
        given_up: Container[str] = (),
        note: Callable[[str], None] = lambda name: None,
    ) -> Iterator[ScoredBatch]:
        """Score the inputs in batches that are the same in every run.

        Args:
            part: the inputs.
            begin: number of the first batch to score.
            alone: numbers of batches whose inputs are scored one by one.
            given_up: names of inputs that fail without another try.
            note: called with each name before its input is decoded, and with "" before the network runs on a batch.
        """
        inputs = iter(self._read_inputs(part))
        for number in itertools.count():
            batch = list(itertools.islice(inputs, BATCH))
            if not batch:
                return
            if number < begin:
                continue
            rows: tuple[Row, ...] = ()
            pictures: dict[str, bytes] = {}
            for group in [[one] for one in batch] if number in alone else [batch]:
                prepared = []
                for member, seconds in group:
                    if member.name not in given_up:
                        note(member.name)
                    prepared.append(self._prepare(member, seconds, given_up))
                if number not in alone:
                    note("")
                scored = self._score_batch(prepared)
                rows, pictures = rows + scored.rows, pictures | scored.pictures
            yield ScoredBatch(rows, pictures)

    def _read_inputs(self, part: Partition) -> Iterator[tuple[Member, float]]:
        """Yield every input with its bytes and the seconds it took to read them."""
        for is_shard, group in itertools.groupby(part.entries, lambda entry: entry.shard):
            if is_shard:
                for entry in group:
                    yield from self._read_shard(entry)
            else:
                yield from prefetch(self._fetch, group)

    def _read_shard(self, entry: Entry) -> Iterator[tuple[Member, float]]:
        try:
            stream = self.storage.stream(entry.path)
        except (OSError, ValueError):
            if entry.size or not self.storage.is_alive():  # it existed when the source was listed
                raise source_lost(entry.name) from None
            yield Member(entry.name, b"", missing_file()), 0.0
            return
        with stream:
            began = time.perf_counter()
            for member in read_members(stream, entry.name, limits=self.setup.limits):
                yield member, time.perf_counter() - began
                began = time.perf_counter()

    def _fetch(self, entry: Entry) -> tuple[Member, float]:
        began = time.perf_counter()
        try:
            if entry.problem:
                raise BadImage("The table names no image in this row.", code=entry.problem)
            member = Member(entry.name, self.storage.read(entry.path, limits=self.setup.limits))
        except BadImage as error:
            if error.code in LOST_CODES and not self.storage.is_alive():
                raise source_lost(entry.name) from None
            member = Member(entry.name, b"", error)
        return member, time.perf_counter() - began

    def _prepare(self, member: Member, seconds: float, given_up: Container[str]) -> _PreparedInput:
        began = time.perf_counter()
        view: View | BadImage
        sha256 = None
        try:
            if member.name in given_up:
                Item(member.name, Path(member.name), problem="gave-up").read(self.setup.limits)  # raises
            if member.problem:
                raise member.problem
            sha256 = sha256_bytes(member.data)
            view = self._preprocess(member.data)
        except BadImage as error:
            view = error
        return _PreparedInput(member, view, sha256, seconds + time.perf_counter() - began)

    def _preprocess(self, data: bytes) -> View:
        """Decode and preprocess; retry a slow file with more time, since the machine may be busy."""
        try:
            return self.predictor.view(data)
        except BadImage as error:
            if error.code != "decode-timeout":
                raise
        limits = replace(self.setup.limits, decode_seconds=RETRY_FACTOR * self.setup.limits.decode_seconds)
        return self.predictor.view(open_source(data, limits=limits, untrusted=True))

    def _score_batch(self, prepared: list[_PreparedInput]) -> ScoredBatch:
        names = [one.member.name for one in prepared if isinstance(one.view, View)]
        views = [one.view for one in prepared if isinstance(one.view, View)]
        began = time.perf_counter()
        findings = iter(self.predictor.answers(names, views, class_maps=self.setup.heatmap) if views else ())
        each = (time.perf_counter() - began) / max(1, len(views))
        rows: list[Row] = []
        pictures: dict[str, bytes] = {}
        for one in prepared:
            member = one.member
            if isinstance(one.view, BadImage):
                rows.append(Row(Failure(member.name, one.view.code, one.view.message), one.sha256, one.seconds))
                continue
            finding = next(findings)
            rows.append(Row(finding, one.sha256, one.seconds + each))
            if self.setup.heatmap:
                pictures |= self._picture(finding, member.data)
        return ScoredBatch(tuple(rows), pictures)

    def _picture(self, finding: Finding, data: bytes) -> dict[str, bytes]:
        try:
            radiograph = open_source(data, limits=self.setup.limits, untrusted=True)
        except BadImage:  # decoding worked a moment ago; only the picture is lost
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = write_heatmap(finding, radiograph, Path(folder), shown=None, limits=self.setup.limits)
            return {path.name: path.read_bytes()}


def prefetch(function: Callable[[Entry], T], entries: Iterable[Entry]) -> Iterator[T]:
    """Map a function in order with `READERS` threads, at most twice as many results ahead."""
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
