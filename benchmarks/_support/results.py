"""Write result pages as JSON and Markdown, and describe the machine that they were measured on."""

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from covid_xray.files import write_text
from scripts.compact_json import write_compact_json

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
BY_HAND = "<!-- written by hand -->"  # a page keeps everything from this line on
PACKAGES = ("covid-xray", "keras", "tensorflow-cpu", "tensorflow", "numpy", "onnxruntime", "openvino", "pillow")


def machine() -> dict:
    """Describe processor, cores, the instruction sets that matter here, and package versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "flags": [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags],
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def write_results(name: str, result: dict, tables: str, *, title: str, command: str, note: str = "") -> None:
    """Write docs/results/`name`.json and .md; the page carries the command that made it.

    What people wrote below the line `BY_HAND` of the page stays.
    """
    facts = {"command": command, "commit": commit(), "machine": machine(), **result}
    write_compact_json(RESULTS / f"{name}.json", json.loads(json.dumps(facts, default=float)))
    about = ", ".join([facts["machine"]["processor"], f"{os.cpu_count()} cores", *facts["machine"]["flags"]])
    text = f"# {title}\n\nMade by `{command}` on {about}.\n\n{tables}\n" + (f"\n{note}\n" if note else "")
    page = RESULTS / f"{name}.md"
    _, line, kept = (page.read_text(encoding="utf-8") if page.is_file() else "").partition(BY_HAND)
    write_text(page, text + (f"\n{line}{kept}" if line else ""))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def timed(command: Sequence[object], **environment: str) -> dict:
    """Run a command; return wall and processor seconds, its peak memory in MiB, and what it printed."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{command[:4]} ended with exit code {process.returncode}.")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "output": text,
    }


def load_note(before: float) -> str:
    """Say how busy the machine was, for the results page."""
    return (
        f"Load average before the run: {before:.1f} on {os.cpu_count()} cores. Other work shared the machine, so the "
        "variants took turns; ratios are more reliable than seconds."
    )


def commit() -> str:
    """Return the commit that was measured, with + when the tree had changes."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return result.stdout.strip() or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
