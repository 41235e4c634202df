"""Time and memory of an ordinary plate, 3520 x 4280 pixels in 16 bits, through each door, beside DCMTK's dcm2pnm.

Needs dcmtk (`scripts/debian_packages.sh`).

    python -m benchmarks.full_size [--rounds 5]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._support.results import load_note, markdown_table, timed, write_results

HEIGHT, WIDTH, BITS = 4280, 3520, 12
COMMAND = Path(sys.executable).parent / "covid-xray"
RATIO, MEMORY = 1.5, 400  # goals: times dcm2pnm, MiB
DECODE = """
import json, resource, sys, time
from pathlib import Path
from covid_xray.images.decode import decode
from covid_xray.images.sandbox import _POOLS, decode_limited
from covid_xray.limits import Limits
path, child, rounds = Path(sys.argv[1]), sys.argv[2] == "child", int(sys.argv[3])
read = decode_limited if child else decode
limits = Limits(decode_seconds=60)
read(path, limits=limits)
who = resource.RUSAGE_SELF
def spent():
    own = sum(resource.getrusage(who)[:2])
    if child:
        pid = next(iter(_POOLS.values())).idle[0].process.pid
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        own += (int(fields[11]) + int(fields[12])) / 100
    return own
runs = []
for _ in range(rounds):
    began, cpu = time.perf_counter(), spent()
    read(path, limits=limits)
    runs.append((time.perf_counter() - began, spent() - cpu))
pid = next(iter(_POOLS.values())).idle[0].process.pid if child else "self"
peak = int(open(f"/proc/{pid}/status").read().split("VmHWM:")[1].split()[0]) / 1024
seconds, cpu = (sorted(column)[rounds // 2] for column in zip(*runs))
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak}))
"""


def main() -> None:
    """Measure every door and write docs/results/full_size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draw", type=Path, help="only draw the plate into this file")
    given = parser.parse_args()
    if given.draw:
        draw_plate(given.draw)
        return
    rounds = given.rounds
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plate = folder / "plate.dcm"  # drawn by another process: its memory would count as that of our children
        subprocess.run([sys.executable, "-m", "benchmarks.full_size", "--draw", plate], check=True)
        runs = {
            "dcm2pnm, window of the data, 8 bits": repeated(
                ["dcm2pnm", "-q", "+Wm", "+ob", plate, folder / "plate.pgm"], rounds
            ),
            "decode, in this process": in_python(plate, "self", rounds),
            "decode_limited, child process": in_python(plate, "child", rounds),
            "covid-xray predict --json, whole command": repeated([COMMAND, "predict", plate, "--json"], rounds),
            "covid-xray serve, one upload": through_server(plate, folder / "web", rounds),
            "covid-xray pacs serve, one C-STORE by dcmsend": through_node(plate, folder / "node", rounds),
        }
    report(runs, before=before, rounds=rounds)


