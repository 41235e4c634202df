"""Format the runs of benchmarks/score_scale.py as its page, and compute the ratios that the page states."""

from statistics import median

from benchmarks._support.results import markdown_table

KINDS = ("driver", "worker", "decoder")
HEADER = ["set", "engine", "workers", "inputs", "inputs/s, steady", "first partition, s", "total, s", "processor, s"]


def tables(runs: list[dict], size: dict, net: dict | None) -> tuple[str, dict]:
    """Return the page and the ratios that it states, medians over the rounds."""
    sets = [name for name in ("real", "tiny") if any(run["set"] == name for run in runs)]
    counts = {"tiny": size["images"], "real": size.get("real_images")}
    facts = {name: ratios(runs, name, counts[name]) for name in sets}
    facts["memory"] = {engine: growth(runs, engine, size) for engine in ("local", "ray")}
    facts["start"] = starts(runs)
    text = markdown_table(["what", "goal", *(f"measured, {name}" for name in sets)], _goals(facts, sets))
    few_many = f"{size['few']:,} and at {size['many']:,}"
    text += f"\n\nPeak memory of one process, MiB, at {few_many} inputs of `tiny`, two workers:\n\n"
    text += markdown_table(["engine", *KINDS], _memory(facts["memory"]))
    text += "\n\nSeconds from the start of the driver to the first 16 answers on disk:\n\n"
    text += markdown_table(["engine", "wall", "processor"], _start_rows(facts["start"]))
    text += "\n\nAll runs:\n\n" + markdown_table([*HEADER, *(f"{kind} MiB" for kind in KINDS)], map(_line, runs))
    if net:
        cost = [[f"{net[key]:.1f}" for key in ("decode_ms", "lungs_and_gate_ms", "network_ms")]]
        text += (
            f"\n\nOne radiograph ({net['bytes_an_image'] / 1000:.0f} kB) with {net['network']}, core-milliseconds:\n\n"
        )
        text += markdown_table(["decode", "lungs and gate", "network"], cost)
    return text, facts


def ratios(runs: list[dict], name: str, count: int) -> dict[str, float]:
    """Compute the ratios that have goals, for one set of inputs."""

    def of(engine: str, workers: int, what: str) -> float:
        key = (name, engine, workers, count)
        return median(r[what] for r in runs if (r["set"], r["engine"], r["workers"], r["count"]) == key)

    return {
        "ray_overhead_steady": of("local", 1, "steady_per_second") / of("ray", 1, "steady_per_second") - 1,
        "ray_overhead_wall": of("ray", 1, "seconds") / of("local", 1, "seconds") - 1,
        "ray_overhead_cpu": of("ray", 1, "cpu_seconds") / of("local", 1, "cpu_seconds") - 1,
        **{
            f"two_workers_{engine}": of(engine, 2, "steady_per_second") / of(engine, 1, "steady_per_second")
            for engine in ("local", "ray")
        },
        **{
            f"two_workers_{engine}_wall": of(engine, 1, "seconds") / of(engine, 2, "seconds")
            for engine in ("local", "ray")
        },
        "core_ms_an_input": 1000 * of("local", 1, "cpu_seconds") / count,
        "answer_bytes_an_input": of("local", 1, "answers_bytes") / count,
    }


def growth(runs: list[dict], engine: str, size: dict) -> dict[str, list[float]]:
    """Return peak MiB of a process of each kind, at few and at many inputs."""
    found = {r["count"]: r["peak_mib"] for r in runs if (r["set"], r["engine"], r["workers"]) == ("tiny", engine, 2)}
    return {kind: [found[size["few"]][kind], found[size["many"]][kind]] for kind in KINDS}


def starts(runs: list[dict]) -> dict[str, dict[str, float]]:
    """Return seconds from the driver's start to the first answers, and the processor seconds of such a run."""
    engines = dict.fromkeys(r["engine"] for r in runs if r["set"] == "start")
    return {
        engine: {
            what: median(r[what] for r in runs if (r["set"], r["engine"]) == ("start", engine))
            for what in ("first_partition_seconds", "cpu_seconds")
        }
        for engine in engines
    }


def _goals(facts: dict, sets: list[str]) -> list[list[str]]:
    wanted = [
        ("Ray at one worker against local, steady rate", "<= +10 %", "ray_overhead_steady", "+.1%"),
        ("the same, wall time including start and end", "<= +10 %", "ray_overhead_wall", "+.1%"),
        ("the same, processor time including start and end", "<= +10 %", "ray_overhead_cpu", "+.1%"),
        ("two workers against one, local, steady rate", ">= 1.8", "two_workers_local", ".2f"),
        ("two workers against one, Ray, steady rate", ">= 1.8", "two_workers_ray", ".2f"),
        ("two workers against one, local, wall time including start and end", "", "two_workers_local_wall", ".2f"),
        ("two workers against one, Ray, wall time including start and end", "", "two_workers_ray_wall", ".2f"),
        ("processor time of one input, local, ms", "", "core_ms_an_input", ".2f"),
        ("answers on disk, bytes per input", "", "answer_bytes_an_input", ".0f"),
    ]
    return [[what, goal, *(format(facts[name][key], style) for name in sets)] for what, goal, key, style in wanted]


def _memory(memory: dict) -> list[list[str]]:
    return [[engine, *(f"{few:.0f} to {many:.0f}" for few, many in kinds.values())] for engine, kinds in memory.items()]


def _start_rows(start: dict) -> list[list[str]]:
    return [[e, f"{v['first_partition_seconds']:.1f}", f"{v['cpu_seconds']:.1f}"] for e, v in start.items()]


def _line(run: dict) -> list[str]:
    steady = run["steady_per_second"]
    return [
        run["set"], run["engine"], run["workers"], f"{run['rows']:,}", f"{steady:.1f}" if steady else "",
        f"{run['first_partition_seconds']:.1f}", f"{run['seconds']:.1f}", f"{run['cpu_seconds']:.1f}",
        *(f"{run['peak_mib'][kind]:.0f}" for kind in KINDS),
    ]  # fmt: skip
