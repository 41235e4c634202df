"""Copy what may be published of an evaluated run to docs/results: figures and tables, never a picture of a patient.

python scripts/publish_run.py runs/vgg_cxr vgg_cxr --command "runs/vgg_cxr.sh FOLDER"
"""

import argparse
import json
import shutil
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "docs" / "results"
CHARTS = ("confusion_matrix.png", "roc.png", "reliability.png", "training_curves.png")  # not cases.png: radiographs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--command", required=True)
    parser.add_argument("--note", default="", help="what a person saw in the report")
    args = parser.parse_args()
    metrics = json.loads((args.run / "metrics.json").read_text(encoding="utf-8"))
    facts = json.loads((args.run / "manifest.json").read_text(encoding="utf-8"))
    folder = RESULTS / args.name
    folder.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        shutil.copyfile(args.run / "figures" / chart, folder / chart)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    facts["command"] = args.command.split()
    (folder / "manifest.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    report = (args.run / "classification_report.txt").read_text(encoding="utf-8")
    (RESULTS / f"{args.name}.md").write_text(
        page(args.name, args.command, metrics, facts, report, args.note), encoding="utf-8"
    )


def page(name: str, command: str, metrics: dict, facts: dict, report: str, note: str) -> str:
    figures = metrics["figures"]
    best = metrics["baselines"]["best"]
    made = facts["machine"]
    minutes, best_epoch = facts["seconds"] / 60, facts["bundle"]["training"]["best_epoch"]
    lines = [
        f"# {name}",
        "",
        f"Made by `{command}` on {made['processor']}, {made['cores']} cores, {facts['precision']}; {minutes:.0f} minutes of "
        f"training, best epoch {best_epoch}. All figures: [metrics.json]({name}/metrics.json).",
        "",
        f"**Test part, looked at once: {metrics['n_images']} images of {metrics['n_patients']} patients. "
        f"Macro-F1 {show(figures['macro_f1'])}; best no-lung baseline {show(best['figures']['macro_f1'])} "
        f"({best['name']}).**",
        "",
        *confounding(metrics),
        *([note, ""] if note else []),
        "| figure | value (95 % interval over patients) |",
        "|---|---|",
        *(f"| {key} | {show(figure)} |" for key, figure in figures.items()),
        "",
        "```",
        report.rstrip(),
        "```",
        "",
        *matrix(metrics),
        "",
        "| source | images | accuracy | NLL |",
        "|---|---|---|---|",
        *(source(key, row) for key, row in metrics["by_source"].items()),
        "",
        f"Worst source by accuracy: {worst(metrics)}.",
        "",
        f"Baselines: grouped folds over all {metrics['baselines']['images']:,} images of the set, not the test part alone.",
        "",
        "| baseline | sees | lungs | macro-F1 |",
        "|---|---|---|---|",
        *(
            f"| {row['name']} | {row['sees']} | {'hidden' if row['without_lungs'] else 'seen'} "
            f"| {show(row['figures']['macro_f1'])} |"
            for row in metrics["baselines"]["rows"]
        ),
        "",
        *(f"![{chart.removesuffix('.png').replace('_', ' ')}]({name}/{chart})" for chart in CHARTS),
        "",
    ]
    return "\n".join(lines)


def confounding(metrics: dict) -> list[str]:
    v = metrics["confounding"]["cramers_v"]
    if not metrics["confounded"]:
        return [f"Cramer's V of class and source is {v:.2f}.", ""]
    return [
        f"Class and source are confounded (Cramer's V {v:.2f}, above .3): a network that only recognises the source would "
        "score high here, and these figures do not say how this one does in another hospital.",
        "",
    ]


def show(figure: dict) -> str:
    if figure["ci_low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f})"


def source(key: str, row: dict) -> str:
    cells = [show(row["figures"][name]) if name in row["figures"] else row["note"] for name in ("accuracy", "nll")]
    return f"| {key} | {row['n_images']} | {cells[0]} | {cells[1]} |"


def matrix(metrics: dict) -> list[str]:
    classes = metrics["classes"]
    rows = zip(classes, metrics["confusion_matrix"]["counts"], strict=True)
    head = ["| true \\ predicted | " + " | ".join(classes) + " |", "|" + "---|" * (len(classes) + 1)]
    return head + [f"| {name} | " + " | ".join(str(count) for count in counts) + " |" for name, counts in rows]


def worst(metrics: dict) -> str:
    known = {
        key: row["figures"]["accuracy"] for key, row in metrics["by_source"].items() if "accuracy" in row["figures"]
    }
    name = min(known, key=lambda key: known[key]["value"])
    mean = sum(figure["value"] for figure in known.values()) / len(known)
    return f"{name}, {show(known[name])}, beside a mean of {mean:.3f} over sources"


if __name__ == "__main__":
    main()
