"""Measure `covid-xray score` with one and two workers, locally and on Ray: rate, overhead, memory, start-up.

Every run is a process of its own. There are three sets of inputs: `real`, public radiographs linked under as many names
as are needed, with the network that ships; `tiny`, small drawn pictures with a network of almost no cost, which
isolates the overhead; `start`, one partition of 16 of them. Besides wall time, the processor time of all processes of a
run is summed, including start and end.

Each run is logged when it ends; `--resume` skips runs in the log, and `--seconds` stops between two groups of runs that
are compared with each other (exit code 75: run it again).

    python -m benchmarks.score_scale [--images 20000] [--many 50000] [--rounds 2] [--data FOLDER_OF_THE_RADIOGRAPHS]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks._support.dicom_cost import dicom_costs
from benchmarks._support.driver_cost import driver_costs
from benchmarks._support.process_meter import Meter
from benchmarks._support.results import ROOT, commit, load_note, write_results
from benchmarks._support.score_tables import tables

sys.path.insert(0, str(ROOT / "tests"))  # for the drawn archives that its tests use
LOG = ROOT / "build" / "score_scale.jsonl"
UNFINISHED = 75
NEIGHBOURS = (("local", 2), ("local", 1), ("ray", 1), ("ray", 2))  # each beside those it is compared with


def one(engine: str, workers: int, films: str, bundle: str, address: str, began: float) -> dict:
    """One run in this process; `began` is when it was started, by the clock of the machine."""
    from covid_xray.cluster import local_engine, ray_engine
    from covid_xray.cluster.score import ScoringRequest, score

    meter = Meter()
    meter.start()
    times: list[tuple[float, int]] = []

    def watch(state) -> None:
        times.append((time.time(), state.rows))

    run = partial({"local": local_engine, "ray": ray_engine}[engine].score_partitions, workers=workers)
    if address:
        run = partial(run, address=address)
    with tempfile.TemporaryDirectory() as out:
        job = ScoringRequest(films, Path(out) / "out", bundle=Path(bundle) if bundle else None)
        state = score(job, engine=run, name=engine, watch=watch)
        facts = json.loads((Path(out) / "out" / "run.json").read_text())
        answers = sum(path.stat().st_size for path in (Path(out) / "out" / "answers").iterdir())
    meter.stop()
    # The first partition of every worker comes with the start; from there on all of them are at work.
    (first, before), (last, rows) = times[min(workers, len(times)) - 1], times[-1]
    return {
        "rows": state.rows,
        "failed": state.failed.total(),
        "partitions": state.partitions,
        "first_partition_seconds": times[0][0] - began,
        "steady_per_second": (rows - before) / (last - first) if last > first else None,
        "seconds": time.time() - began,
        "cpu_seconds": sum(meter.cpu.values()),
        "meter_seconds": meter.own,
        "peak_mib": meter.peak,
        "answers_bytes": answers,
        "checksum": facts["checksum"],
    }


def started(key: dict, films: Path, bundle: Path | str, address: str = "") -> dict:
    """`one` in a process of its own."""
    arguments = [key["engine"], key["workers"], str(films), str(bundle), address, time.time()]
    ran = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--one", json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"The run ended with exit code {ran.returncode}:\n{ran.stderr[-2000:]}")
    return {**key, **json.loads(ran.stdout.splitlines()[-1]), "commit": commit()}


def shipped(data: Path, images: int) -> dict:
    """Measure the cost of one real radiograph in core-milliseconds, by stage, with the network that ships."""
    from covid_xray.inference.io.inputs import open_source
    from covid_xray.inference.predictor import Predictor
    from covid_xray.limits import Limits

    files = sorted((data / "images").rglob("*.jpg"))
    files = files[:: max(1, len(files) // images)][:images]
    contents = [path.read_bytes() for path in files]
    predictor = Predictor(threads=1)
    began = time.process_time()
    films = [open_source(content, limits=Limits()) for content in contents]
    decoded = time.process_time()
    views = [predictor.view(film) for film in films]
    viewed = time.process_time()
    for start in range(0, len(views), 16):
        predictor.answers(["x"] * len(views[start : start + 16]), views[start : start + 16])
    ended = time.process_time()
    each = 1000 / len(files)
    return {
        "network": predictor.identity.name,
        "sha256": predictor.identity.sha256,
        "images": len(files),
        "bytes_an_image": sum(map(len, contents)) / len(files),
        "decode_ms": (decoded - began) * each,
        "lungs_and_gate_ms": (viewed - decoded) * each,
        "network_ms": (ended - viewed) * each,
    }


def under_many_names(data: Path, folder: Path, count: int) -> Path:
    """Make `count` links to the radiographs of `data`, in folders of a thousand."""
    files = sorted((data / "images").rglob("*.jpg"))
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(files[number % len(files)].resolve())
    return folder


def groups(args: argparse.Namespace) -> Iterator[list[dict]]:
    """Yield groups of runs that are compared with each other."""
    for turn in range(args.rounds):
        where = {"set": "start", "count": 16, "workers": 1, "round": turn}
        yield [{**where, "engine": engine} for engine in ("local", "ray", "ray at an address")]
    for turn in range(args.rounds):
        many = [{"set": "tiny", "count": args.images, "engine": e, "workers": w, "round": turn} for e, w in NEIGHBOURS]
        yield many
    for engine in ("local", "ray"):
        yield [
            {"set": "tiny", "count": count, "engine": engine, "workers": 2, "round": 0}
            for count in (args.few, args.many)
        ]
    for turn in range(args.real_rounds if args.data else 0):
        yield [{"set": "real", "count": args.real, "engine": e, "workers": w, "round": turn} for e, w in NEIGHBOURS]


class Archive:
    """Create the inputs of a run, and a Ray cluster for the runs that join one."""

    def __init__(self, root: Path, data: Path | None) -> None:
        from support.archives import make_bundle

        self.root, self.data, self.cluster = root, data, None
        self.bundle = make_bundle(root / "bundle")

    def run(self, key: dict) -> dict:
        """Execute one run."""
        from support.archives import archive

        folder = self.root / key["set"] / str(key["count"])
        if not folder.exists():
            if key["set"] == "real":
                under_many_names(self.data, folder, key["count"])
            else:
                archive(folder, key["count"])
        bundle = "" if key["set"] == "real" else self.bundle
        if key["engine"] != "ray at an address":
            return started(key, folder, bundle)
        return {**started({**key, "engine": "ray"}, folder, bundle, self.address()), "engine": key["engine"]}

    def address(self) -> str:
        """Return the address of a running cluster, started when first needed."""
        if self.cluster is None:
            from ray.cluster_utils import Cluster

            self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        return self.cluster.address

    def close(self) -> None:
        """Shut the cluster down."""
        if self.cluster is not None:
            self.cluster.shutdown()
            self.cluster = None


def measure(args: argparse.Namespace) -> list[dict] | None:
    """Execute or read all runs; return `None` when the time ran out before the last."""
    began, runs = time.monotonic(), []
    args.log.parent.mkdir(parents=True, exist_ok=True)
    if not args.resume:
        args.log.unlink(missing_ok=True)
    known = [json.loads(line) for line in args.log.read_text().splitlines()] if args.log.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder), args.data)
        for group in groups(args):
            there = [next((run for run in known if key.items() <= run.items()), None) for key in group]
            if not all(there) and runs and time.monotonic() - began > args.seconds:
                return None
            for key, run in zip(group, there, strict=True):
                runs.append(run or logged(archive.run(key), args.log))
            archive.close()
    return runs


def logged(run: dict, log: Path) -> dict:
    """Append the run to the log."""
    run |= {"load": os.getloadavg()[0], "nice": niceness()}
    with log.open("a") as stream:
        stream.write(json.dumps(run) + "\n")
    print(json.dumps(run), flush=True)
    return run


def niceness() -> int:
    """Return the nice value of this process, or of its session where Linux schedules by session."""
    try:
        return int(Path("/proc/self/autogroup").read_text().split()[-1])
    except (OSError, ValueError, IndexError):
        return os.nice(0)


def priority_note(runs: list[dict]) -> str:
    """Say that the runs had priority over other work, where they had."""
    if max(run["nice"] for run in runs) >= 0:
        return ""
    return f" All runs had priority over that work (nice {max(run['nice'] for run in runs)})."


def main() -> None:
    """Run every variant in turn and write docs/results/score_scale."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=50_000)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--real", type=int, default=20_000)
    parser.add_argument("--real-rounds", type=int, default=2)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--one")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*json.loads(args.one))))
        return
    runs = measure(args)
    if runs is None:
        raise SystemExit(UNFINISHED)
    for key in {(run["set"], run["count"]) for run in runs}:
        checksums = {run["checksum"] for run in runs if (run["set"], run["count"]) == key}
        assert len(checksums) == 1, f"runs of {key} gave several checksums: {checksums}"
    size = {"images": args.images, "few": args.few, "many": args.many, "rounds": args.rounds}
    size |= {"real_images": args.real, "real_rounds": args.real_rounds} if args.data else {}
    net = shipped(args.data, 200) if args.data else None
    text, facts = tables(runs, size, net)
    write_results(
        "score_scale",
        {"runs": runs, **size, **facts, "shipped": net, "driver": driver_costs(), "dicom": dicom_costs()},
        text,
        title="Scoring archives: workers and engines",
        command=f"python -m benchmarks.score_scale --images {args.images} --many {args.many} --rounds {args.rounds}"
        f" --real {args.real} --real-rounds {args.real_rounds} --data FOLDER",
        note=load_note(max(run["load"] for run in runs)) + priority_note(runs),
    )


if __name__ == "__main__":
    main()
