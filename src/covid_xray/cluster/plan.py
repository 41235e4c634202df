"""A listing in, the plan of a results folder out: which inputs make which partition, fixed before the first answer.

    plan.parquet   a row group for each partition: name, path, size, shard, problem of each input
    plan.json      what the folder is: source, network, options, number of partitions; written last

A partition is a slice of the listing, or one tar shard. It does not depend on the engine or the number of workers, so
that every engine makes the same files; and it is the unit of resuming.
"""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from covid_xray.cluster.extras import need
from covid_xray.cluster.source_listing import Entry, Listing
from covid_xray.errors import InputRefused, UsageError
from covid_xray.files import replacing, write_json

LARGEST = 512  # inputs in a partition: about a quarter of a minute of one core, a tenth of a megabyte of answers
LARGEST_WITH_PICTURES = 64  # heat maps travel with the answers, half a megabyte each
SMALLEST = 16
PARTS = 16  # a small source is cut into about so many, so that several workers have something to do
PLAN, FACTS = "plan.parquet", "plan.json"


@dataclass(frozen=True)
class Plan:
    """What a results folder holds or will hold.

    Args:
        source, images: as the user named them.
        place: address of the folder that the paths of the inputs are below.
        kind: folder, table or shards.
        model_sha256: of the network.
        precision, heatmap: how it answers.
        partitions: how many.
        inputs: named in the plan; a shard counts as one.
        shards: how many of them are tar files.
        size: bytes of all inputs, 0 where the source does not say.
        passed_over: files that are no images by their names: suffix -> how many.
        repeated: rows of a table that named an image again.
    """

    source: str
    images: str | None
    place: str
    kind: str
    model_sha256: str
    precision: str
    heatmap: bool
    partitions: int
    inputs: int
    shards: int
    size: int
    passed_over: dict[str, int]
    repeated: int


@dataclass(frozen=True)
class Part:
    """One partition: its number and its inputs."""

    number: int
    entries: tuple[Entry, ...]


def make_plan(out: Path, listing: Listing, **about: Any) -> Plan:
    """Write the plan of a new results folder; `about` holds the fields of `Plan` that the listing does not know.

    Raises:
        InputRefused: there is no input (`no-images`), or the source cannot be listed.
        BadManifest: of `list_source`.
    """
    largest = LARGEST_WITH_PICTURES if about["heatmap"] else LARGEST
    parts = inputs = shards = size = 0
    with replacing(out / PLAN) as temporary:
        with need("pyarrow.parquet").ParquetWriter(temporary, _schema(), compression="zstd") as writer:
            for group in _groups(listing.entries, largest):
                writer.write_table(_table(group), row_group_size=len(group))
                parts, inputs = parts + 1, inputs + len(group)
                shards, size = shards + sum(e.shard for e in group), size + sum(e.size for e in group)
        if not inputs:
            named = ", ".join(sorted(listing.passed_over)) or "nothing"
            raise InputRefused(f"expected images in the source. Received: none among {named}", code="no-images")
    counted: dict[str, Any] = {
        "partitions": parts,
        "inputs": inputs,
        "shards": shards,
        "size": size,
        "repeated": listing.repeated,
    }
    found: dict[str, Any] = {
        "place": listing.place,
        "kind": listing.kind,
        "passed_over": dict(sorted(listing.passed_over.items())),
    }
    plan = Plan(**found, **counted, **about)
    write_json(out / FACTS, asdict(plan))
    return plan


def read_plan(out: Path) -> Plan | None:
    """The plan of a results folder; `None` where there is none. Raises `InputRefused` when it is no plan of ours."""
    try:
        return Plan(**json.loads((out / FACTS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError):
        raise InputRefused(
            f"expected {out / FACTS} to be the plan of a results folder. Received: something else", code="not-results"
        ) from None


def same_work(plan: Plan, *, out: Path, **wanted: Any) -> None:
    """Raise when the folder holds the work of another network (`InputRefused`) or of other options (`UsageError`)."""
    if wanted["model_sha256"] != plan.model_sha256:
        raise InputRefused(
            f"expected {out} to hold answers of this network ({wanted['model_sha256'][:12]}). "
            f"Received: answers of another ({plan.model_sha256[:12]}); name another folder",
            code="other-model",
        )
    for name, value in wanted.items():
        began = getattr(plan, name)
        if value != began:
            raise UsageError(f"expected {name}={began}, with which {out} was begun. Received: {name}={value}")


def parts(out: Path, plan: Plan, *, without: frozenset[int] = frozenset()) -> Iterator[Part]:
    """The partitions that are left, read one at a time."""
    with need("pyarrow.parquet").ParquetFile(out / PLAN) as file:
        if file.num_row_groups != plan.partitions:
            raise InputRefused(f"expected the plan that {out} was begun with. Received: an altered one", code="altered")
        for number in range(plan.partitions):
            if number not in without:
                rows = file.read_row_group(number).to_pylist()
                yield Part(number, tuple(Entry(**{**row, "path": os.fsdecode(row["path"])}) for row in rows))


def _groups(entries: Iterator[Entry], largest: int) -> Iterator[list[Entry]]:
    """Slices of the listing; a shard is one by itself. How large they are depends on the listing alone."""
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
    pa = need("pyarrow")
    # Paths as bytes: a file name need not be UTF-8.
    return pa.schema(
        {"name": pa.string(), "path": pa.binary(), "size": pa.int64(), "shard": pa.bool_(), "problem": pa.string()}
    )


def _table(group: list[Entry]) -> Any:
    rows = [{**asdict(entry), "path": os.fsencode(entry.path)} for entry in group]
    return need("pyarrow").Table.from_pylist(rows, schema=_schema())
