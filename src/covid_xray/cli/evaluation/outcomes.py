"""Define the command `outcomes`: predict the outcomes of covid patients. Exploratory."""

from pathlib import Path
from typing import Annotated

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import BundleFolder, Data, Images, bar, err, folder_option, out
from covid_xray.cli.selection import Duplicates, Where
from covid_xray.errors import BadManifest

COVID = "covid"
SEVERITY = ("geographic_extent", "opacity")  # columns of the published scores of ieee8023 (arXiv 2005.11856)


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(outcomes))


def outcomes(
    data: Data,
    output: Annotated[Path, folder_option("Folder of outcomes.json and outcomes.md.")],
    bundle: BundleFolder = None,
    images: Images = None,
    where: Where = None,
    duplicates: Duplicates = None,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of folds and bootstrap.")] = 0,
) -> None:
    """Predict intensive care, intubation, death and oxygen of covid patients from image and values. Exploratory."""
    from threadpoolctl import threadpool_limits

    from covid_xray.bundle.bundle import DEFAULT, load_bundle
    from covid_xray.data.manifest.clinical_table import clinical_table
    from covid_xray.evaluation.clinical.clinical_page import outcomes_page
    from covid_xray.evaluation.clinical.clinical_predictions import predict_with_clinical
    from covid_xray.evaluation.clinical.outcomes import OUTCOMES, Patients
    from covid_xray.evaluation.clinical.outcomes import measure_outcomes as measured
    from covid_xray.files import write_json, write_text

    manifest = selection.read(
        data, images=images, labels=[COVID], where=where, duplicates=duplicates, show=False, check=False
    )
    if not any((manifest.table[name] != "").any() for name in OUTCOMES if name in manifest.table):
        raise BadManifest(
            f"{data} states no outcome. It needs at least one of the columns {', '.join(OUTCOMES)}, with Y or N."
        )
    folder = bundle or DEFAULT
    with bar("answer") as progress:
        found = predict_with_clinical(folder, selection.check_rows(manifest), progress=progress)
    table = found.manifest.table
    values = clinical_table(table).values.astype(float)
    with threadpool_limits(1):
        facts = measured(
            Patients(table, found.rows.embedding.astype(float), values, found.rows.people), rounds=rounds, seed=seed
        )
    loaded = load_bundle(folder)
    told = {
        "model": {"name": loaded.name, "version": loaded.version, "sha256": loaded.sha256}, "images": len(table),
        "outcomes": facts, "severity": _severity(list(table.columns)), "settings": {"rounds": rounds, "seed": seed},
    }  # fmt: skip
    write_json(output / "outcomes.json", told)
    write_text(output / "outcomes.md", outcomes_page(told))
    for one in facts.values():
        best = one["models"]["both"]["auroc"]["value"] if "models" in one else None
        said = "too few" if best is None else f"AUROC {best:.3f} from image and values"
        out.line(f"{one['title']}: {one['events']} of {one['patients']} patients, {said}")
    err.line(f"written: {output / 'outcomes.md'}")


def _severity(columns: list[str]) -> str:
    there = [name for name in SEVERITY if name in columns]
    if there:
        return f"The table holds severity scores ({', '.join(there)}); they are not used here."
    return "The table holds no published severity scores, so nothing is said of severity."
