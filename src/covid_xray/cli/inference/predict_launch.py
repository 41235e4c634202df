"""Start to read the network of `covid-xray predict` in a thread, then import what the job needs and run it."""

from dataclasses import replace
from pathlib import Path

from covid_xray.cli.inference.predict_args import PredictRequest
from covid_xray.errors import UsageError
from covid_xray.files import STDOUT


def predict(job: PredictRequest) -> None:
    """Do the job. Raises `UsageError` for options that exclude each other, and all that `predict_job.run` raises."""
    if job.json and job.csv:
        raise UsageError("--json and --csv exclude each other. Give one of them.")
    if job.output == STDOUT:
        job = replace(job, output=None, csv=not job.json)
    if job.output is None and (job.heatmap or job.resume):
        raise UsageError(
            f"{'--heatmap' if job.heatmap else '--resume'} needs a results folder. Give one with -o FOLDER."
        )
    from covid_xray.bundle.prefetch import ReadAhead

    # Reading and hashing the network goes on in a thread while the imports below are made.
    ahead = ReadAhead(_network(job.bundle[0] if job.bundle else None, int8=job.precision == "int8"))
    from covid_xray.cli.inference.predict_job import run

    run(job, ahead=ahead)


def _network(bundle: Path | None, *, int8: bool) -> Path:
    """Guess the path of the network's file without imports: a wrong guess only costs a second read."""
    folder = bundle or Path(__file__).parents[2] / "bundle" / "default"
    return folder / ("model_int8.onnx" if int8 else "model.onnx")
