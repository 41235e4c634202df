"""Measure recall, precision and cost of finding copies of a radiograph, against perceptual hashes.

Real radiographs: pairs by source, what they mean, and how many of them simple hashes find. Altered copies: 683 of the
radiographs changed in nine ways and mixed with the real ones. Growth: 1,000, 3,000 and 6,000 images.

    python -m benchmarks.duplicates --data FOLDER_OF_THE_RADIOGRAPHS [--work DIR] [--workers 2]

Writes docs/results/duplicates.{json,md} and docs/results/cxr-duplicates.csv.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks._support.altered_images import WAYS, write_altered
from benchmarks._support.results import RESULTS, markdown_table, write_results
from covid_xray.data.duplicates.duplicates import Pair, find_pairs, group_pairs, write_duplicates
from covid_xray.data.duplicates.overlap import (
    contradictions,
    distinct,
    double_patients,
    patients_in_two_classes,
    shared_pairs,
)
from covid_xray.data.manifest.manifest import Manifest, read_manifest, select
from covid_xray.data.split.groups import with_duplicates

SIZES = (1000, 3000, 6000)
HASH_BITS = (0, 4, 8, 12)  # largest Hamming distance of a pair, of 64 bits

GROWTH = (
    "images", "CPU s", "CPU ms per image", "seconds", "cores used", "seconds on free cores", "steps (s)",
    "own memory, MiB", "with mapped files, MiB",
)  # fmt: skip


def main() -> None:
    """Measure the real set, the altered copies and the growth, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/duplicates"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one", type=Path, help="internal: measure one list of files and stop")
    args = parser.parse_args()
    if args.one:
        one(args.one, workers=args.workers)
        return
    manifest = read_manifest(args.data, check=False)
    real = {image: manifest.path(image) for image in manifest.table["image"]}
    copies = write_altered(real, args.work / "altered", count=SIZES[-1] - len(real))
    everything = {**real, **{name: args.work / "altered" / name for name in copies}}
    runs = {size: measured(sample(everything, size), args.work, workers=args.workers) for size in SIZES}
    pairs = [Pair(*row) for row in runs[SIZES[-1]].pop("pairs")]
    for run in runs.values():
        run.pop("pairs", None)
    among_real = [pair for pair in pairs if pair.first in real and pair.second in real]
    table = group_pairs(among_real)
    write_duplicates(table, RESULTS / "cxr-duplicates.csv")
    result = {
        "real": real_facts(with_duplicates(manifest, table), among_real),
        "altered": altered_facts(pairs, copies, dict(zip(table["image"], table["group"], strict=True))),
        "hashes": hash_facts(everything, among_real, copies, set(real)),
        "growth": {str(size): run for size, run in runs.items()},
        "workers": args.workers,
    }
    write_results(
        "duplicates",
        result,
        page(result),
        title="Finding copies of a radiograph",
        command=f"python -m benchmarks.duplicates --data FOLDER --workers {args.workers}",
    )
    print(page(result))


def sample(paths: Mapping[str, Path], size: int) -> dict[str, Path]:
    """Draw `size` of the files, with a fixed seed."""
    names = sorted(paths)
    chosen = np.random.default_rng(0).permutation(len(names))[:size]
    return {names[i]: paths[names[i]] for i in sorted(chosen)}


def measured(paths: Mapping[str, Path], work: Path, *, workers: int) -> dict:
    """Measure seconds, memory and pairs of one run, in a process of its own."""
    listing, out = work / f"{len(paths)}.json", work / f"{len(paths)}-out.json"
    if not out.exists():  # measured by an earlier run
        listing.write_text(json.dumps({name: str(path.resolve()) for name, path in paths.items()}))
        command = [sys.executable, "-m", __spec__.name, "--data", ".", "--one", str(listing), "--workers", str(workers)]
        subprocess.run(command, check=True)
    return json.loads(out.read_text())


