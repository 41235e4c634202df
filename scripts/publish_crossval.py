"""Publish DarkCovidNet's protocol in docs/results: figures and tables, never a picture of a patient.

python scripts/publish_crossval.py darkcovidnet runs/darkcovidnet [more networks] --command "runs/darkcovidnet.sh FOLDER"
"""

import argparse
import json
from pathlib import Path

from compact_json import rounded, write_compact_json

RESULTS = Path(__file__).parent.parent / "docs" / "results"
BASELINES = RESULTS / "baselines" / "darkcovidnet" / "baselines.json"
SHOWN = ("accuracy", "macro_f1")
SUMMARY = (*SHOWN, "auroc_macro", "ece")
SETTINGS = ("model", "init", "weights", "train_from", "image_size", "crop", "epochs", "batch_size", "learning_rate",
            "optimizer", "schedule", "augment", "probe", "probe_blind", "probe_scale", "probe_prior")  # fmt: skip
# Published or measured accuracy on the original files of this set.
PUBLISHED = [
    {"name": "DarkCovidNet as published", "sees": "whole picture", "folds": "5, by image", "accuracy": 0.8702,
     "from": "Ozturk and others 2020, doi:10.1016/j.compbiomed.2020.103792"},
    {"name": "six facts of the original files", "sees": "no pixel", "folds": "by image", "accuracy": 0.869,
     "from": "measured on the original download (± 0.004), [data-facts](data-facts.md)"},
    {"name": "outer frame at 32 x 32 of the original files", "sees": "no lung", "folds": "by patient", "accuracy": 0.729,
     "from": "measured on the original download, [data-facts](data-facts.md)"},
]  # fmt: skip
LEFT_OUT = ("failures", "quarantined", "made", "training", "folds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("runs", type=Path, nargs="+", help="folders with image/, patient/ and comparison.json")
    parser.add_argument("--command", required=True)
    parser.add_argument("--note", default="", help="remarks for the page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another folder, to look first")
    args = parser.parse_args()
    facts = {
        "command": args.command,
        "published": PUBLISHED,
        "baselines": read(BASELINES)["rows"],
        "networks": [network_of(folder) for folder in args.runs],
        "note": args.note,
    }
    args.results.mkdir(parents=True, exist_ok=True)
    write_compact_json(args.results / f"{args.name}.json", rounded(summary(facts)))
    (args.results / f"{args.name}.md").write_text(page(args.name, facts), encoding="utf-8")


def summary(facts: dict) -> dict:
    """Collect what is kept as JSON: settings, counts and the main figures of every study."""

    def of_study(study: dict) -> dict:
        counts = {name: study[name] for name in ("n_images", "n_patients", "leaking", "seconds")}
        return {**counts, "figures": {name: study["figures"][name] for name in SUMMARY if name in study["figures"]}}

    networks = [
        {
            "training": {name: network["training"].get(name) for name in SETTINGS},
            "made": network["made"],
            **{f"by_{group}": of_study(study) for group, study in network["studies"].items()},
            "patient_minus_image": network["patient_minus_image"],
        }
        for network in facts["networks"]
    ]
    return {"command": facts["command"], "published": facts["published"], "networks": networks}


def network_of(folder: Path) -> dict:
    """Read both studies of one network, and their difference."""
    studies = {group: read(folder / group / "crossval.json") for group in ("image", "patient")}
    comparison = read(folder / "comparison.json")
    return {
        "training": {key: value for key, value in studies["image"]["training"].items() if key != "lungs"},  # a folder
        "made": studies["image"]["made"],
        "studies": {group: published(study) for group, study in studies.items()},
        "patient_minus_image": {name: comparison["figures"][name] for name in SHOWN},
    }


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def published(study: dict) -> dict:
    """Drop what repeats itself or names single images."""
    kept = {key: value for key, value in study.items() if key not in LEFT_OUT}
    folds = [{k: v for k, v in fold.items() if k != "predictions_sha256"} for fold in study["folds"]]
    return {**kept, "folds": folds, "failures": len(study["failures"]), "quarantined": len(study["quarantined"])}


def page(name: str, facts: dict) -> str:
    first = facts["networks"][0]["studies"]["image"]
    lines = [
        "# DarkCovidNet's protocol",
        "",
        f"DarkCovidNet's protocol on its own {first['n_images']:,} pictures of {first['n_patients']:,} people (covid, no "
        f"finding, pneumonia). Made by `{facts['command']}`. Main figures: [{name}.json]({name}.json).",
        "",
        *(f"- {said(network)}" for network in facts["networks"]),
        "",
        f"With folds by image, {first['leaking']:,} of the {first['n_images']:,} images had another image of the same "
        "patient, or a copy, in training; with folds by patient none had.",
        "",
        *([facts["note"], ""] if facts["note"] else []),
        "| what | sees | folds | accuracy (95 % interval) | macro-F1 | from |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['sees']} | {row['folds']} | {row['accuracy']:.3f} | | {row['from']} |"
            for row in facts["published"]
        ),
        *(line(network, group) for network in facts["networks"] for group in ("image", "patient")),
        *(baseline(row) for row in facts["baselines"]),
        "",
        "The published network used the original files. The files here were re-encoded (grey JPEG, at most 512 pixels), which "
        "removes most of what the facts of the files reveal; the baselines at the end of the table use the files here. "
        "Intervals are over patients.",
        "",
        *(text for network in facts["networks"] for text in [*over_folds(network), ""]),
        "Research use, not for diagnosis.",
        "",
    ]
    return "\n".join(lines)


