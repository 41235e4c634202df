import io
import random
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from covid_xray.cluster.parquet_rows import Row, checksum, combine_checksums, encode_partition, read_summary, to_record
from covid_xray.inference.finding import Failure, Finding, ModelIdentity

IDENTITY = ModelIdentity("small", "1", "f" * 64)
CLASSES = ("covid", "normal")


def finding(name: str, p: float) -> Finding:
    return Finding(
        image=name,
        probabilities={"covid": p, "normal": 1 - p},
        label="covid" if p > 0.5 else "normal",
        reasons=(),
        prediction_set=("covid",),
        gate={"frontal": {"passed": True}},
        model=IDENTITY,
        operating_points={"covid": {"rule-in": True}},
    )


ROWS = [
    Row(finding("a.png", 0.75), "1" * 64, 0.02),
    Row(Failure("b.png", "empty", "expected an image. Received: an empty file"), None, 0.001),
    Row(replace(finding("ü\n.png", float(np.float32(1 / 3))), warnings=("mirrored",)), "2" * 64, 0.5),
]


def read(data: bytes):
    return pq.read_table(io.BytesIO(data), page_checksum_verification=True)


def test_one_row_for_each_input_and_the_failures_again_beside_them() -> None:
    files = encode_partition(ROWS, partition=7, identity=IDENTITY, classes=CLASSES)
    rows = read(files["answers"]).to_pylist()
    assert [row["image"] for row in rows] == ["a.png", "b.png", "ü\n.png"]
    assert rows[0]["p_covid"] == 0.75
    assert (rows[0]["label"], rows[0]["prediction_set"], rows[0]["error"]) == ("covid", ["covid"], None)
    assert (rows[0]["warnings"], rows[2]["warnings"]) == ([], ["mirrored"])
    assert rows[0]["gate"] == '{"frontal": {"passed": true}}'
    assert (rows[1]["label"], rows[1]["p_covid"], rows[1]["error"]) == (None, None, "empty")
    assert read(files["quarantine"]).to_pylist() == [
        {"image": "b.png", "sha256": None, "code": "empty", "reason": "expected an image. Received: an empty file"}
    ]
    assert read(files["seconds"]).column("seconds").to_pylist() == pytest.approx([0.02, 0.001, 0.5])


def test_no_quarantine_where_nothing_failed() -> None:
    assert set(encode_partition(ROWS[:1], partition=0, identity=IDENTITY, classes=CLASSES)) == {"answers", "seconds"}


def test_seconds_do_not_change_the_bytes_of_the_answers() -> None:
    other = [Row(row.answer, row.sha256, row.seconds + 1) for row in ROWS]
    one, two = (encode_partition(rows, partition=0, identity=IDENTITY, classes=CLASSES) for rows in (ROWS, other))
    assert one["answers"] == two["answers"]
    assert one["seconds"] != two["seconds"]


def test_the_footer_says_what_the_rows_say() -> None:
    files = encode_partition(ROWS, partition=7, identity=IDENTITY, classes=CLASSES)
    table = read(files["answers"])
    facts = read_summary(table.schema.metadata)
    assert (facts.partition, facts.rows, facts.failed, facts.model_sha256) == (7, 3, {"empty": 1}, "f" * 64)
    assert facts.checksum == checksum(table.to_pylist())
    with pytest.raises(ValueError, match="no summary"):
        read_summary({b"other": b"1"})


def test_the_checksum_knows_no_order_but_every_change() -> None:
    plain = [to_record(row, identity=IDENTITY, classes=CLASSES) for row in ROWS]
    mixed = random.Random(1).sample(plain, 3)
    assert checksum(plain) == checksum(mixed) == combine_checksums([checksum(plain[:1]), checksum(plain[1:])])
    for change in ({"label": "normal"}, {"p_covid": 0.750001}, {"image": "c.png"}, {"sha256": None}):
        assert checksum([{**plain[0], **change}, *plain[1:]]) != checksum(plain)
    assert checksum([*plain, plain[0]]) != checksum(plain)  # a row that is there twice