def one(listing: Path, *, workers: int) -> None:
    """Find the pairs of one list of files; write pairs and cost."""
    paths = {name: Path(path) for name, path in json.loads(listing.read_text()).items()}
    started, steps, own = time.perf_counter(), {}, [0.0]

    def progress(step: str, done: int, total: int) -> None:
        steps[step] = time.perf_counter() - started
        if done % 50 == 0:
            own[0] = max(own[0], own_memory())

    pairs = find_pairs(paths, workers=workers, progress=progress)
    seconds = time.perf_counter() - started
    marks = [0.0, *steps.values()]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "images": len(paths),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "steps": {name: round(b - a, 1) for name, a, b in zip(steps, marks, marks[1:], strict=False)},
        "peak_mib": round(usage.ru_maxrss / 1024),
        "own_mib": round(own[0]),
        "pairs": [(p.first, p.second, p.kind, p.distance) for p in pairs],
    }
    listing.with_name(f"{listing.stem}-out.json").write_text(json.dumps(result))


def own_memory() -> float:
    """Return the MiB that this process holds, without mapped files (the system may drop those at any time)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def real_facts(manifest: Manifest, pairs: list[Pair]) -> dict:
    """Count what the copies mean for users of the data set."""
    source, split = (manifest.table.set_index("image")[name] for name in ("source", "original_split"))
    covid = select(manifest, labels=["covid"])
    nih = select(manifest, sources=["darkcovidnet"], where=["label!=covid"])
    leaks = [p for p in pairs if source[p.first] == "kermany" and {split[p.first], split[p.second]} == {"train", "val"}]
    kinds = pd.crosstab([f"{source[p.first]} + {source[p.second]}" for p in pairs], [p.kind for p in pairs])
    return {
        "pairs": len(pairs),
        "groups": int(manifest.table["group"].replace("", np.nan).nunique()),
        "source_by_source": shared_pairs(manifest).to_dict(),
        "kinds": kinds.to_dict("index"),
        "covid": dict(zip(("images", "radiographs", "people_at_most"), distinct(covid), strict=True)),
        "all": dict(zip(("images", "radiographs", "people_at_most"), distinct(manifest), strict=True)),
        "two_labels": contradictions(manifest).to_dict("records"),
        "people_with_several_ids": len(double_patients(manifest)),
        "same_source_two_ids": same_source(double_patients(manifest)),
        "kermany_val_in_train": len({p.second if split[p.second] == "val" else p.first for p in leaks}),
        "nih_patients_in_both_classes": len(patients_in_two_classes(nih)),
        "largest_near_distance": max(p.distance for p in pairs),
    }


def same_source(double: pd.DataFrame) -> list[str]:
    """List patient ids of one source whose patients share a radiograph."""
    several = [ids.split(" | ") for ids in double["patients"]]
    return sorted({" = ".join(ids) for ids in several if len({name.rsplit("-", 1)[0] for name in ids}) < len(ids)})


def altered_facts(pairs: list[Pair], copies: dict[str, tuple[str, str]], group: dict[str, str]) -> dict:
    """Compute the recall of altered copies by kind of change, and list wrong pairs that hold a copy."""
    found = {frozenset((pair.first, pair.second)) for pair in pairs}
    rows = [(way, frozenset((name, original)) in found) for name, (original, way) in copies.items()]
    by_way = pd.DataFrame(rows, columns=["way", "found"]).groupby("way")["found"].agg(["sum", "count"])

    def film(name: str) -> str:
        name = copies[name][0] if name in copies else name
        return group.get(name, name)

    with_copy = [pair for pair in pairs if pair.first in copies or pair.second in copies]
    wrong = [pair for pair in with_copy if film(pair.first) != film(pair.second)]
    return {
        "ways": {way: {"found": int(row["sum"]), "of": int(row["count"])} for way, row in by_way.iterrows()},
        "recall": float(by_way["sum"].sum() / by_way["count"].sum()),
        "pairs": len(with_copy),
        "wrong": [list(vars(pair).values()) for pair in wrong],
    }


def hash_facts(paths: Mapping[str, Path], pairs: list[Pair], copies: Mapping, real: set[str]) -> dict:
    """Measure pHash and dHash (64 bits) against the pairs found here, and against the altered copies."""
    names = sorted(paths)
    truth = {frozenset((pair.first, pair.second)) for pair in pairs}
    altered = {frozenset((name, original)) for name, (original, _) in copies.items()}
    facts = {}
    for kind, compute in (("pHash", imagehash.phash), ("dHash", imagehash.dhash)):
        bits = np.array([hashed(paths[name], compute) for name in names], np.float32) * 2 - 1
        distance = ((64 - bits @ bits.T) / 2).astype(np.int8)
        for limit in HASH_BITS:
            close = np.argwhere(np.triu(distance <= limit, k=1))
            near = {frozenset((names[a], names[b])) for a, b in close}
            among = {pair for pair in near if pair <= real}
            facts[f"{kind} within {limit} bits"] = {
                "pairs": len(among),
                "recall": len(among & truth) / len(truth),
                "precision": len(among & truth) / max(1, len(among)),
                "recall_altered": len(near & altered) / len(altered),
            }
    return facts


def hashed(path: Path, compute: Callable) -> np.ndarray:
    """Hash one file to 64 booleans."""
    with Image.open(path) as image:
        return compute(image.convert("L")).hash.ravel()


def page(result: dict) -> str:
    """Format the tables of docs/results/duplicates.md."""
    real, altered = result["real"], result["altered"]
    sources = sorted(real["source_by_source"])
    between = [(a, *[real["source_by_source"][a][b] for b in sources]) for a in sources]
    kinds = [
        (name, row.get("file", 0) + row.get("pixels", 0), row.get("near", 0)) for name, row in real["kinds"].items()
    ]
    ways = [(WAYS[way], row["of"], f"{row['found'] / row['of']:.1%}") for way, row in altered["ways"].items()]
    hashes = [
        (name, f"{row['pairs']:,}", f"{row['recall']:.1%}", f"{row['precision']:.1%}", f"{row['recall_altered']:.1%}")
        for name, row in result["hashes"].items()
    ]
    growth = [growth_row(run, workers=result["workers"]) for run in result["growth"].values()]
    facts = [
        ("covid images", real["covid"]["images"]),
        ("distinct radiographs among them", real["covid"]["radiographs"]),
        ("patients behind them, at most", real["covid"]["people_at_most"]),
        ("radiographs with two labels (covid and normal)", len(real["two_labels"])),
        ("radiographs whose copies name several patient ids", real["people_with_several_ids"]),
        ("sets of such ids with two ids of one source", len(real["same_source_two_ids"])),
        ("val images of Kermany that are also train images", real["kermany_val_in_train"]),
        ("NIH patients in both classes of DarkCovidNet", real["nih_patients_in_both_classes"]),
    ]
    return "\n\n".join(
        [
            f"## Real radiographs: {real['pairs']:,} pairs, {real['groups']:,} groups",
            "Pairs of images that show the same radiograph, by source (diagonal: within one source):",
            markdown_table(["", *sources], between),
            markdown_table(["sources", "same bytes or pixels", "near copies"], kinds),
            markdown_table(["consequence", "number"], facts),
            f"## Altered copies: {altered['recall']:.1%} of {sum(w['of'] for w in altered['ways'].values())} found",
            markdown_table(["change", "copies", "recall"], ways),
            f"{altered['pairs']:,} pairs contain an altered copy; {len(altered['wrong'])} of them are wrong.",
            "## Perceptual hashes on the same images\n\nRecall and precision against the pairs found here. The last "
            "column is recall of the altered copies, whose truth is known.",
            markdown_table(["method", "pairs", "recall", "precision", "recall, altered copies"], hashes),
            f"## Cost, {result['workers']} threads",
            "CPU seconds hardly depend on other work on the machine; seconds do. *Cores used* is CPU seconds divided "
            "by seconds, *seconds on free cores* is CPU seconds divided by threads. *Own memory* leaves out mapped "
            "temporary files, which the system may drop at any time.",
            markdown_table(GROWTH, growth),
        ]
    )


def growth_row(run: dict, *, workers: int) -> tuple:
    """Format one line of the table `GROWTH`."""
    steps = " + ".join(f"{name} {seconds}" for name, seconds in run["steps"].items())
    cpu = run["cpu_seconds"]
    each, given = f"{1000 * cpu / run['images']:.0f}", f"{cpu / run['seconds']:.2f}"
    memory = run["own_mib"], run["peak_mib"]
    return (f"{run['images']:,}", cpu, each, run["seconds"], given, f"{cpu / workers:.0f}", steps, *memory)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
