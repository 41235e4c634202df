"""Write the figures of docs/explanation/scale.md from docs/results/score_scale.json, and arithmetic on them.

    python scripts/write_scale_page.py [--check]

Each block of the page between `<!-- NAME -->` and `<!-- /NAME -->` is written here and nowhere else. A test compares the
page with the file.
"""

import json
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE, RESULT = DOCS / "explanation" / "scale.md", DOCS / "results" / "score_scale.json"
# Assumed prices, for comparison only, in no currency: large providers charge in about these proportions.
CORE_HOUR, THOUSAND_READS, GB_MONTH, GB_OUT = 0.04, 0.0004, 0.023, 0.09
SIZES = {"a million": 1e6, "a hundred million": 1e8}
SHARD = 10_000  # images per shard
NETWORK = 25e9 / 8  # bytes per second of one machine


def table(header: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def duration(seconds: float) -> str:
    """Format seconds as 40 s, 12 min, 5.3 h or 2.1 days."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (129_600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def amount(value: float) -> str:
    """Format a number with two significant digits, or with commas."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.001 else "under 0.001"


def size(count: float) -> str:
    """Format bytes as MB, GB, TB or PB."""
    for limit, unit in ((1e9, "MB"), (1e12, "GB"), (1e15, "TB"), (1e18, "PB")):
        if count < limit:
            return f"{amount(count / limit * 1000)} {unit}"
    return f"{count:.2g} bytes"


def basis(facts: dict) -> dict[str, float]:
    """Collect the measured figures that the arithmetic uses."""
    real, shipped, driver = facts["real"], facts["shipped"], facts["driver"]
    return {
        "core_ms": real["core_ms_an_input"],
        "around_ms": facts["tiny"]["core_ms_an_input"],
        "looking_ms": shipped["decode_ms"] + shipped["lungs_and_gate_ms"] + shipped["network_ms"],
        "jpeg_bytes": shipped["bytes_an_image"],
        "answer_bytes": real["answer_bytes_an_input"],
        "two_per_second": steady(facts, "local", 2),
        "packed_bytes": driver["packed_bytes_an_input"],
        "inputs_a_partition": driver["inputs_a_partition"],
        "commit_wall_ms": driver["commit_wall_ms"],
        "dicom_bytes": facts["dicom"]["uncompressed"]["bytes"],
    }


def steady(facts: dict, engine: str, workers: int) -> float:
    """Compute radiographs per second with the network that ships, median of the rounds."""
    found = sorted(
        run["steady_per_second"]
        for run in facts["runs"]
        if (run["set"], run["engine"], run["workers"]) == ("real", engine, workers)
    )
    return (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2


def ray_idle_cores(facts: dict) -> float:
    """Compute the cores that Ray's own processes and its loop in the driver use while one worker is busy."""

    def of(name: str, engine: str, what: str) -> float:
        found = sorted(r[what] for r in facts["runs"] if (r["set"], r["engine"], r["workers"]) == (name, engine, 1))
        return (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2

    more = {name: of(name, "ray", "cpu_seconds") - of(name, "local", "cpu_seconds") for name in ("real", "start")}
    return (more["real"] - more["start"]) / of("real", "ray", "seconds")


def goals(facts: dict) -> str:
    """Format the goals and the measurements."""
    real, tiny = facts["real"], facts["tiny"]
    grown = {e: max(many / few - 1 for few, many in kinds.values()) for e, kinds in facts["memory"].items()}
    start = {engine: found["first_partition_seconds"] for engine, found in facts["start"].items()}
    few, many = facts["few"], facts["many"]
    rows = [
        ["Ray at one worker against local, steady rate", "<= +10 %", f"{real['ray_overhead_steady']:+.1%}",
         f"{tiny['ray_overhead_steady']:+.1%}"],
        ["the same, wall time from start to end", "<= +10 %", f"{real['ray_overhead_wall']:+.1%}",
         f"{tiny['ray_overhead_wall']:+.1%}"],
        ["the same, processor time of all processes", "<= +10 %", f"{real['ray_overhead_cpu']:+.1%}",
         f"{tiny['ray_overhead_cpu']:+.1%}"],
        ["two workers against one, local", ">= 1.8", f"{real['two_workers_local']:.2f}",
         f"{tiny['two_workers_local']:.2f}"],
        ["two workers against one, Ray", ">= 1.8", f"{real['two_workers_ray']:.2f}", f"{tiny['two_workers_ray']:.2f}"],
        [f"peak memory of any process, {many:,} inputs against {few:,}, local", "flat", "", f"{grown['local']:+.0%}"],
        ["the same, Ray", "flat", "", f"{grown['ray']:+.0%}"],
        ["seconds to the first answers: local; Ray started; Ray already running", "", "",
         f"{start['local']:.1f}; {start['ray']:.1f}; {start['ray at an address']:.1f}"],
        ["processor seconds of such a run: local; Ray started", "", "",
         f"{facts['start']['local']['cpu_seconds']:.1f}; {facts['start']['ray']['cpu_seconds']:.1f}"],
        ["cores that Ray's own processes and loop use while one worker is busy", "", f"{ray_idle_cores(facts):.2f}", ""],
    ]  # fmt: skip
    return table(["what", "goal", "radiographs", "minimal network"], rows)


def measured(facts: dict) -> str:
    """Format the figures that the arithmetic uses."""
    b, shipped, driver, dicom = basis(facts), facts["shipped"], facts["driver"], facts["dicom"]
    one = [f"{steady(facts, engine, 1):.0f}, {steady(facts, engine, 2):.0f}" for engine in ("local", "ray")]
    rows = [
        [f"one radiograph (JPEG, {b['jpeg_bytes'] / 1000:.0f} kB), all processes, start included",
         f"**{b['core_ms']:.1f} ms of one core**"],
        ["of this: decode; lungs and gate; network",
         f"{shipped['decode_ms']:.1f}; {shipped['lungs_and_gate_ms']:.1f}; {shipped['network_ms']:.1f} ms"],
        ["of this, with a minimal network: read, hash, child process, rows, Parquet, start", f"{b['around_ms']:.2f} ms"],
        ["radiographs per second with one and two workers, local", one[0]],
        ["the same, Ray", one[1]],
        *([f"a DICOM of 2,500 x 2,048 pixels, {name}, {size(found['bytes'])}: decode; resize, lungs and gate",
           f"{found['decode_ms']:.0f}; {found['lungs_and_gate_ms']:.0f} ms"]
          for name, found in dicom.items()),
        ["driver: list and plan; read again and pack for Ray",
         f"{driver['plan_us_an_input']:.0f}; {driver['pack_us_an_input']:.0f} µs per input"],
        ["driver: commit a partition with fsync, one core; wall time",
         f"{driver['commit_ms']:.2f}; {driver['commit_wall_ms']:.1f} ms"],
        ["plan on disk; packed for Ray",
         f"{driver['plan_bytes_an_input']:.1f}; {driver['packed_bytes_an_input']:.1f} bytes per input"],
        ["answers on disk", f"{b['answer_bytes']:.0f} bytes per input"],
    ]  # fmt: skip
    return table(["what", "figure"], rows)


def computed(facts: dict) -> str:
    """Format what follows for larger archives, which were not run."""
    b = basis(facts)
    hours = {name: n * b["core_ms"] / 3.6e6 for name, n in SIZES.items()}

    def row(what: str, cell) -> list[str]:
        return [what, *(cell(name, n) for name, n in SIZES.items())]

    rows = [
        row("core-hours", lambda name, n: amount(hours[name])),
        row("on these 2 cores, at their measured rate", lambda name, n: duration(n / b["two_per_second"])),
        row("on 64 cores", lambda name, n: duration(3600 * hours[name] / 64)),
        row("on 1,000 cores, without the start", lambda name, n: duration(3600 * hours[name] / 1000)),
        row("price of the cores", lambda name, n: amount(CORE_HOUR * hours[name])),
        row(f"read, JPEG of {b['jpeg_bytes'] / 1000:.0f} kB", lambda name, n: size(n * b["jpeg_bytes"])),
        row(f"read, DICOM of {size(b['dicom_bytes'])}", lambda name, n: size(n * b["dicom_bytes"])),
        row("price of the reads, one file per image", lambda name, n: amount(n / 1000 * THOUSAND_READS)),
        row("price of the reads, shards of 10,000", lambda name, n: amount(n / SHARD / 1000 * THOUSAND_READS)),
        row("storage for a month, such DICOM", lambda name, n: amount(n * b["dicom_bytes"] / 1e9 * GB_MONTH)),
        row("transfer out of the region, such DICOM", lambda name, n: amount(n * b["dicom_bytes"] / 1e9 * GB_OUT)),
        row("answers", lambda name, n: size(n * b["answer_bytes"])),
        row("plan in the driver's memory, packed for Ray", lambda name, n: size(n * b["packed_bytes"])),
        row("partitions", lambda name, n: amount(n / b["inputs_a_partition"])),
    ]
    return table(["", *SIZES], rows)


def bottlenecks(facts: dict) -> str:
    """Format where each part saturates."""
    b, shipped, dicom = basis(facts), facts["shipped"], facts["dicom"]
    small = b["core_ms"]
    stages = ("decode_ms", "lungs_and_gate_ms")
    large = {name: small + sum(found[stage] - shipped[stage] for stage in stages) for name, found in dicom.items()}
    rates = {name: 1000 / large[name] * dicom[name]["bytes"] for name in large}
    rows = [["JPEG", f"{shipped['decode_ms'] / small:.0%}", amount(1000 / small),
             size(1000 / small * b["jpeg_bytes"]), amount(NETWORK / (1000 / small * b["jpeg_bytes"]))]]  # fmt: skip
    rows += [
        [f"DICOM, {name}", f"{dicom[name]['decode_ms'] / large[name]:.0%}", amount(1000 / large[name]),
         size(rates[name]), amount(NETWORK / rates[name])]
        for name in large
    ]  # fmt: skip
    inputs = 1000 / b["commit_wall_ms"] * b["inputs_a_partition"]
    text = table(
        [
            "input",
            "share of decoding",
            "per second and core",
            "read per second and core",
            "cores that saturate 25 Gbit/s",
        ],
        rows,
    )
    return text + (
        f"\n\nThe driver commits {1000 / b['commit_wall_ms']:.0f} partitions per second on this disk, that is {inputs:,.0f} "
        f"inputs: as many as {amount(inputs * small / 1000)} cores answer. Ray's plan for a hundred million inputs is "
        f"{size(1e8 * b['packed_bytes'])}, in shards of 10,000 {size(1e8 / SHARD * b['packed_bytes'] * 10)} at most."
    )


BLOCKS = {"goals": goals, "measured": measured, "computed": computed, "bottlenecks": bottlenecks}


def written(page: str, facts: dict) -> str:
    """Replace the blocks of the page by those that follow from the file."""
    for name, make in BLOCKS.items():
        block = f"<!-- {name} -->\n{make(facts)}\n<!-- /{name} -->"
        page, found = re.subn(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, page, flags=re.S)
        if found != 1:
            raise SystemExit(f"{PAGE.name} has {found} blocks named {name}: it needs exactly one.")
    return page


def main() -> None:
    """Write the page, or with --check fail when it is out of date."""
    page = PAGE.read_text(encoding="utf-8")
    new = written(page, json.loads(RESULT.read_text(encoding="utf-8")))
    if "--check" in sys.argv and new != page:
        raise SystemExit("docs/explanation/scale.md is out of date. Run: python scripts/write_scale_page.py")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
