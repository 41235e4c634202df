"""Begin to read the network of a `covid-xray predict`, then import what the job needs and run it."""

from pathlib import Path

from covid_xray.cli.inference.predict_args import Job
from covid_xray.errors import UsageError


def predict(job: Job) -> None:
    """Do the job. Raises `UsageError` for options that do not go together, and what `predicting.run` raises."""
    if job.json and job.csv:
        raise UsageError("expected --json or --csv. Received: both")
    if job.output is None and (job.heatmap or job.resume):
        raise UsageError("expected a folder with -o for --heatmap or --resume. Received: none")
    from covid_xray.bundle.prefetch import ReadAhead

    # Reading and hashing the network goes on in a thread while the imports below are made.
    ahead = ReadAhead(_network(job.bundle, int8=job.precision == "int8"))
    from covid_xray.cli.inference.predict_job import run

    run(job, ahead=ahead)


def _network(bundle: Path | None, *, int8: bool) -> Path:
    """Where the network's file should be, told without imports: a wrong guess only costs a second read."""
    folder = bundle or Path(__file__).parents[2] / "bundle" / "default"
    return folder / ("model_int8.onnx" if int8 else "model.onnx")
