"""`covid-xray score` from one worker to two and from the local engine to Ray: rate, overhead, memory, start-up.

Every run is a process of its own, over small drawn pictures and a network that costs next to nothing: what is
measured is the machinery around the network, at its worst. Beside wall time the processor time of all processes of a
run is summed, which other work on the machine lengthens little. What one image costs with the network that ships is
measured last.

    python benchmarks/score_scale.py [--images 20000] [--many 50000] [--rounds 2] [--data FOLDER_OF_THE_RADIOGRAPHS]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from common import load_note, markdown_table, write_results

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.5


class Meter(threading.Thread):
    """Samples all processes below this one: processor seconds, and memory by what they are."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.cpu: dict[int, float] = {}
        self.peak = {"driver": 0.0, "worker": 0.0, "decoder": 0.0}
        self.over = threading.Event()

    def run(self) -> None:
        """Sample until it is over."""
        while not self.over.wait(SAMPLE_SECONDS):
            self.sample()

    def sample(self) -> None:
        """Look at every process once."""
        for pid in below(os.getpid()):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            self.cpu[pid] = (int(fields[11]) + int(fields[12])) / TICK
            kind = self.kind(pid, command)
            if kind:
                pss = next(int(line.split()[1]) for line in memory.splitlines() if line.startswith("Pss:")) / 1024
                self.peak[kind] = max(self.peak[kind], pss)

    def kind(self, pid: int, command: bytes) -> str:
        """What a process is: driver, worker, decoder or none of these."""
        if pid == os.getpid():
            return "driver"
        if b"covid_xray.images.limited" in command:
            return "decoder"
        return "worker" if b"spawn_main" in command or b"ray::MapWorker" in command else ""


def below(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
        except OSError:
            continue
    found, waiting = [pid], [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def one(engine: str, workers: int, films: str, bundle: str, began: float) -> dict:
    """One run in this process; `began` is when it was started, by the clock of the machine."""
    from covid_xray.cluster import local_engine, ray_engine
    from covid_xray.cluster.score import Job, score

    meter = Meter()
    meter.start()
    times: list[tuple[float, int]] = []

    def watch(state) -> None:
        times.append((time.time(), state.rows))

    run = {"local": local_engine, "ray": ray_engine}[engine].answered
    with tempfile.TemporaryDirectory() as out:
        job = Job(films, Path(out) / "out", bundle=Path(bundle) if bundle else None)
        state = score(job, engine=partial(run, workers=workers), name=engine, watch=watch)
        checksum = json.loads((Path(out) / "out" / "run.json").read_text())["checksum"]
    meter.sample()
    meter.over.set()
    (first, before), (last, rows) = times[0], times[-1]
    return {
        "engine": engine,
        "workers": workers,
        "rows": state.rows,
        "first_partition_seconds": first - began,
        "steady_per_second": (rows - before) / (last - first) if last > first else None,
        "seconds": time.time() - began,
        "cpu_seconds": sum(meter.cpu.values()),
        "peak_mib": meter.peak,
        "checksum": checksum,
    }


def started(engine: str, workers: int, films: Path, bundle: Path | str) -> dict:
    """`one` in a process of its own."""
    command = [sys.executable, __file__, "--one", engine, str(workers), str(films), str(bundle), str(time.time())]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"expected exit code 0. Received: {ran.returncode}\n{ran.stderr[-2000:]}")
    result = json.loads(ran.stdout.splitlines()[-1])
    print(json.dumps(result), flush=True)
    return result


def shipped(data: Path | None, images: int) -> dict | None:
    """Cost of one real radiograph in core-milliseconds, by stage, with the network that ships."""
    if data is None:
        return None
    from covid_xray.bundle.predictor import Predictor, open_source
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


def tables(runs: list[dict], size: dict, net: dict | None) -> tuple[str, dict]:
    """The page and the ratios that it states."""

    def of(engine: str, workers: int, what: str, rows: int) -> float:
        chosen = [r for r in runs if (r["engine"], r["workers"], r["rows"]) == (engine, workers, rows)]
        return median(r[what] for r in chosen)

    n = size["images"]
    local1, ray1 = (of(engine, 1, "cpu_seconds", n) for engine in ("local", "ray"))
    facts = {
        "ray_overhead_cpu": ray1 / local1 - 1,
        "ray_overhead_steady": of("local", 1, "steady_per_second", n) / of("ray", 1, "steady_per_second", n) - 1,
        "two_workers_local": of("local", 2, "steady_per_second", n) / of("local", 1, "steady_per_second", n),
        "two_workers_ray": of("ray", 2, "steady_per_second", n) / of("ray", 1, "steady_per_second", n),
    }
    header = ["engine", "workers", "inputs", "inputs/s, steady", "first partition s", "all s", "processor s"]
    header += ["driver MiB", "worker MiB", "decoder MiB"]
    lines = [
        [
            r["engine"], r["workers"], f"{r['rows']:,}", f"{r['steady_per_second']:.0f}",
            f"{r['first_partition_seconds']:.1f}", f"{r['seconds']:.0f}", f"{r['cpu_seconds']:.0f}",
            *(f"{r['peak_mib'][kind]:.0f}" for kind in ("driver", "worker", "decoder")),
        ]
        for r in runs
    ]  # fmt: skip
    goals = [
        ["Ray at one worker against local, processor time", "<= +10 %", f"{facts['ray_overhead_cpu']:+.1%}"],
        ["Ray at one worker against local, steady rate", "<= +10 %", f"{facts['ray_overhead_steady']:+.1%}"],
        ["two workers against one, local", ">= 1.8", f"{facts['two_workers_local']:.2f}"],
        ["two workers against one, Ray", ">= 1.8", f"{facts['two_workers_ray']:.2f}"],
    ]
    text = markdown_table(["what", "goal", "got"], goals) + "\n\n" + markdown_table(header, lines)
    if net:
        cost = [[f"{net[key]:.1f}" for key in ("decode_ms", "lungs_and_gate_ms", "network_ms")]]
        text += (
            f"\n\nOne radiograph ({net['bytes_an_image'] / 1000:.0f} kB) with {net['network']}, core-milliseconds:\n\n"
        )
        text += markdown_table(["decode", "lungs and gate", "network"], cost)
    return text, facts


def main() -> None:
    """Run every variant in turn and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=50_000)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--one", nargs=5)
    args = parser.parse_args()
    if args.one:
        engine, workers, films, bundle, began = args.one
        print(json.dumps(one(engine, int(workers), films, bundle, float(began))))
        return
    from archives import archive, make_bundle

    before = os.getloadavg()[0]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle = make_bundle(root / "bundle")
        films = {count: archive(root / str(count), count) for count in {args.images, args.few, args.many}}
        for _ in range(args.rounds):
            for workers in (1, 2):
                runs += [started(engine, workers, films[args.images], bundle) for engine in ("local", "ray")]
        for engine in ("local", "ray"):
            runs += [started(engine, 2, films[count], bundle) for count in (args.few, args.many)]
    assert len({(r["rows"], r["checksum"]) for r in runs}) == len(films)
    size = {"images": args.images, "few": args.few, "many": args.many}
    net = shipped(args.data, 200)
    text, facts = tables(runs, size, net)
    write_results(
        "score_scale",
        {"runs": runs, **size, **facts, "shipped": net, "load_before": before, "load_after": os.getloadavg()[0]},
        text,
        command=f"python benchmarks/score_scale.py --images {args.images} --many {args.many} --rounds {args.rounds}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
