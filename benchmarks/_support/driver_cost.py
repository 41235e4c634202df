"""Measure what the driver of `covid-xray score` costs: list, plan, pack for Ray, commit a partition."""

import pickle
import tempfile
import time
import zlib
from pathlib import Path

NAMES = 100_000
COMMITS = 40


def driver_costs() -> dict[str, float]:
    """Return microseconds, milliseconds and bytes of the driver's work, measured in this process."""
    from covid_xray.cluster.plan import PLAN, make_plan, read_partitions
    from covid_xray.cluster.source_listing import list_source
    from covid_xray.inference.finding import ModelIdentity

    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder), Path(folder) / "out"
        out.mkdir()
        lines = (f"{number // 1000:04d}/study-{number:08d}.dcm" for number in range(NAMES))
        (root / "list.csv").write_text("image\n" + "\n".join(lines) + "\n")
        about = {"source": "", "images": None, "model_sha256": "", "precision": "float32", "heatmap": False}
        began = time.process_time()
        plan = make_plan(out, list_source(str(root / "list.csv")), **about)
        planned = time.process_time()
        packed = [zlib.compress(pickle.dumps(part)) for part in read_partitions(out, plan)]
        ended = time.process_time()
        facts = {
            "plan_us_an_input": 1e6 * (planned - began) / NAMES,
            "pack_us_an_input": 1e6 * (ended - planned) / NAMES,
            "plan_bytes_an_input": (out / PLAN).stat().st_size / NAMES,
            "packed_bytes_an_input": sum(map(len, packed)) / NAMES,
            "inputs_a_partition": NAMES / plan.partitions,
        }
        identity = ModelIdentity("network", "1", "0" * 64)
        return {**facts, **_commits(out, next(read_partitions(out, plan)), identity)}


def _commits(out: Path, part, identity) -> dict[str, float]:
    from covid_xray.cluster.parquet_rows import Row, encode_partition
    from covid_xray.cluster.partition_scorer import ScoredPartition
    from covid_xray.cluster.score import commit
    from covid_xray.inference.finding import Failure

    rows = [Row(Failure(entry.name, "empty", "expected a file"), "0" * 64, 0.01) for entry in part.entries]
    files = encode_partition(rows, partition=0, identity=identity, classes=("covid", "normal", "virus"))
    files.pop("quarantine")
    processor, wall = time.process_time(), time.perf_counter()
    for number in range(COMMITS):
        commit(out, ScoredPartition(number, files, {}, len(part.entries), 0))
    return {
        "commit_ms": 1e3 * (time.process_time() - processor) / COMMITS,
        "commit_wall_ms": 1e3 * (time.perf_counter() - wall) / COMMITS,
    }
