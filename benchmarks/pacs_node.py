"""Measure the DICOM node: objects per core-second beside Orthanc's plain receive, and live images during a large pull.

Throughput: storescu sends the same files to Orthanc, which stores them, and to `covid-xray pacs serve`, which stores,
decodes and classifies them and makes their result objects (`test_mode`); the two take turns.

Order of work: a node has thousands of fetched objects in its queue; a modality sends one image at a time. How long it
waits is compared with the same node without the pull, and batches that came between are counted.

    python -m benchmarks.pacs_node [--objects 48] [--rounds 3] [--pulled 10000] [--live 12]
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks._support.results import load_note, markdown_table, write_results

GOAL = 3.0  # objects answered per core-second
SIZE, BITS = (2500, 2048), 12  # of an ordinary plate, 10 MB uncompressed
CALLER, TRIES = "MODALITY", 20


def main() -> None:
    """Measure and write docs/results/pacs_node."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pulled", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=12)
    args = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        data = film()
        speed = throughput(Path(folder), data, objects=args.objects, rounds=args.rounds)
        waits = {
            f"{count:,} fetched objects wait": order(Path(folder), data, count, args.live) for count in (0, args.pulled)
        }
    report(args, speed, waits, before=before)


def film() -> bytes:
    """Draw one chest as a DX file of an ordinary plate, with the noise of a detector."""
    import numpy as np

    from support import films, studies

    grain = np.random.default_rng(0).normal(0, 6, SIZE)
    drawn = films.film(0, height=SIZE[0], width=SIZE[1]) * 14.0 + grain
    return studies.film(np.clip(drawn, 0, 2**BITS - 1).astype(np.uint16), bits=BITS, number=9_000_000)


def numbered(data: bytes, number: int) -> bytes:
    """Return the file under another SOP Instance UID, of the same length; `number` is below 999,999."""
    return data.replace(b".9000000", f".{9_000_001 + number}".encode())


def throughput(folder: Path, data: bytes, *, objects: int, rounds: int) -> dict[str, list[dict]]:
    """Send the objects to each server once a round; return seconds and processor seconds of each."""
    sent = folder / "sent"
    sent.mkdir()
    for number in range(objects):
        (sent / f"{number}.dcm").write_bytes(numbered(data, number))
    runs: dict[str, list[dict]] = {"Orthanc, stores": [], "covid-xray pacs serve, stores and answers": []}
    for turn in range(rounds):
        for name, server in zip(runs, (orthanc_run, node_run), strict=True):
            runs[name].append(server(folder / f"{turn}", sent, objects))
            print(f"round {turn + 1}: {name}: {runs[name][-1]}", flush=True)
    return runs


def orthanc_run(folder: Path, sent: Path, objects: int) -> dict:
    """Let Orthanc store the objects."""
    from support import orthanc

    with orthanc.running(folder / "orthanc") as archive:
        process = _child(b"Orthanc")
        began, cpu = time.perf_counter(), _cpu(process)
        _send(sent, archive.dicom, called="ORTHANC")
        while len(archive.instances()) < objects:
            time.sleep(0.05)
        return _measured(objects, began, _cpu(process) - cpu)


def node_run(folder: Path, sent: Path, objects: int) -> dict:
    """Let the node store and answer the objects; its start is not counted."""
    from covid_xray.bundle.bundle import DEFAULT
    from support import nodes

    limits = {"decode_seconds": 60}  # another load on the machine must not fail an object
    with nodes.running(folder / "node", DEFAULT, test_mode=True, limits=limits) as node:
        assert node.process is not None
        began, cpu = time.perf_counter(), _cpu(node.process.pid)
        _send(sent, node.port, called="COVIDXRAY")
        node.until(lambda: node.counts().get("arrivals answered") == objects, seconds=3600)
        return _measured(objects, began, _cpu(node.process.pid) - cpu)


def order(folder: Path, data: bytes, pulled: int, live: int) -> dict:
    """Send single images to a node with `pulled` objects in its queue; return waits and the batches in between."""
    from covid_xray.inference.predictor import Predictor
    from covid_xray.limits import Limits
    from covid_xray.pacs.store_scp import StoreScp
    from support import services

    (folder / "live").mkdir(exist_ok=True)
    waits, between = [], []
    settings = {"callers": [CALLER], "waiting": 50_000}
    with services.opened(folder / f"order{pulled}", Predictor(threads=1, untrusted=True), **settings) as parts:
        _fill(parts, data, pulled)
        batches, stopping = _count_batches(parts), threading.Event()
        worker = threading.Thread(target=_work, args=(parts, stopping), daemon=True)
        with StoreScp(parts.settings, parts.receiver, limits=Limits(decode_seconds=60)).listening() as port:
            _send_one(folder / "live", numbered(data, 400_000), port)  # starts the decoding process
            worker.start()
            for number in range(live):
                while not _answered(parts, number + 1):
                    time.sleep(0.01)
                _send_one(folder / "live", numbered(data, 400_001 + number), port)
                began, first = time.perf_counter(), len(batches)
                while not _answered(parts, number + 2):
                    time.sleep(0.01)
                waits.append(time.perf_counter() - began)
                between.append(sum(not one for one in batches[first:]))
            stopping.set()
            parts.receiver.wake.set()
            worker.join()
    return {"seconds": waits, "batches_between": between}