def called(network: dict) -> str:
    """Describe the network and its input in a few words."""
    training = network["training"]
    seen = "the lungs with a margin" if training["crop"] == "lungs" else "the whole picture"
    return f"`{training['model']}`, {how(network)}, {training['image_size']} pixels, {seen}"


def how(network: dict) -> str:
    """Describe the training in a few words."""
    training = network["training"]
    if training["epochs"] or not training["probe"]:
        begun = "linear probe, then fine-tuned" if training["probe"] else "fine-tuned"
        return begun if training.get("weights") else "trained from random weights"
    blind = training.get("probe_blind")
    return "ImageNet's features, linear probe" + (f" without {', '.join(blind)} directions" if blind else "")


def said(network: dict) -> str:
    """Describe the figures of one network and where they were made."""
    image, patient = network["studies"]["image"], network["studies"]["patient"]
    change, made = network["patient_minus_image"]["accuracy"], network["made"]
    machine = made.get("machine") or {}
    where = [str(machine.get("processor", "")), str(made.get("precision") or "")]
    minutes = (image["seconds"] + patient["seconds"]) / 60
    where += [f"{minutes:.0f} minutes"] if minutes >= 1 else []
    epochs = f"At most {network['training']['epochs']} epochs a fold; " if network["training"]["epochs"] else ""
    return (
        f"**{called(network)}: folds by patient, accuracy {show(patient['figures']['accuracy'])}, macro-F1 "
        f"{show(patient['figures']['macro_f1'])}.** Folds by image, as published: {show(image['figures']['accuracy'])} and "
        f"{show(image['figures']['macro_f1'])}. Paired difference in accuracy, by patient minus by image: "
        f"{change['difference']:+.3f} ({change['ci_low']:+.3f} to {change['ci_high']:+.3f}). "
        f"{epochs}{', '.join(filter(None, where))}."
    )


def line(network: dict, group: str) -> str:
    cells = [show(network["studies"][group]["figures"][name]) for name in SHOWN]
    sees = "lungs" if network["training"]["crop"] == "lungs" else "whole picture"
    return f"| `{network['training']['model']}`, {how(network)} | {sees} | 5, by {group} | {' | '.join(cells)} | this study |"


def baseline(row: dict) -> str:
    lungs = "no lung" if row["without_lungs"] else "whole picture"
    cells = [show(row["scores"][name]) for name in SHOWN]
    origin = "[baselines](baselines/darkcovidnet/baselines.json)"
    return f"| {row['name']} (extra-trees) on the files here | {lungs} | 5, by patient | {cells[0]} | {cells[1]} | {origin} |"


def over_folds(network: dict) -> list[str]:
    studies = network["studies"]
    head = f"| {called(network)} | by image, mean ± sd over 5 folds | by patient, mean ± sd over 5 folds |"
    lines = [head, "|---|---|---|"]
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
