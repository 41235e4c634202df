"""Write the answers of one partition as Parquet, with a checksum that does not depend on the order of rows.

One row per input: image, sha256 of the file, label, p_<class>, prediction_set, operating_points, gate, lungs, reasons,
model, model_sha256, site, error, warnings (codes); of an ensemble also spread_<class>. The same answers give the same
bytes on every engine; run times go to another file.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from covid_xray.cluster.extras import require_module
from covid_xray.files import sha256_bytes
from covid_xray.inference.finding import Failure, ModelIdentity
from covid_xray.inference.io.results import Answer, as_dict

MODULUS = 1 << 256
METADATA_KEY = b"covid_xray"


@dataclass(frozen=True)
class Row:
    """The answer for one input, the SHA-256 of its file (`None` if not read completely), and its seconds."""

    answer: Answer
    sha256: str | None
    seconds: float


@dataclass(frozen=True)
class PartitionSummary:
    """The metadata of a partition's file, from which `--resume` knows what is done."""

    partition: int
    rows: int
    failed: dict[str, int]  # code -> number of rows
    checksum: str  # see `checksum`
    model_sha256: str


def encode_partition(
    rows: Sequence[Row], *, partition: int, identity: ModelIdentity, classes: Sequence[str]
) -> dict[str, bytes]:
    """Encode the Parquet files of one partition: `answers`, `seconds`, and `quarantine` where an input failed."""
    pa = require_module("pyarrow")
    records = [to_record(row, identity=identity, classes=classes) for row in rows]
    failures = [(row.answer, row.sha256) for row in rows if isinstance(row.answer, Failure)]
    codes = Counter(failure.code for failure, _ in failures)
    summary = PartitionSummary(partition, len(rows), dict(sorted(codes.items())), checksum(records), identity.sha256)
    metadata = {METADATA_KEY: json.dumps(asdict(summary), sort_keys=True).encode()}
    schema = schema_of(classes, spread=bool(identity.members))
    files = {"answers": _parquet(records, schema.with_metadata(metadata))}
    times = [{"image": row.answer.image, "seconds": round(row.seconds, 4)} for row in rows]
    files["seconds"] = _parquet(times, pa.schema({"image": pa.string(), "seconds": pa.float32()}))
    if failures:
        refused = [{"image": f.image, "sha256": sha, "code": f.code, "reason": f.message} for f, sha in failures]
        files["quarantine"] = _parquet(refused, pa.schema(dict.fromkeys(refused[0], pa.string())))
    return files


def to_record(row: Row, *, identity: ModelIdentity, classes: Sequence[str]) -> dict[str, Any]:
    """Convert a row to the columns of `schema_of`."""
    facts = as_dict(row.answer, identity=identity)
    probabilities = facts["probabilities"] or {}
    return {
        "image": facts["image"],
        "sha256": row.sha256,
        "label": facts["label"],
        **{f"p_{name}": probabilities.get(name) for name in classes},
        "prediction_set": facts["prediction_set"],
        **{name: _json(facts[name]) for name in ("operating_points", "gate", "lungs")},
        "reasons": facts["reasons"],
        "model": f"{identity.name} {identity.version}",
        "model_sha256": identity.sha256,
        "site": _json(facts["site"]),
        "error": facts["error"],
        "warnings": facts.get("warnings", []),
        **{f"spread_{name}": (facts["spread"] or {}).get(name) for name in (classes if identity.members else ())},
    }


def schema_of(classes: Sequence[str], *, spread: bool = False) -> Any:
    """Return the columns of `answers` as a pyarrow schema; with `spread` also those of an ensemble."""
    pa = require_module("pyarrow")
    text, texts = pa.string(), pa.list_(pa.string())
    fields = {"image": text, "sha256": text, "label": text, **{f"p_{name}": pa.float64() for name in classes}}
    fields |= {"prediction_set": texts, "operating_points": text, "gate": text, "lungs": text, "reasons": texts}
    fields |= {"model": text, "model_sha256": text, "site": text, "error": text, "warnings": texts}
    return pa.schema(fields | {f"spread_{name}": pa.float64() for name in (classes if spread else ())})


def checksum(rows: Iterable[Mapping[str, Any]]) -> str:
    """Sum the SHA-256 of all rows modulo 2^256, as 64 hexadecimal digits; order and partition do not matter."""
    return combine_checksums(sha256_bytes(_json(dict(row)).encode("utf-8")) for row in rows)


def combine_checksums(checksums: Iterable[str]) -> str:
    """Combine the checksums of parts into that of all rows."""
    return f"{sum(int(part, 16) for part in checksums) % MODULUS:064x}"


def read_summary(metadata: Any) -> PartitionSummary:
    """Parse the metadata of a partition's file. Raises `ValueError` when `encode_partition` did not write it."""
    try:
        return PartitionSummary(**json.loads((metadata or {})[METADATA_KEY]))
    except (KeyError, TypeError):
        raise ValueError("The file has no summary of a partition.") from None


def _json(value: Any) -> str | Any:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _parquet(records: list[dict[str, Any]], schema: Any) -> bytes:
    pa = require_module("pyarrow")
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(records, schema=schema)
    # Page checksums let a reader detect flipped bits.
    require_module("pyarrow.parquet").write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())