def draw_plate(path: Path) -> None:
    """Write the plate: a drawn gradient with the noise of a detector."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support import drawing

    noise = np.random.default_rng(0).normal(0, 8, (HEIGHT, WIDTH))
    pixels = np.clip(drawing.picture(HEIGHT, WIDTH, bits=BITS) * 0.9 + 100 + noise, 0, 4095).astype(np.uint16)
    uids = {name: f"2.25.{number}" for number, name in enumerate(("StudyInstanceUID", "SeriesInstanceUID"), 1)}
    tags = {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "WindowCenter": "2048", "WindowWidth": "4096"}
    path.write_bytes(drawing.dicom(pixels, bits=BITS, **tags, **uids))


def repeated(command: list[object], rounds: int) -> dict:
    """Run a command after one run that fills the page cache; medians."""
    timed(command)
    return medians([timed(command) for _ in range(rounds)])


def in_python(plate: Path, where: str, rounds: int) -> dict:
    """Decode in a process of its own, or in its child."""
    return dict(json.loads(timed([sys.executable, "-c", DECODE, plate, where, rounds])["output"]))


def through_server(plate: Path, store: Path, rounds: int) -> dict:
    """Upload to a running server."""
    data = plate.read_bytes()
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n' + data + b"\r\n--x--\r\n"

    def upload(line: str) -> None:
        address = re.search(r"http://\S+", line)
        assert address
        request = urllib.request.Request(f"{address[0].rstrip('/')}/api/v1/predict", data=body)
        request.add_header("Content-Type", "multipart/form-data; boundary=x")
        urllib.request.urlopen(request, timeout=120).read()

    return through([COMMAND, "serve", "--port", "0", "--store", store], upload, rounds)


def through_node(plate: Path, store: Path, rounds: int) -> dict:
    """Send to a running node."""

    def send(line: str) -> None:
        port = re.search(r"port (\d+)", line)
        assert port
        command = ["dcmsend", "-aet", "BENCH", "-aec", "COVIDXRAY", "127.0.0.1", port[1], str(plate)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    settings = ["--set", "port=0", "--set", 'callers=["BENCH"]', "--set", "results=[sc]"]
    return through([COMMAND, "pacs", "serve", "--store", store, *settings], send, rounds)


def through(command: list[object], ask: Callable[[str], None], rounds: int) -> dict:
    """Start a service and ask it; medians of the answers, and the peak of its largest process."""
    with running(command) as (process, line):
        ask(line)
        runs = []
        for _ in range(rounds):
            began, cpu = time.perf_counter(), spent(process.pid)
            ask(line)
            runs.append({"seconds": time.perf_counter() - began, "cpu_seconds": spent(process.pid) - cpu})
        peak = max(peak_of(pid) for pid in family(process.pid))
    return {**medians(runs), "peak_mib": peak}


@contextmanager
def running(command: list[object]) -> Iterator[tuple[subprocess.Popen, str]]:
    """Start a service; yield its process and the first line that it prints."""
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        yield process, process.stdout.readline() + process.stdout.readline()
    finally:
        process.terminate()
        process.wait(60)


def family(pid: int) -> list[int]:
    """List a process and its children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for task in tasks for child in task.read_text().split())]


def peak_of(pid: int) -> float:
    """Read the peak resident memory in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def spent(pid: int) -> float:
    """Read the processor seconds of a process and its children."""
    found = 0.0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def medians(runs: list[dict]) -> dict:
    """Take medians of seconds, and the largest peak."""
    found = {key: median(run[key] for run in runs) for key in ("seconds", "cpu_seconds")}
    return found | ({"peak_mib": max(run["peak_mib"] for run in runs)} if "peak_mib" in runs[0] else {})


def report(runs: dict[str, dict], *, before: float, rounds: int) -> None:
    """Write the page."""
    theirs = next(iter(runs.values()))
    rows = [
        [name, f"{run['seconds']:.2f}", f"{run['cpu_seconds']:.2f}", f"{run['peak_mib']:.0f}",
         f"{run['cpu_seconds'] / theirs['cpu_seconds']:.1f}x"]
        for name, run in runs.items()
    ]  # fmt: skip
    ours = [run["cpu_seconds"] / theirs["cpu_seconds"] for name, run in runs.items() if name.startswith("decode")]
    peaks = max(run["peak_mib"] for run in runs.values())
    goals = (
        f"Goals: decoding in at most {RATIO} times the processor time of dcm2pnm (measured: {ours[0]:.1f} in the "
        f"process, {ours[1]:.1f} in a child, with the pipes); less than {MEMORY} MiB in any process (measured: "
        f"{peaks:.0f}). The other doors also start Python, find the lungs, run the network, or store the picture."
    )
    header = ["door", "seconds", "processor seconds", "peak MiB of the largest process", "times dcm2pnm"]
    write_results(
        "full_size",
        {"rounds": rounds, "load_before": before, "runs": runs},
        f"{WIDTH} x {HEIGHT} pixels, {BITS} bits in 16, uncompressed, 30 MB; medians of {rounds}.\n\n"
        f"{markdown_table(header, rows)}\n\n{goals}",
        title="A plate of full size through each door",
        command=f"python -m benchmarks.full_size --rounds {rounds}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
