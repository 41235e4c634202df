"""Time `covid-xray evaluate` against `covid-xray predict` on the same images.

Goal: evaluating 5,000 images with 1,000 bootstrap rounds takes at most 1.3 times the prediction plus 20 s. Both run in
processes of their own, from start to the last file, and take turns.

    python -m benchmarks.evaluate_time --run RUN_FOLDER [--data FOLDER --label covid ...] [--images 5000] [--rounds 2]

Without --data phantoms are drawn: two sources, patients with up to two images.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks._support.results import RESULTS, load_note, markdown_table, timed, write_results

FACTOR, EXTRA = 1.3, 20.0
BOOTSTRAP = 1000
COMMAND = (sys.executable, "-m", "covid_xray")


def main() -> None:
    """Measure in turns and write docs/results/evaluate_time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2, help="turns of both commands")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        table = chosen(options, work) if options.data else phantoms(options.images, work)
        turns = [turn(options.run, table, work) for _ in range(options.rounds)]
    result = summary(turns, "radiographs" if options.data else "phantoms")
    title = "Time of an evaluation"
    write_results("evaluate_time", result, page(result), title=title, command=command(options), note=load_note(before))
    print((RESULTS / "evaluate_time.md").read_text())


def chosen(options: argparse.Namespace, work: Path) -> Path:
    """Write a CSV of at most `images` rows with the chosen labels, evenly over the table, and links to their files."""
    from covid_xray.data.manifest.manifest import read_manifest, select, write_manifest

    manifest = read_manifest(options.data, check=False)
    if options.label:
        manifest = select(manifest, labels=options.label)
    count = len(manifest.table)
    step = max(1.0, count / options.images)
    rows = sorted({int(i * step) for i in range(min(count, options.images))})
    manifest = manifest.take([row in set(rows) for row in range(count)])
    for image in manifest.table["image"]:
        link = work / "data" / image
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(manifest.path(image).resolve())
    write_manifest(type(manifest)(manifest.table, work / "data", manifest.quarantine), work / "data" / "manifest.csv")
    return work / "data" / "manifest.csv"


def phantoms(count: int, work: Path) -> Path:
    """Draw `count` phantoms, and tabulate them."""
    from covid_xray.data.manifest.manifest import read_manifest, write_manifest
    from covid_xray.images.phantoms.dataset import draw_dataset

    draw_dataset(work / "drawn", patients=count * 3 // 4, seed=0, clean=True)  # one or two pictures of each
    manifest = read_manifest(work / "drawn")
    if len(manifest.table) < count:
        raise SystemExit(f"Only {len(manifest.table)} phantoms were drawn; {count} are needed.")
    manifest = manifest.take([row < count for row in range(len(manifest.table))])
    (work / "data").mkdir()
    write_manifest(manifest, work / "data" / "manifest.csv")
    return work / "data" / "manifest.csv"


def turn(run: Path, table: Path, work: Path) -> dict:
    """Time both commands once; stop when either lacks an image."""
    root = table.parent if not (work / "drawn").exists() else work / "drawn"
    results = {name: work / name for name in ("predicted", "evaluated")}
    for folder in results.values():
        shutil.rmtree(folder, ignore_errors=True)
    images = listed(table, root)
    predict = timed([*COMMAND, "predict", *images, "--bundle", run / "bundle", "--csv", "-o", results["predicted"]])
    evaluate = timed(
        [*COMMAND, "evaluate", run, "--data", table, "--part", "all", "--rounds", BOOTSTRAP, "-o", results["evaluated"]]
    )
    metrics = json.loads((results["evaluated"] / "metrics.json").read_text())
    scored = metrics["n_images"] + len(metrics["failures"])
    rows = len((results["predicted"] / "predictions.csv").read_text(errors="replace").splitlines()) - 1
    if not rows == scored == len(images):
        raise SystemExit(f"predict answered {rows} and evaluate {scored} of {len(images)} images.")
    return {
        "images": scored,
        "predict": predict["seconds"],
        "evaluate": evaluate["seconds"],
        "allowed": FACTOR * predict["seconds"] + EXTRA,
        "evaluate_cpu": evaluate["cpu_seconds"],
        "predict_cpu": predict["cpu_seconds"],
        "evaluate_peak_mib": evaluate["peak_mib"],
    }


def listed(table: Path, root: Path) -> list[Path]:
    """List the files of the table."""
    from covid_xray.data.manifest.tables import read_table

    return [root / image for image in read_table(table, required=("image",))["image"]]


def summary(turns: list[dict], what: str) -> dict:
    """Compute medians of the turns, and whether the goal was met in each."""
    middle = {name: median(one[name] for one in turns) for name in turns[0]}
    return {"what": what, "bootstrap_rounds": BOOTSTRAP, "turns": turns, "median": middle,
            "met": all(one["evaluate"] <= one["allowed"] for one in turns)}  # fmt: skip


def page(result: dict) -> str:
    """Format the table and the verdict."""
    rows = [
        [number, one["images"], f"{one['predict']:.1f}", f"{one['evaluate']:.1f}", f"{one['allowed']:.1f}",
         f"{one['evaluate_cpu'] - one['predict_cpu']:.1f}"]
        for number, one in enumerate(result["turns"], start=1)
    ]  # fmt: skip
    head = [
        "turn",
        f"images ({result['what']})",
        "predict, s",
        "evaluate, s",
        "allowed, s",
        "additional processor seconds",
    ]
    verdict = "met" if result["met"] else "**missed**"
    goal = (
        f"Goal: evaluate takes at most {FACTOR:g} x predict + {EXTRA:g} s with {result['bootstrap_rounds']:,} rounds: "
        f"{verdict}."
    )
    return markdown_table(head, rows) + f"\n\n{goal}"


def command(options: argparse.Namespace) -> str:
    """Format the command line without the folders of this machine."""
    data = ["--data FOLDER", *(f"--label {label}" for label in options.label)] if options.data else []
    return " ".join(
        [
            "python -m benchmarks.evaluate_time --run RUN",
            *data,
            f"--images {options.images}",
            f"--rounds {options.rounds}",
        ]
    )


if __name__ == "__main__":
    main()
