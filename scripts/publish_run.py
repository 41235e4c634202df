"""Publish an evaluated run in docs/results: the report, its charts and a summary in JSON, never a picture of a patient.

    python scripts/publish_run.py runs/vgg_cxr vgg_cxr --command "runs/vgg_cxr.sh FOLDER"

The page is the run's report.md, which holds no radiograph, with how it was made at its top. `metrics.json` and
`audit.json` stay in the run folder; `summary.json` holds their main figures.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from compact_json import rounded, write_compact_json

RESULTS = Path(__file__).parent.parent / "docs" / "results"
CHART = re.compile(r"\]\(figures/([a-z_0-9]+\.png)\)")
FOLDER = re.compile(r"(?<![\w.:/-])/(?:home|root|tmp|work|mnt|opt|srv|Users)/")
COPIED = ("checklist.md", "model_card.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--command", required=True)
    parser.add_argument("--note", default="", help="remarks for the page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another folder, to look first")
    args = parser.parse_args()
    folder = args.results / args.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = (args.run / "report.md").read_text(encoding="utf-8")
    for chart in dict.fromkeys(CHART.findall(report)):
        shutil.copyfile(args.run / "figures" / chart, folder / chart)
    for name in COPIED:
        shutil.copyfile(args.run / name, folder / name)
    if (args.run / "audit.md").is_file():
        (folder / "audit.md").write_text(without_radiographs(args.run / "audit.md"), encoding="utf-8")
        for chart in args.run.glob("figures/audit_*.png"):
            if chart.stem != "audit_examples":  # radiographs
                shutil.copyfile(chart, folder / chart.name)
    write_compact_json(folder / "summary.json", rounded(summary(args.run)))
    made = json.loads((args.run / "manifest.json").read_text(encoding="utf-8"))
    made["command"] = args.command.split()
    made["bundle"]["training"].get("settings", {}).pop("lungs", None)  # a folder of the machine
    (folder / "manifest.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    text = page(args.name, args.command, made, report, note=args.note, audited=(folder / "audit.md").is_file())
    (args.results / f"{args.name}.md").write_text(text, encoding="utf-8")
    revealing = [path.name for path in [*folder.iterdir(), args.results / f"{args.name}.md"] if names_a_folder(path)]
    if revealing:
        raise SystemExit(f"These files name a folder of this machine: {', '.join(revealing)}")


def names_a_folder(path: Path) -> bool:
    """Tell whether a text file contains what looks like an absolute path."""
    return path.suffix != ".png" and bool(FOLDER.search(path.read_text(encoding="utf-8")))


def summary(run: Path) -> dict[str, Any]:
    """Collect the main figures of `metrics.json` and, where there is one, of `audit.json`."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    kept = ("model", "part", "classes", "n_images", "n_patients", "labels", "figures", "worst_source", "confounding")
    facts = {name: metrics[name] for name in (*kept, "calibration", "confusion_matrix", "cannot_say")}
    facts["accuracy_by_source"] = {
        name: {"n_images": source["n_images"], **source["figures"].get("accuracy", {})}
        for name, source in metrics["by_source"].items()
    }
    facts["best_baseline_without_lungs"] = (metrics.get("baselines") or {}).get("best")
    if (run / "audit.json").is_file():
        audit = json.loads((run / "audit.json").read_text(encoding="utf-8"))
        verdict = {name: audit["verdict"][name] for name in ("kind", "certain", "scores")}
        conditions = {row["name"]: {"shows": row["shows"], **row["figures"]} for row in audit["conditions"]}
        facts["audit"] = {"images": audit["images"], "patients": audit["patients"], **verdict, "conditions": conditions}
    return facts


def without_radiographs(path: Path) -> str:
    """Read a page of the audit, without radiographs and with its charts in the same folder."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.replace("](figures/", "](") for line in lines if "audit_examples" not in line) + "\n"


def page(name: str, command: str, made: dict, report: str, *, note: str, audited: bool) -> str:
    """Build the page: report.md with its charts in the folder `name`, and how it was made below its title."""
    title, rest = report.split("\n", 1)
    where, training = made["machine"], made["bundle"]["training"]
    how = (
        f"Made by `{command}` on {where['processor']}, {where['cores']} cores, {made['precision']}; "
        f"{made['seconds'] / 60:.0f} minutes of training, best epoch {training['best_epoch']}. Files: "
        f"[summary.json]({name}/summary.json), [manifest.json]({name}/manifest.json), "
        f"[checklist]({name}/checklist.md), [model card]({name}/model_card.md)."
    )
    how += f" Audit: [audit]({name}/audit.md)." if audited else ""
    body = CHART.sub(rf"]({name}/\1)", rest)
    return "\n".join([title, "", how, "", *([note, ""] if note else []), body.lstrip("\n")])


if __name__ == "__main__":
    main()
