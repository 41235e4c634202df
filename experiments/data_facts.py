"""Examine the public radiographs: copies, patients, contradictions, the data doctor, no-lung baselines.

    python -m experiments.data_facts --data DIR --duplicates docs/results/cxr-duplicates.csv [--doctor FOLDER]

DIR holds metadata.csv and images/ as `covid-xray index --source cxr` reads them. Writes data-facts.json, data-facts.md
and baselines/<set>/baselines.json to docs/results, and with --doctor the doctor's full page of every set to FOLDER. One
process; about ten minutes.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks._support.results import RESULTS, commit, machine
from covid_xray.data.baselines.baselines import Baselines, as_json, run_baselines, write_baselines
from covid_xray.data.baselines.lung_cover import cover_lungs
from covid_xray.data.doctor.doctor import Diagnosis, examine, write_diagnosis
from covid_xray.data.doctor.pitfalls import across_splits
from covid_xray.data.doctor.pixel_facts import PixelFacts, measure
from covid_xray.data.duplicates.overlap import (
    contradictions,
    distinct,
    double_patients,
    patients_in_two_classes,
    shared_pairs,
)
from covid_xray.data.manifest.manifest import Manifest, read_manifest, select
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.files import write_text
from scripts.compact_json import write_compact_json

THREE_CLASSES = {
    "ieee8023:covid": "covid", "cxnet:covid": "covid", "hannover:covid": "covid",
    "kermany:normal": "normal", "darkcovidnet:normal": "normal",
    "kermany:virus": "virus", "ieee8023:virus": "virus",
}  # fmt: skip
# Accuracy in per cent that others reported, or that was measured, on the original files of DarkCovidNet.
PUBLISHED = (
    ("the published network (doi:10.1016/j.compbiomed.2020.103792)", 87.0),
    ("six facts of the original files, random folds", 86.9),
    ("outer frame at 32 x 32, patient-grouped folds", 72.9),
    ("lungs blacked out at 32 x 32, patient-grouped folds", 73.0),
    ("whole picture at 32 x 32, patient-grouped folds", 77.7),
)


def main() -> None:
    """Measure everything and write it."""
    options = arguments()
    started = time.perf_counter()
    manifest = with_duplicates(read_manifest(options.data), read_table(options.duplicates))
    facts = measure(manifest, workers=1)
    results: dict[str, Any] = {"commit": commit(), "machine": machine(), "seconds": {}, "copies": copies(manifest)}
    results["doctor"] = {
        name: doctor(part, pixels, name, options.doctor) for name, part, pixels in sets(manifest, facts)
    }
    for name, part in (
        ("darkcovidnet", select(manifest, sources=["darkcovidnet"])),
        ("three-classes", three(manifest)),
    ):
        begun = time.perf_counter()
        found = run_baselines(
            part, chosen(manifest, facts, part), cover=cover_lungs(part, masks=options.data / "masks")
        )
        results["seconds"][f"baselines {name}"] = round(time.perf_counter() - begun)
        write_baselines(found, options.output / "baselines" / name)
        results.setdefault("baselines", {})[name] = as_json(found)
        print(lines_of(found))
    results["seconds"]["all"] = round(time.perf_counter() - started)
    write_compact_json(options.output / "data-facts.json", results)
    write_text(options.output / "data-facts.md", report(results))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--duplicates", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    parser.add_argument("--doctor", type=Path, help="also write the doctor's page of every set to this folder")
    return parser.parse_args()


def three(manifest: Manifest) -> Manifest:
    """Select the set of the main task: covid, normal and virus, each from the sources that name it."""
    return select(manifest, labels=THREE_CLASSES)


def sets(manifest: Manifest, facts: PixelFacts) -> list[tuple[str, Manifest, PixelFacts]]:
    """List the whole set, each source by itself, and the set of the main task."""
    parts = {"cxr": manifest}
    parts |= {name: select(manifest, sources=[name]) for name in sorted(set(manifest.table["source"]))}
    parts["three-classes"] = three(manifest)
    return [(name, part, chosen(manifest, facts, part)) for name, part in parts.items()]


def chosen(manifest: Manifest, facts: PixelFacts, part: Manifest) -> PixelFacts:
    """Select the pixel facts of the images of `part`."""
    place = {image: i for i, image in enumerate(manifest.table["image"])}
    rows = [place[image] for image in part.table["image"]]
    return PixelFacts(facts.thumbnails[rows], facts.table.iloc[rows])


def doctor(part: Manifest, pixels: PixelFacts, name: str, folder: Path | None) -> dict[str, Any]:
    """Examine one set and return its verdicts; write its page where a folder is given."""
    diagnosis: Diagnosis = examine(part, title=name, pixels=pixels)
    if folder:
        write_diagnosis(diagnosis, folder / name)
    failed = [p.name for p in diagnosis.pitfalls if p.verdict == "FAIL"]
    counts = {v: sum(p.verdict == v for p in diagnosis.pitfalls) for v in ("FAIL", "WARN", "PASS")}
    return {**counts, "failed": failed, **{k: diagnosis.facts[k] for k in ("images", "radiographs", "people_at_most")}}


def copies(manifest: Manifest) -> dict[str, Any]:
    """Count copies within and across sources, contradictory labels, and patients with several ids."""
    pairs = shared_pairs(manifest)
    covid = select(manifest, labels=["covid"])
    dark, kermany = (select(manifest, sources=[name]) for name in ("darkcovidnet", "kermany"))
    leak = next(p for p in across_splits(kermany, column="original_split") if p.name.startswith("copies"))
    opposed = contradictions(manifest)
    opposed = opposed[opposed["labels"] == "covid | normal"]
    double = double_patients(manifest)
    return {
        "pairs_source_by_source": {str(a): {str(b): int(n) for b, n in row.items()} for a, row in pairs.iterrows()},
        "pairs": int((pairs.to_numpy().sum() + pairs.to_numpy().diagonal().sum()) // 2),
        "whole_set": dict(zip(("images", "radiographs", "people_at_most"), distinct(manifest), strict=True)),
        "covid": dict(zip(("images", "radiographs", "people_at_most"), distinct(covid), strict=True)),
        "covid_and_normal": [str(images) for images in opposed["images"]],
        "radiographs_with_two_patient_ids": len(double),
        "patient_ids_beside_another": len({i for row in double["patients"] for i in row.split(" | ")}),
        "kermany_radiographs_in_train_and_val": int(leak.number),
        "kermany_says": leak.says,
        "nih_patients_in_two_classes": len(patients_in_two_classes(dark)),
    }


def lines_of(found: Baselines | dict[str, Any]) -> str:
    """Format the baselines as rows of a Markdown table."""
    values = as_json(found) if isinstance(found, Baselines) else found
    rows = [(row["name"], row) for row in values["rows"]]
    rows += [(f"source, predicted within {name}", row) for name, row in values["within"].items()]
    return "\n".join(
        f"| {name} | {'hidden' if row['without_lungs'] else 'seen'} | "
        + " | ".join(interval(row["scores"][key]) for key in ("accuracy", "balanced_accuracy", "macro_f1"))
        + f" | {row['chance']:.3f} |"
        for name, row in rows
    )


def interval(score: dict[str, Any]) -> str:
    """Format a score with its 95 % interval."""
    return f"{score['value']:.3f} [{score['ci_low']:.3f}, {score['ci_high']:.3f}]"


def report(results: dict[str, Any]) -> str:
    """Format the page from `results`."""
    copied = results["copies"]
    grid = copied["pairs_source_by_source"]
    names = list(grid)
    dark, main_set = results["baselines"]["darkcovidnet"], results["baselines"]["three-classes"]
    table_head = "| model sees | lungs | accuracy | balanced accuracy | macro-F1 | chance |\n|---|---|---|---|---|---|"
    parts = [
        "# The public radiographs: copies, pitfalls and no-lung baselines",
        "Made by `python -m experiments.data_facts --data DIR --duplicates docs/results/cxr-duplicates.csv`; the "
        f"figures are in [data-facts.json](data-facts.json). {results['seconds']['all']} s, one process. Near "
        "copies are those of `covid-xray duplicates`.",
        "## Copies",
        "Pairs of images that show the same radiograph, by source; the diagonal is within one source. "
        f"{copied['pairs']} pairs in total.",
        "| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names) + "\n"
        + "\n".join(f"| {a} | " + " | ".join(str(grid[a][b]) for b in names) + " |" for a in names),
        "\n".join([
            f"- {copied['covid']['images']:,} covid images are {copied['covid']['radiographs']:,} distinct radiographs "
            f"of at most {copied['covid']['people_at_most']:,} people. The whole set: "
            f"{copied['whole_set']['images']:,} images, {copied['whole_set']['radiographs']:,} radiographs, at most "
            f"{copied['whole_set']['people_at_most']:,} people.",
            f"- {len(copied['covid_and_normal'])} radiographs are labelled covid in one source and normal in another:",
            *[f"  - `{images}`" for images in copied["covid_and_normal"]],
            f"- {copied['radiographs_with_two_patient_ids']} radiographs have two or more patient ids; "
            f"{copied['patient_ids_beside_another']} ids share a radiograph with another id.",
            f"- Kermany's own split: {copied['kermany_radiographs_in_train_and_val']} val images are also train "
            "images. Its patients cannot be compared: this copy of the set has lost their ids.",
            f"- {copied['nih_patients_in_two_classes']} NIH patients appear in two classes of the DarkCovidNet set.",
        ]),
        "## Doctor",
        "Full pages: `covid-xray doctor`, or the option `--doctor` of this study.",
        "| set | images | radiographs | patients at most | FAIL | WARN | PASS | failed checks |\n|" + "---|" * 8 + "\n"
        + "\n".join(
            f"| {name} | {row['images']:,} | {row['radiographs']:,} | "
            f"{row['people_at_most']:,} | {row['FAIL']} | {row['WARN']} | {row['PASS']} | {', '.join(row['failed'])} |"
            for name, row in results["doctor"].items()
        ),
        "## Without the lungs: the DarkCovidNet set",
        f"{dark['images']:,} images of {dark['people']:,} people, {dark['folds']} folds grouped by patient and copy, "
        f"extra-trees, 95 % intervals by bootstrap over people. Lungs hidden by {dark['lungs']}. "
        f"{results['seconds']['baselines darkcovidnet']} s.",
        f"{table_head}\n{lines_of(dark)}",
        "For comparison, accuracy on the original files:",
        "| | accuracy |\n|---|---|\n" + "\n".join(f"| {name} | {value:.1f} % |" for name, value in PUBLISHED),
        "The file facts stay below 86.9 % because the files here were re-encoded: every file is a grey JPEG of at most "
        "512 pixels, so colour mode and format are equal for all, and one encoder set the bytes per pixel. What "
        "remains is the shape (the NIH half is square), the size of the few pictures smaller than 512 pixels, and how "
        "well each picture compresses. `original-size` uses the size of the original files: all NIH pictures are "
        "1024 x 1024, so they separate covid from the rest almost without error, and normal from pneumonia not at "
        "all. With the original download, `covid-xray index --source darkcovidnet --from DIR -o m.csv` and `covid-xray "
        "baselines --data m.csv -o b` give the figure for its files (row `file-facts`).",
        "## Without the lungs: the set of the main task",
        f"covid (ieee8023, cxnet, hannover), normal (kermany, darkcovidnet), virus (kermany, ieee8023): "
        f"{main_set['images']:,} images of at most {main_set['people']:,} people. Lungs hidden by {main_set['lungs']}. "
        f"{results['seconds']['baselines three-classes']} s.",
        f"{table_head}\n{lines_of(main_set)}",
        f"The best baseline without lungs is **{main_set['best_without_lungs']['name']}** with a macro-F1 of "
        f"{interval(main_set['best_without_lungs']['scores']['macro_f1'])}. Only what a network scores above "
        "this, in the same folds, can come from the lungs.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
