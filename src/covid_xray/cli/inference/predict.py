"""Define the commands that use a bundle: predict, explain, submit, selftest, info."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli.console import BundleFolder, BundleFolders, SiteFolder, Tta, folder_option
from covid_xray.cli.inference import predict_args, predict_launch
from covid_xray.cli.terminal import bar, err, finish, list_items, messages, out, print_failures, print_passed_over
from covid_xray.errors import CovidXrayError, InputRefused, UsageError, did_you_mean

if TYPE_CHECKING:
    from covid_xray.inference.predictor import Predictor

Engine = Annotated[
    str,
    typer.Option(
        "--engine", help="onnxruntime, openvino, cuda, tensorrt or openvino-gpu; auto: the fastest that agrees."
    ),
]
Precision = Annotated[
    str, typer.Option("--precision", help="float32; int8 where the bundle has it; bfloat16 with openvino.")
]
Paths = Annotated[list[str], typer.Argument(help="Images, folders, globs or zip archives.")]


def _of_patient(unit: str) -> Any:
    """Make the option of a clinical value that holds for the patient of every image."""
    return typer.Option(help=f"Of the patient: {unit}.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(predict)
    app.command()(explain)
    app.command()(submit)
    app.command()(selftest)
    app.command()(info)


def predict(
    paths: Paths,
    output: Annotated[Path | None, folder_option("Folder for the results.")] = None,
    bundle: BundleFolders = None,
    site: SiteFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Rows of a CSV.")] = False,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Also draw heat maps into OUTPUT/heatmaps.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results file in OUTPUT.")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write versions, counts and seconds as JSON.")] = None,
    engine: Engine = "onnxruntime",
    precision: Precision = "float32",
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Decode in child processes with time and memory limits.")
    ] = False,
    tta: Tta = None,
    age: Annotated[str | None, _of_patient("years")] = None,
    sex: Annotated[str | None, _of_patient("F or M")] = None,
    temperature: Annotated[str | None, _of_patient("degrees Celsius")] = None,
    spo2: Annotated[str | None, _of_patient("percent")] = None,
    days_since_onset: Annotated[str | None, _of_patient("days")] = None,
    leukocytes: Annotated[str | None, _of_patient("10^9/L")] = None,
    neutrophils: Annotated[str | None, _of_patient("10^9/L")] = None,
    lymphocytes: Annotated[str | None, _of_patient("10^9/L")] = None,
    supplemental_o2: Annotated[str | None, _of_patient("yes or no")] = None,
    symptoms: Annotated[str | None, _of_patient("such as fever,no-cough")] = None,
    clinical: Annotated[Path | None, _of_patient("CSV with image and these columns")] = None,
) -> None:
    """Classify images and print a table, or write predictions.csv (predictions.jsonl with --json) to a folder."""
    given = dict(locals())  # before any other local variable exists
    job = predict_args.PredictRequest(
        paths=tuple(paths),
        output=output,
        bundle=tuple(bundle or ()),
        site=site,
        json=as_json,
        csv=as_csv,
        heatmap=heatmap,
        resume=resume,
        report=report,
        engine=engine,
        precision=precision,
        untrusted=untrusted,
        tta=tta,
        clinical_table=clinical,
        clinical_values=predict_args.clinical_values(given),
    )
    predict_launch.predict(job)


def explain(
    paths: Paths,
    output: Annotated[Path, folder_option("Folder for the pictures.")],
    bundle: BundleFolder = None,
    shown: Annotated[str | None, typer.Option("--class", help="Class to explain; default: the most probable.")] = None,
    every: Annotated[bool, typer.Option("--all-classes", help="One picture for each class.")] = False,
) -> None:
    """Draw where the network looked (Grad-CAM) over each image. A heat map is not a localisation."""
    from covid_xray.inference.predictor import Predictor

    predictor = Predictor(bundle)
    _require_class(predictor, shown, option="--class")
    items, passed_over = list_items(paths)
    from covid_xray.inference.finding import Failure
    from covid_xray.inference.heatmap_files import write_heatmap

    failures = []
    with bar("explain") as progress:
        answers = predictor.predict_many(items, class_maps=True)
        for done, (item, answer) in enumerate(zip(items, answers, strict=True), start=1):
            if isinstance(answer, Failure):
                failures.append(answer)
            else:
                for name in predictor.classes if every else (shown,):
                    write_heatmap(answer, item, output, shown=name, limits=predictor.limits)
            progress(done, len(items))
    out.line(f"heat maps of {len(items) - len(failures)} images in {output}")
    finish(failures, len(items), passed_over=passed_over)


def submit(
    data: Annotated[Path, typer.Option("--data", help="Folder with the test images.")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="The CSV to write.")] = Path(
        "submission.csv"
    ),
    bundle: BundleFolder = None,
    sample: Annotated[
        Path | None, typer.Option("--sample", help="Sample submission; default: sample_submission.csv near the data.")
    ] = None,
    fallback: Annotated[
        str | None, typer.Option("--fallback", help="Label of images that cannot be read; default: refuse.")
    ] = None,
) -> None:
    """Write a Kaggle submission (Image,Label), one row for every image."""
    from covid_xray.inference.finding import Failure, Finding
    from covid_xray.inference.io import submission
    from covid_xray.inference.predictor import Predictor

    predictor = Predictor(bundle)
    _require_class(predictor, fallback, option="--fallback")
    items, passed_over = list_items([data])
    labels: dict[str, str] = {}
    failures = []
    with bar("predict") as progress:
        for done, answer in enumerate(predictor.predict_many(items), start=1):
            name = Path(answer.image).relative_to(data).as_posix() if data.is_dir() else answer.image
            if isinstance(answer, Finding):
                labels[name] = max(answer.probabilities, key=answer.probabilities.__getitem__)
            elif fallback:
                labels[name] = fallback
            failures += [answer] if isinstance(answer, Failure) else []
            progress(done, len(items))
    if failures and not fallback:
        print_failures(failures)
        raise InputRefused(
            f"{len(failures)} of {len(items)} images cannot be read, so nothing was written. Give them a label with "
            "--fallback CLASS, or remove them."
        )
    header = ("Image", "Label")
    sample = sample or _find_sample(data)
    if sample:
        header, names = submission.read_sample(sample)
        matched = submission.match(names, list(labels), sample=sample)
        labels = {name: labels[image] for name, image in matched.items()}
    submission.write_submission(output, labels, header=header)
    checked = f", checked against {sample}" if sample else ""
    messages(output).line(f"{output}: {len(labels)} rows{checked}")
    print_failures(failures)
    print_passed_over(passed_over)


def selftest(
    bundle: BundleFolder = None,
    engine: Engine = "onnxruntime",
    precision: Precision = "float32",
) -> None:
    """Classify drawn reference images and compare with the results that were stored at export."""
    from covid_xray.inference.predictor import Predictor
    from covid_xray.inference.selftest import check

    predictor = Predictor(bundle, engine=engine, precision=precision)
    result = check(predictor)
    for problem in result.problems:
        err.line(problem)
    about = f"{predictor.identity.name} {predictor.identity.version}, {predictor.engine}, {predictor.precision}"
    if result.problems:
        raise CovidXrayError(
            f"{len(result.problems)} results differ from the stored ones ({about}); each is named above. Do not use "
            "this installation for predictions.",
            code="self-test",
        )
    out.line(f"OK: {result.images} reference images, largest difference {result.largest:.1e} ({about})")


def info(
    bundle: BundleFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="All facts as JSON.")] = False,
) -> None:
    """Print the version of this installation and the facts of the bundle."""
    from covid_xray import __version__
    from covid_xray.bundle.bundle import load_bundle
    from covid_xray.errors import BadBundle
    from covid_xray.inference.networks.fastest import describe

    facts: dict[str, object] = {"covid-xray": __version__}
    try:
        loaded = load_bundle(bundle)
        facts |= {"bundle": str(loaded.folder), "engine auto": describe(loaded), **loaded.facts}
    except BadBundle as error:
        if bundle is not None:
            raise
        facts |= {"bundle": None, "note": error.message}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for key, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value)
        table.add_row(key, escape(text if len(text) <= 300 else text[:297] + "..."))
    out.print(table)


def _require_class(predictor: "Predictor", name: str | None, *, option: str) -> None:
    if name is not None and name not in predictor.classes:
        close = did_you_mean(name, predictor.classes)
        raise UsageError(f"No such class: {name} ({option}). Choose one of {', '.join(predictor.classes)}.{close}")


def _find_sample(data: Path) -> Path | None:
    folder = data if data.is_dir() else data.parent
    places = (folder / "sample_submission.csv", folder.parent / "sample_submission.csv")
    return next((place for place in places if place.is_file()), None)
