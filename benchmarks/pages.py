"""Measure the pages in Chromium: first result, bytes of the viewer, worklist of 100,000 studies; beside a bare page.

    python -m benchmarks.pages [--studies 100000] [--rounds 5]

The server runs with the network that ships. The line of the browser is throttled to 50 Mbit/s and 20 ms.
"""

import argparse
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks._support.results import load_note, markdown_table, write_results
from covid_xray.images.phantoms.phantom import draw, draw_anatomy

LINE = {"offline": False, "latency": 20, "downloadThroughput": 50e6 / 8, "uploadThroughput": 50e6 / 8}
SIDE = 2000  # pixels of the film
GOALS = {"first result, s": 0.5, "viewer of a 2,000 px film, kB": 600}
# What is asked of the worklist, in ms; both by the clock and of processor.
QUERIES = {
    "worklist of all studies": "sort=suspicion",
    "search, one match": "q=77123",
    "search, no match": "q=nothing-like-it",
    "search, all match": "q=.png",
    "one answer": "label=normal",
    "not yet reviewed": "feedback=none",
}
GOALS |= {f"{name}, ms": 100 for name in QUERIES}
BARE = """
import sys, uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
app = FastAPI()
@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return "<!doctype html><title>bare</title><h1>bare</h1>"
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


def main() -> None:
    """Run all measurements and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options, before = parser.parse_args(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, pid), bare(18790) as other:
        film = Path(folder) / "film.png"
        Image.fromarray(draw_film(seed=1)).save(film)
        measured = in_browser(address, other, film, pid, rounds=options.rounds)
        fill(Path(folder) / "store" / "studies.sqlite", options.studies)
        for name, query in QUERIES.items():
            measured |= worklist(f"{address}/worklist?{query}", name, pid, options.rounds)
        measured["bare FastAPI page, ms"] = requests(other, options.rounds)
    report(measured, options, before=before)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """Run `covid-xray serve` on a free port; give its address and process id."""
    log = folder / "log"
    command = [sys.executable, "-m", "covid_xray", "serve", "--store", str(folder / "store"), "--port", "0"]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            while "at http" not in (text := log.read_text()):
                time.sleep(0.1)
            yield "http" + text.split("at http")[1].split()[0], process.pid
        finally:
            process.terminate()


@contextmanager
def bare(port: int) -> Iterator[str]:
    """Run a FastAPI application of one page."""
    address = f"http://127.0.0.1:{port}/"
    with subprocess.Popen([sys.executable, "-c", BARE, str(port)]) as process:
        try:
            while not _answers(address):
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def in_browser(address: str, other: str, film: Path, pid: int, *, rounds: int) -> dict[str, list[float]]:
    """Measure what a person waits for; the first round warms up and does not count."""
    found: dict[str, list[float]] = {}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for turn in range(rounds + 1):
            context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=address)
            page = context.new_page()
            context.new_cdp_session(page).send("Network.emulateNetworkConditions", LINE)
            values = first_result(page, film, pid)
            link = page.locator("#results .name").get_attribute("href")
            values["viewer of a 2,000 px film, kB"] = transferred(page, link) / 1000
            values["bare page in the browser, s"] = seconds(lambda page=page: page.goto(other))
            values["first result, in bare pages"] = values["first result, s"] / values["bare page in the browser, s"]
            values["start page in the browser, s"] = seconds(lambda page=page: page.goto("/"))
            context.close()
            for name, value in values.items() if turn else ():
                found.setdefault(name, []).append(value)
        browser.close()
    return found


def first_result(page: Page, film: Path, pid: int) -> dict[str, float]:
    """Measure from choosing a file to seeing its answer; a small copy of the film, as most public images are."""
    small = film.with_name(f"{secrets.token_hex(4)}.png")
    pixels = np.asarray(Image.open(film).resize((1024, 1024)))
    Image.fromarray(np.clip(pixels + np.random.default_rng().normal(0, 1, pixels.shape), 0, 255).astype("uint8")).save(
        small
    )
    page.goto("/", wait_until="networkidle")
    begin, used = time.perf_counter(), processor_ms(pid)
    page.set_input_files("#files", str(small))
    page.locator("#results .result:not(.waiting)").wait_for()
    took, used = time.perf_counter() - begin, processor_ms(pid) - used
    page.set_input_files("#files", str(film))
    page.locator("#results .result:not(.waiting)").nth(1).wait_for()
    page.locator("#results .result").first.evaluate("row => row.remove()")
    return {"first result, s": took, "first result, ms of the server's processor": used}


def transferred(page: Page, path: str | None) -> float:
    """Count the bytes of a page with all that it loads, before anything is touched; nothing is cached."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    total = [0.0]
    session.on("Network.loadingFinished", lambda event: total.__setitem__(0, total[0] + event["encodedDataLength"]))
    page.goto(path or "/", wait_until="networkidle")
    session.detach()
    return total[0]


def fill(file: Path, studies: int) -> None:
    """Copy a stored study as often as wanted, each with an id, a time and a suspicion of its own."""
    random = np.random.default_rng(0)
    with sqlite3.connect(file) as database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM studies LIMIT 1").fetchone())
        marks = ", ".join(f":{name}" for name in row)
        made = (
            row
            | {"id": secrets.token_hex(16), "name": f"{n}.png", "suspicion": float(random.random())}
            | {"created": f"2026-11-{1 + n % 28:02} 08:00:{n % 60:02}.000000", "unsaid": int(n % 500 == 0)}
            | {"label": "cannot say" if n % 500 == 0 else "normal"}
            for n in range(studies)
        )
        database.executemany(f"INSERT INTO studies ({', '.join(row)}) VALUES ({marks})", made)


def worklist(place: str, name: str, pid: int, rounds: int) -> dict[str, list[float]]:
    """Measure a page of the list by the clock, and by the server's processor time, which other work hardly changes."""
    taken, used = requests(place, rounds), []
    for _ in range(rounds):
        before = processor_ms(pid)
        requests(place, 10)
        used.append((processor_ms(pid) - before) / 11)
    return {f"{name}, ms": taken, f"{name}, ms of processor": used}


def processor_ms(pid: int) -> float:
    """Read the processor time of a process and of those that it started, in ms."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return 1000 * sum(each.user + each.system for each in times)


def requests(address: str, rounds: int) -> list[float]:
    """Measure requests without a browser, in ms; the first does not count."""
    with httpx.Client(timeout=60) as client:
        return [1000 * seconds(lambda: client.get(address).raise_for_status()) for _ in range(rounds + 1)][1:]


def seconds(act: Callable[[], Any]) -> float:
    """Measure how long a call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def draw_film(*, seed: int) -> np.ndarray:
    """Draw a chest of SIDE pixels with the noise of an exposure."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(draw(draw_anatomy(random, child=False), size=1000, seed=seed).pixels)
    pixels = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.float32)
    return np.clip(pixels + random.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def report(measured: dict[str, list[float]], options: argparse.Namespace, *, before: float) -> None:
    """Write the page: medians, the slowest, and the goals."""
    rows = [
        [name, f"{median(values):.3g}", f"{max(values):.3g}", GOALS.get(name, "")] for name, values in measured.items()
    ]
    write_results(
        "pages",
        {"rounds": options.rounds, "studies": options.studies, "measured": measured},
        markdown_table(["what", "median", "largest", "goal"], rows),
        title="The pages in a browser",
        command=f"python -m benchmarks.pages --studies {options.studies} --rounds {options.rounds}",
        note=load_note(before),
    )
    print(json.dumps({name: median(values) for name, values in measured.items()}, indent=1))


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
