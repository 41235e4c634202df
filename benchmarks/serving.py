"""Compare `covid-xray serve` with the usual Flask app around `model.predict`: same network, images and machine.

16 clients measure the throughput, in turns. Then 200 clients load our server alone: statuses, memory, time to recover.

    python -m benchmarks.serving --data FOLDER_OF_THE_RADIOGRAPHS --run RUN_FOLDER
      [--rounds 5] [--seconds 20] [--flood-seconds 120] [--engine openvino --precision bfloat16 ...]

The run folder holds `model.keras` for Flask and `bundle/` for ours, exported from it.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks._support.load_client import BOUNDARY, multipart
from benchmarks._support.results import load_note, markdown_table, write_results

CLIENTS, FLOOD = 16, 200
ALLOWED = {"200", "202", "429", "503"}
# The app as tutorials write it.
PEER = """
import io, sys
import numpy as np
import tensorflow as tf
from flask import Flask, jsonify, request
from PIL import Image

model = tf.keras.models.load_model(sys.argv[1])
height, width = model.input_shape[1:3]
app = Flask(__name__)

@app.get("/healthz")
def healthz():
    return "ok"

@app.post("/predict")
def predict():
    image = Image.open(io.BytesIO(request.files["file"].read())).convert("L").resize((width, height), Image.BILINEAR)
    x = np.asarray(image, dtype="float32")[None, ..., None]
    return jsonify(probabilities=model.predict(x, verbose=0)[0].tolist())

import logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app.run(port=int(sys.argv[2]), threaded=True)
"""


def main() -> None:
    """Measure and write docs/results/serving."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--flood-seconds", type=float, default=120)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--port", type=int, default=8765)
    args = parser.parse_args()
    found = sorted((args.data / "images").rglob("*.jpg"))
    images = found[:: max(1, len(found) // args.images)][: args.images]
    before = os.getloadavg()[0]
    runs = throughput(args, images)
    report(args, runs, flood(args, images), before=before)


def variants(run: Path) -> dict[str, list[str]]:
    """Map names to options of `covid-xray serve`, for what this machine and this bundle support."""
    found: dict[str, list[str]] = {"covid-xray serve": []}
    if (run / "bundle" / "model_int8.onnx").is_file():
        found["covid-xray serve --precision int8"] = ["--precision", "int8"]
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    # Found without an import: OpenVINO reports to its maker when it is imported (SECURITY.md).
    if importlib.util.find_spec("openvino") and ("avx512_bf16" in flags or "amx_bf16" in flags):
        options = ["--engine", "openvino", "--precision", "bfloat16"]
        found[f"covid-xray serve {' '.join(options)}"] = options
    return found


def throughput(args: argparse.Namespace, images: list[Path]) -> dict[str, list[dict]]:
    """Measure each server once in every round; the servers take turns, each alone on the machine."""
    options = variants(args.run)
    names = ["flask + model.predict", *options]
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(args.rounds):
        for name in names:
            if name in options:
                with ours(args, options[name], unlimited=True) as server:
                    measured = drive(server, images, seconds=args.seconds, path="/api/v1/predict")
                    answers = ask(server.address + "/api/v1/predict", images[:8])
            else:
                with flask(args) as server:
                    measured = drive(server, images, seconds=args.seconds, path="/predict")
                    answers = ask(server.address + "/predict", images[:8])
            runs[name].append({**summary(measured), "answers": answers})
            print(f"round {turn + 1}: {name}: {runs[name][-1]['per_second']:.1f}/s", flush=True)
    check_same_answers(runs)
    return runs


class Server:
    """A server process and its address."""

    def __init__(self, process: subprocess.Popen, address: str) -> None:
        self.process, self.address = process, address

    def memory(self) -> float:
        """Return the MiB that it and its children hold."""
        return sum(int(it.partition("VmRSS:")[2].split()[0]) / 1024 for it in self._all("status"))

    def cpu(self) -> float:
        """Return the processor seconds that it and its children have used."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(sum(map(int, it.rpartition(")")[2].split()[11:13])) / ticks for it in self._all("stat"))

    def _all(self, name: str) -> Iterator[str]:
        """Read a file of /proc for the process and its children."""
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                yield Path(f"/proc/{pid}/{name}").read_text()
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    waiting += map(int, (thread / "children").read_text().split())


@contextlib.contextmanager
def ours(args: argparse.Namespace, options: list[str], *, unlimited: bool) -> Iterator[Server]:
    """Run our server on a fresh store; `unlimited` lifts the limit of requests per minute from one address."""
    with tempfile.TemporaryDirectory(dir=".") as store:
        command = [Path(sys.executable).parent / "covid-xray", "serve", "--bundle", args.run / "bundle"]
        command += ["--store", store, "--port", args.port, "--log-level", "warning", *options]
        if unlimited:
            command += ["--set", "requests_per_minute=0"]
        with running(command, args.port) as server:
            yield server


@contextlib.contextmanager
def flask(args: argparse.Namespace) -> Iterator[Server]:
    """Run the peer."""
    with running([sys.executable, "-c", PEER, args.run / "model.keras", args.port], args.port) as server:
        yield server


@contextlib.contextmanager
def running(command: list[object], port: int) -> Iterator[Server]:
    """Run a server for the duration of the block; enter it when the server answers."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/healthz", timeout=5):
                break
            if process.poll() is not None:
                raise SystemExit(f"{command[:3]} ended with exit code {process.returncode} before it answered.")
            time.sleep(0.1)
        yield Server(process, address)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        if process.poll() is None:
            process.kill()
            process.wait()


def drive(
    server: Server, images: list[Path], *, seconds: float, path: str, clients: int = CLIENTS, batches: int = 0
) -> dict:
    """Send images from `clients` after a warm-up; return what they saw and the server's processor time."""
    command = [sys.executable, "-m", "benchmarks._support.load_client", server.address, *images, "--path", path]
    many = ["--clients", clients, "--batches", batches]
    if not batches:
        _json([*command, *many, "--seconds", min(5.0, seconds)])
    before = server.cpu()
    measured = _json([*command, *many, "--seconds", seconds])
    return {**measured, "cpu": server.cpu() - before}


def ask(address: str, images: list[Path]) -> list[list[float]]:
    """Return the probabilities of a few images, one after the other."""
    found = []
    for image in images:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        request = urllib.request.Request(address, data=multipart([image.read_bytes()]), headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            probabilities = json.load(response)["probabilities"]
        found.append(list(probabilities.values()) if isinstance(probabilities, dict) else probabilities)
    return found


def summary(measured: dict) -> dict:
    """Compute throughput and latencies of the answers with status 200."""
    latencies = sorted(measured["latencies"])
    if not latencies:
        raise SystemExit(f"No request was answered: {measured['statuses']}")
    return {
        "per_second": len(latencies) / measured["seconds"],
        "p50": latencies[len(latencies) // 2],
        "p95": latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
        "cpu_ms": 1000 * measured["cpu"] / len(latencies),
        "statuses": measured["statuses"],
        "hanging": measured["hanging"],
    }


def check_same_answers(runs: dict[str, list[dict]]) -> None:
    """Stop when the two servers name different classes; int8 and a temperature may change probabilities a little."""
    theirs, ours_ = runs["flask + model.predict"][0]["answers"], runs["covid-xray serve"][0]["answers"]
    pairs = list(zip(theirs, ours_, strict=True))
    difference = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    same = [one.index(max(one)) == other.index(max(other)) for one, other in pairs]
    print(f"largest difference of a probability: {difference:.4f}; same class in {sum(same)} of {len(same)}")
    if not all(same):
        raise SystemExit("The two servers name different classes for the same images.")


def flood(args: argparse.Namespace, images: list[Path]) -> dict:
    """Load our server with 200 clients: statuses, memory, and seconds until a single request is as fast as before."""
    with ours(args, [], unlimited=False) as server:
        quiet = [alone(server.address, images[n % len(images)]) for n in range(20)]
        memory, done = [server.memory()], threading.Event()

        def watch() -> None:
            while not done.wait(1.0):
                memory.append(server.memory())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        path = "/api/v1/predict"
        seen = drive(server, images, seconds=args.flood_seconds, path=path, clients=FLOOD, batches=10)
        normal, waited = 2 * max(quiet), None
        ended = time.perf_counter()
        while waited is None and time.perf_counter() - ended < 60:
            time.sleep(0.2)
            if alone(server.address, images[0]) <= normal:
                waited = time.perf_counter() - ended
        done.set()
        watcher.join()
        memory.append(server.memory())
    half = len(memory) // 2
    return {
        **summary(seen),
        "quiet_seconds": median(quiet),
        "back_to_normal_seconds": waited,
        "memory_before_mib": memory[0],
        "memory_peak_mib": max(memory),
        "memory_peak_first_half_mib": max(memory[:half] or memory),
        "memory_after_mib": memory[-1],
        "only_allowed": set(seen["statuses"]) <= ALLOWED and not seen["hanging"],
    }


def alone(address: str, image: Path) -> float:
    """Time one request; infinity when it is refused."""
    started = time.perf_counter()
    try:
        ask(f"{address}/api/v1/predict", [image])
    except OSError:
        return float("inf")
    return time.perf_counter() - started


def report(args: argparse.Namespace, runs: dict[str, list[dict]], flooded: dict, *, before: float) -> None:
    """Write the page: medians, ratios, and whether each goal was met."""
    peer = runs["flask + model.predict"]
    rows, ratios = [], {}
    for name, turns in runs.items():
        speed = median(a["per_second"] / b["per_second"] for a, b in zip(turns, peer, strict=True))
        wait = median(a["p95"] / b["p95"] for a, b in zip(turns, peer, strict=True))
        work = median(b["cpu_ms"] / a["cpu_ms"] for a, b in zip(turns, peer, strict=True))
        ratios[name] = {"throughput": speed, "p95": wait, "cpu": work}
        cells = [f"{median(turn[key] for turn in turns):.3g}" for key in ("per_second", "p50", "p95", "cpu_ms")]
        rows.append([name, *cells, f"{speed:.2f}", f"{wait:.3f}", f"{work:.2f}"])
    heads = [
        "images/s",
        "p50 s",
        "p95 s",
        "processor ms per image",
        "throughput / Flask",
        "p95 / Flask",
        "images per processor time / Flask",
    ]
    table = markdown_table(["server", *heads], rows)
    goals = []
    for name, ratio in ratios.items():
        if name != "flask + model.predict":
            met = ratio["throughput"] >= 5 and ratio["p95"] <= 1 / 3
            goals.append(f"{name}: {ratio['throughput']:.2f} x and {ratio['p95']:.3f}, {'met' if met else 'missed'}")
    back = flooded["back_to_normal_seconds"]
    flood_rows = [
        ["statuses", ", ".join(f"{status}: {count:,}" for status, count in sorted(flooded["statuses"].items()))],
        ["only 200, 202, 429, 503", "yes" if flooded["only_allowed"] else "no (missed)"],
        ["memory before, peak of the first half, peak, after (MiB)", ", ".join(
            f"{flooded[key]:.0f}" for key in
            ("memory_before_mib", "memory_peak_first_half_mib", "memory_peak_mib", "memory_after_mib"))],
        ["seconds until a single request is as fast as before (goal: at most 10)",
         "never (missed)" if back is None else f"{back:.1f} s"],
    ]  # fmt: skip
    text = (
        f"{CLIENTS} clients, {args.rounds} rounds of {args.seconds:g} s, medians; ratios to Flask in the same round."
        f"\n\n{table}\n\nGoals: at least 5 times the throughput of Flask and at most 1/3 of its p95. "
        f"{'; '.join(goals)}.\n\n{FLOOD} clients (10 of them with batches) for {args.flood_seconds:g} s against our "
        "server with its default settings:\n\n"
        f"{markdown_table(['what', 'result'], flood_rows)}"
    )
    for turns in runs.values():
        for turn in turns:
            del turn["answers"]
    write_results(
        "serving",
        {"rounds": args.rounds, "load_before": before, "runs": runs, "ratios": ratios, "flood": flooded},
        text,
        title="The server against a Flask app",
        command=f"python -m benchmarks.serving --data DATA --run RUN --rounds {args.rounds} --seconds {args.seconds:g} "
        f"--flood-seconds {args.flood_seconds:g}",
        note=load_note(before) + " Clients ran on the same cores as the servers.",
    )


def _json(command: list[object]) -> dict:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    found: dict = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