def report(args: argparse.Namespace, runs: dict[str, list[dict]], waits: dict[str, dict], *, before: float) -> None:
    """Write the page."""
    names = [*runs]
    rates = {name: median(one["per_core_second"] for one in found) for name, found in runs.items()}
    speed = markdown_table(
        ("server", "objects/s", "objects per core-second", "core-milliseconds per object"),
        (
            (
                name,
                f"{median(one['per_second'] for one in found):.2f}",
                f"{rates[name]:.2f}",
                f"{1000 / rates[name]:.0f}",
            )
            for name, found in runs.items()
        ),
    )
    line = markdown_table(
        ("queue", "median wait, s", "longest wait, s", "batches of other objects in between, at most"),
        (
            (name, f"{median(one['seconds']):.2f}", f"{max(one['seconds']):.2f}", max(one["batches_between"]))
            for name, one in waits.items()
        ),
    )
    reached = "reached" if rates[names[1]] >= GOAL else "missed"
    text = (
        f"{args.objects} films of {SIZE[0]} x {SIZE[1]} pixels in {BITS} bits by one association, {args.rounds} rounds "
        f"in turns, medians; the bundle that ships.\n\n{speed}\n\nGoal: at least {GOAL:g} objects answered per "
        f"core-second: {reached}. Orthanc's plain receive takes {rates[names[1]] / rates[names[0]]:.2f} of the "
        "processor time.\n\nOne image at a time to a node that works on a queue, until it is answered "
        f"({args.live} images each):\n\n{line}\n"
    )
    facts = {"throughput": runs, "order": waits, "rates": rates}
    command = f"python -m benchmarks.pacs_node --objects {args.objects} --rounds {args.rounds} --pulled {args.pulled}"
    write_results(
        "pacs_node", facts, text, title="The DICOM node: throughput, and live images during a pull",
        command=f"{command} --live {args.live}", note=load_note(before),
    )  # fmt: skip


def _fill(parts: object, data: bytes, count: int) -> None:
    """Queue `count` fetched objects, whose files are links to one."""
    from covid_xray.pacs.work_queue import PULLED, Arrival
    from covid_xray.store.records import new_id

    one = parts.spool.incoming / "one.dcm"
    new = [Arrival(new_id(), "archive", "1.2", f"1.2.{number}", "a" * 64, priority=PULLED) for number in range(count)]
    for arrival in new:
        one.unlink(missing_ok=True) if one.exists() and one.stat().st_nlink > 1000 else None
        if not one.exists():
            one.write_bytes(data)
        os.link(one, parts.spool.original_path(arrival.id))
    parts.queue.add(new)


def _count_batches(parts: object) -> list[bool]:
    """Note of each batch that ends whether it held an object that was sent."""
    from covid_xray.pacs.work_queue import LIVE

    record, claim, batches = parts.queue.record, parts.queue.claim, []
    claimed = []

    def claiming(**given: int) -> list:
        claimed[:] = claim(**given)
        return list(claimed)

    def recording(*given: object, **more: object) -> None:
        record(*given, **more)
        batches.append(any(one.priority >= LIVE for one in claimed))

    parts.queue.claim, parts.queue.record = claiming, recording
    return batches


def _work(parts: object, stopping: threading.Event) -> None:
    while not stopping.is_set():
        if not parts.worker.process_batch():
            parts.receiver.wake.wait(1)
            parts.receiver.wake.clear()


def _answered(parts: object, count: int) -> bool:
    import sqlalchemy as sa

    from covid_xray.pacs.work_queue import ANSWERED
    from covid_xray.store.tables import arrivals

    where = (arrivals.c.origin == CALLER) & (arrivals.c.state == ANSWERED)
    with parts.queue.database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).where(where)).scalar_one() >= count


def _send(what: Path, port: int, *, called: str) -> None:
    options = ["+sd"] if what.is_dir() else []
    command = ["storescu", *options, "-R", "-aet", CALLER, "-aec", called, "127.0.0.1", str(port), str(what)]
    subprocess.run(command, check=True, capture_output=True)


def _send_one(folder: Path, data: bytes, port: int) -> None:
    """Send one image, again where a loaded machine took too long to decode it."""
    (folder / "live.dcm").write_bytes(data)
    for turn in range(TRIES):
        try:
            return _send(folder, port, called="COVIDXRAY")
        except subprocess.CalledProcessError:
            if turn == TRIES - 1:
                raise
    return None


def _measured(objects: int, began: float, cpu: float) -> dict:
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu_seconds": cpu, "per_second": objects / seconds, "per_core_second": objects / cpu}


def _child(name: bytes) -> int:
    """Return the id of the child process that runs a program."""
    for pid in _below(os.getpid()):
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    raise SystemExit(f"{name.decode()} does not run.")


def _cpu(pid: int) -> float:
    """Return the processor seconds that a process and its children, also ended ones, have used."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0
    for one in _below(pid):
        with contextlib.suppress(OSError):
            total += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return total / ticks


def _below(pid: int) -> Iterator[int]:
    from benchmarks._support.process_meter import below

    yield from below(pid)


if __name__ == "__main__":
    main()
