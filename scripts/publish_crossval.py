"""Write DarkCovidNet's protocol as it was run here to docs/results: figures and tables, never a picture of a patient.

python scripts/publish_crossval.py runs/darkcovidnet darkcovidnet --command "runs/darkcovidnet.sh FOLDER"
"""

import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "docs" / "results"
BASELINES = RESULTS / "baselines" / "darkcovidnet" / "baselines.json"
SHOWN = ("accuracy", "macro_f1")
# What others, or others' files, gave on this set: accuracy, and where the number is from.
BESIDE = [
    {"name": "DarkCovidNet as published", "sees": "whole picture", "folds": "5, by image", "accuracy": 0.8702,
     "from": "Ozturk and others 2020, doi:10.1016/j.compbiomed.2020.103792"},
    {"name": "six facts of the original files", "sees": "no pixel", "folds": "by image", "accuracy": 0.869,
     "from": "measured on the original download (± 0.004), see [data-facts](data-facts.md)"},
    {"name": "outer frame at 32 x 32 of the original files", "sees": "no lung", "folds": "by patient", "accuracy": 0.729,
     "from": "measured on the original download, see [data-facts](data-facts.md)"},
]  # fmt: skip
LEFT_OUT = ("failures", "quarantined", "made", "training", "folds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("name")
    parser.add_argument("--command", required=True)
    parser.add_argument("--note", default="", help="what a person saw")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another folder, to look first")
    args = parser.parse_args()
    studies = {group: read(args.runs / group / "crossval.json") for group in ("image", "patient")}
    comparison = read(args.runs / "comparison.json")
    first = studies["image"]
    facts = {
        "command": args.command,
        "training": first["training"],
        "made": first["made"],
        "beside": BESIDE,
        "baselines": read(BASELINES)["rows"],
        "studies": {group: published(study) for group, study in studies.items()},
        "patient_minus_image": {name: comparison["figures"][name] for name in SHOWN},
        "note": args.note,
    }
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / f"{args.name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (args.results / f"{args.name}.md").write_text(page(args.name, facts), encoding="utf-8")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def published(study: dict) -> dict:
    """The study without what repeats itself or names single images."""
    kept = {key: value for key, value in study.items() if key not in LEFT_OUT}
    folds = [{k: v for k, v in fold.items() if k != "predictions_sha256"} for fold in study["folds"]]
    return {**kept, "folds": folds, "failures": len(study["failures"]), "quarantined": len(study["quarantined"])}


def page(name: str, facts: dict) -> str:
    image, patient = facts["studies"]["image"], facts["studies"]["patient"]
    made, training = facts["made"], facts["training"]
    minutes = (image["seconds"] + patient["seconds"]) / 60
    change = facts["patient_minus_image"]["accuracy"]
    lines = [
        f"# {name}",
        "",
        f"DarkCovidNet's protocol on its own {image['n_images']:,} pictures of {image['n_patients']:,} people (covid, no finding, "
        f"pneumonia), with the network `{training['model']}` at {training['image_size']} pixels, at most {training['epochs']} "
        f"epochs a fold. Made by `{facts['command']}` on {made['machine']['processor']}, {made['machine']['cores']} cores, "
        f"{made['precision']}; {minutes:.0f} minutes. All figures: [{name}.json]({name}.json).",
        "",
        f"**By patient: accuracy {show(patient['figures']['accuracy'])}, macro-F1 {show(patient['figures']['macro_f1'])}. "
        f"By image, as published: {show(image['figures']['accuracy'])} and {show(image['figures']['macro_f1'])}. "
        f"Paired difference in accuracy, by patient - by image: {change['difference']:+.3f} "
        f"({change['ci_low']:+.3f} to {change['ci_high']:+.3f}). {image['leaking']:,} of the images scored by image had "
        "another image of their patient, or a copy, on the training side.**",
        "",
        *([facts["note"], ""] if facts["note"] else []),
        "| what | sees | folds | accuracy (95 % interval) | macro-F1 | from |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['sees']} | {row['folds']} | {row['accuracy']:.3f} | | {row['from']} |"
            for row in facts["beside"]
        ),
        *(network(facts["studies"][group], group, training) for group in ("image", "patient")),
        *(baseline(row) for row in facts["baselines"]),
        "",
        "The published network saw the original files; the pictures here are re-made (grey JPEG, at most 512 pixels), which "
        "takes away most of what the facts of the files told: the baselines at the end of the table are of the files here. Intervals are over "
        "patients. The paper trained for 100 epochs.",
        "",
        *over_folds(facts["studies"]),
        "",
        "Research use, not for diagnosis.",
        "",
    ]
    return "\n".join(lines)


def network(study: dict, group: str, training: dict) -> str:
    cells = [show(study["figures"][name]) for name in SHOWN]
    return f"| `{training['model']}` here | whole picture | 5, by {group} | {cells[0]} | {cells[1]} | this run |"


def baseline(row: dict) -> str:
    lungs = "no lung" if row["without_lungs"] else "whole picture"
    cells = [show(row["scores"][name]) for name in SHOWN]
    origin = "[baselines](baselines/darkcovidnet/baselines.json)"
    return f"| {row['name']} (extra-trees), the files here | {lungs} | 5, by patient | {cells[0]} | {cells[1]} | {origin} |"


def over_folds(studies: dict) -> list[str]:
    lines = ["| figure | by image, mean ± sd over 5 folds | by patient, mean ± sd over 5 folds |", "|---|---|---|"]
    names = [name for name in studies["image"]["over_folds"] if name in studies["patient"]["over_folds"]]
    for name in names:
        both = [studies[group]["over_folds"][name] for group in ("image", "patient")]
        lines.append(f"| {name} | " + " | ".join(f"{row['mean']:.3f} ± {row['sd']:.3f}" for row in both) + " |")
    return lines


def show(figure: dict) -> str:
    if figure["ci_low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f})"


if __name__ == "__main__":
    main()
