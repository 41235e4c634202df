"""Answers of one partition in, Parquet bytes out; and a checksum of rows that does not depend on their order.

One row for each input: image, sha256 of the file, label, p_<class>, prediction_set, operating_points, gate, lungs,
reasons, model, model_sha256, error. The same answers give the same bytes on every engine: what differs from run to run,
the seconds, is kept in a file beside them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from covid_xray.cluster.extras import need
from covid_xray.files import sha256_bytes
from covid_xray.inference.finding import Failure, ModelIdentity
from covid_xray.inference.io.results import Answer, as_dict

MODULUS = 1 << 256
META = b"covid_xray"


@dataclass(frozen=True)
class Row:
    """The answer for one input, the SHA-256 of its file (`None` where it was not read whole), and what it took."""

    answer: Answer
    sha256: str | None
    seconds: float


@dataclass(frozen=True)
class Facts:
    """What the footer of a partition's file says of it; how `--resume` knows what is done.

    Args:
        partition: number.
        rows: how many.
        failed: code -> rows of it.
        checksum: sum of the SHA-256 of all rows modulo 2^256, hexadecimal.
        model_sha256: of the network that answered.
    """

    partition: int
    rows: int
    failed: dict[str, int]
    checksum: str
    model_sha256: str


def encode(rows: Sequence[Row], *, partition: int, identity: ModelIdentity, classes: Sequence[str]) -> dict[str, bytes]:
    """The Parquet files of one partition: `answers`, `seconds`, and `quarantine` where an input failed."""
    pa = need("pyarrow")
    plain = [as_plain(row, identity=identity, classes=classes) for row in rows]
    failed = [row for row in rows if isinstance(row.answer, Failure)]
    codes: dict[str, int] = {}
    for row in failed:
        codes[_failure(row).code] = codes.get(_failure(row).code, 0) + 1
    facts = Facts(partition, len(rows), dict(sorted(codes.items())), checksum(plain), identity.sha256)
    schema = schema_of(classes).with_metadata({META: json.dumps(asdict(facts), sort_keys=True).encode()})
    files = {"answers": _parquet(pa.Table.from_pylist(plain, schema=schema))}
    times = {"image": [row["image"] for row in plain], "seconds": [round(row.seconds, 4) for row in rows]}
    files["seconds"] = _parquet(pa.table(times, schema=pa.schema({"image": pa.string(), "seconds": pa.float32()})))
    if failed:
        refused = [
            {
                "image": row.answer.image,
                "sha256": row.sha256,
                "code": _failure(row).code,
                "reason": _failure(row).message,
            }
            for row in failed
        ]
        columns = pa.schema(dict.fromkeys(("image", "sha256", "code", "reason"), pa.string()))
        files["quarantine"] = _parquet(pa.Table.from_pylist(refused, schema=columns))
    return files


def as_plain(row: Row, *, identity: ModelIdentity, classes: Sequence[str]) -> dict[str, Any]:
    """One row as plain data, in the columns of `schema_of`."""
    facts = as_dict(row.answer, identity=identity)
    probabilities = facts["probabilities"] or {}
    texts = {name: _json(facts[name]) for name in ("operating_points", "gate", "lungs")}
    return {
        "image": facts["image"],
        "sha256": row.sha256,
        "label": facts["label"],
        **{f"p_{name}": probabilities.get(name) for name in classes},
        "prediction_set": facts["prediction_set"],
        **texts,
        "reasons": facts["reasons"],
        "model": f"{identity.name} {identity.version}",
        "model_sha256": identity.sha256,
        "error": facts["error"],
    }


def schema_of(classes: Sequence[str]) -> Any:
    """The columns of `answers` as a pyarrow schema."""
    pa = need("pyarrow")
    text, texts = pa.string(), pa.list_(pa.string())
    fields = {"image": text, "sha256": text, "label": text, **{f"p_{name}": pa.float64() for name in classes}}
    fields |= {"prediction_set": texts, "operating_points": text, "gate": text, "lungs": text, "reasons": texts}
    return pa.schema(fields | {"model": text, "model_sha256": text, "error": text})


def checksum(rows: Iterable[Mapping[str, Any]]) -> str:
    """Sum of the SHA-256 of all rows modulo 2^256 as 64 hexadecimal digits: the same in any order and any partition."""
    digests = (int(sha256_bytes(_json(dict(row)).encode("utf-8")), 16) for row in rows)
    return f"{sum(digests) % MODULUS:064x}"


def add(checksums: Iterable[str]) -> str:
    """The checksum of all rows together, from those of their parts."""
    return f"{sum(int(part, 16) for part in checksums) % MODULUS:064x}"


def read_facts(footer: Any) -> Facts:
    """What the footer says. Raises `ValueError` when it was not written by `encode`."""
    try:
        return Facts(**json.loads((footer or {})[META]))
    except (KeyError, TypeError):
        raise ValueError("expected the footer of a partition. Received: another") from None


def _failure(row: Row) -> Failure:
    assert isinstance(row.answer, Failure)
    return row.answer


def _json(value: Any) -> str | Any:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _parquet(table: Any) -> bytes:
    sink = need("pyarrow").BufferOutputStream()
    # Page checksums: a flipped bit is noticed by whoever reads with them, not answered.
    need("pyarrow.parquet").write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())
