"""Divide a listing into partitions and write the plan of a results folder.

    plan.parquet   a row group per partition: name, path, size, shard, problem of each input
    plan.json      source, network, options, number of partitions; written last

A partition is a slice of the listing, or one tar shard, on every engine. It is the unit of resuming.
"""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from covid_xray.cluster.extras import require_module
from covid_xray.cluster.source_listing import Entry, Listing
from covid_xray.errors import InputRefused, UsageError
from covid_xray.files import replacing, write_json

LARGEST = 512  # inputs per partition: about 15 seconds of one core, 0.1 MB of answers
LARGEST_WITH_PICTURES = 64  # 0.5 MB per heat map
SMALLEST = 16
PARTS = 16  # of a small source, so that several workers have something to do
PLAN, SUMMARY = "plan.parquet", "plan.json"


@dataclass(frozen=True)
class Plan:
    """What a results folder holds or will hold; the content of plan.json."""

    source: str  # as the user named it
    images: str | None  # likewise
    place: str  # address of the folder that the paths of the inputs are below
    kind: str  # folder, table or shards
    model_sha256: str
    precision: str
    heatmap: bool
    partitions: int
    inputs: int  # a shard counts as one
    shards: int
    size: int  # bytes of all inputs, 0 if unknown
    passed_over: dict[str, int]  # suffix -> number of files that are no images by name
    repeated: int  # table rows that named an image again
    site_sha256: str | None = None  # of the site file; None where the network was not checked
    tta: int | None = None  # copies of every input; None for those of the bundle


@dataclass(frozen=True)
class Partition:
    """The number and the inputs of one partition."""

    number: int
    entries: tuple[Entry, ...]


def make_plan(out: Path, listing: Listing, **about: Any) -> Plan:
    """Write the plan of a new results folder; `about` has the fields of `Plan` that are not in the listing.

    Raises `InputRefused` without an input (`no-images`), and what `list_source` raises.
    """
    largest = LARGEST_WITH_PICTURES if about["heatmap"] else LARGEST
    parts = inputs = shards = size = 0
    with replacing(out / PLAN) as temporary:
        with require_module("pyarrow.parquet").ParquetWriter(temporary, _schema(), compression="zstd") as writer:
            for group in _groups(listing.entries, largest):
                writer.write_table(_table(group), row_group_size=len(group))
                parts, inputs = parts + 1, inputs + len(group)
                shards, size = shards + sum(e.shard for e in group), size + sum(e.size for e in group)
        if not inputs:
            others = ", ".join(sorted(listing.passed_over)) or "nothing"
            raise InputRefused(f"No images in the source, which holds {others}.", code="no-images")
    plan = Plan(
        place=listing.place,
        kind=listing.kind,
        partitions=parts,
        inputs=inputs,
        shards=shards,
        size=size,
        passed_over=dict(sorted(listing.passed_over.items())),
        repeated=listing.repeated,
        **about,
    )
    write_json(out / SUMMARY, asdict(plan))
    return plan


def read_plan(out: Path) -> Plan | None:
    """Read the plan of a results folder; `None` without one. Raises `InputRefused` for another file of its name."""
    try:
        return Plan(**json.loads((out / SUMMARY).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError):
        problem = f"{out / SUMMARY} is not the plan of a results folder. Name another folder."
        raise InputRefused(problem, code="not-results") from None


def require_same_options(plan: Plan, *, out: Path, **options: Any) -> None:
    """Raise when the folder holds answers of another network (`InputRefused`) or options (`UsageError`)."""
    if options["model_sha256"] != plan.model_sha256:
        raise InputRefused(
            f"{out} holds answers of another network ({_short(plan.model_sha256)} instead of "
            f"{_short(options['model_sha256'])}). Name another folder.",
            code="other-model",
        )
    for name, value in options.items():
        if value != (began := getattr(plan, name)):
            raise UsageError(
                f"{out} was begun with {name}={began}, not {name}={value}. Use the same or another folder."
            )


def read_partitions(out: Path, plan: Plan, *, without: frozenset[int] = frozenset()) -> Iterator[Partition]:
    """Yield the partitions that are left, read one at a time. Raises `InputRefused` (`altered`)."""
    with require_module("pyarrow.parquet").ParquetFile(out / PLAN) as file:
        if file.num_row_groups != plan.partitions:
            raise InputRefused(f"The plan in {out} was altered. Name another folder.", code="altered")
        for number in range(plan.partitions):
            if number not in without:
                rows = file.read_row_group(number).to_pylist()
                yield Partition(number, tuple(Entry(**{**row, "path": os.fsdecode(row["path"])}) for row in rows))


def _short(sha256: str) -> str:
    return "+".join(part[:12] for part in sha256.split("+"))  # of an ensemble there are several


def _groups(entries: Iterator[Entry], largest: int) -> Iterator[list[Entry]]:
    """Divide the listing into slices whose size depends on the listing alone; a shard is one by itself."""
    first = list(itertools.islice(entries, PARTS * largest))
    size = min(largest, max(SMALLEST, -(-len(first) // PARTS // SMALLEST) * SMALLEST))
    waiting: list[Entry] = []
    for entry in itertools.chain(first, entries):
        if entry.shard:
            yield [entry]
            continue
        waiting.append(entry)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _schema() -> Any:
    pa = require_module("pyarrow")
    # A file name need not be UTF-8.
    return pa.schema(
        {"name": pa.string(), "path": pa.binary(), "size": pa.int64(), "shard": pa.bool_(), "problem": pa.string()}
    )


def _table(group: list[Entry]) -> Any:
    rows = [{**asdict(entry), "path": os.fsencode(entry.path)} for entry in group]
    return require_module("pyarrow").Table.from_pylist(rows, schema=_schema())
