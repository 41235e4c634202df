"""The work of `covid-xray predict`: items through the predictor into rows, pictures, a table and a report."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from covid_xray import __version__
from covid_xray.bundle.finding import Failure, Finding
from covid_xray.bundle.inputs import Item, expand, require_any
from covid_xray.bundle.pictures import write_heatmap
from covid_xray.bundle.predictor import Predictor
from covid_xray.bundle.results import Answer, RowFile, as_dict, as_row, columns, csv_line, json_line
from covid_xray.cli.answers import finish
from covid_xray.cli.console import bar, out
from covid_xray.files import write_json

SHOWN = 40  # rows of the table on the terminal; the results file holds them all


@dataclass(frozen=True)
class Job:
    """What `predict` was asked for."""

    paths: tuple[str, ...]
    output: Path | None
    json: bool
    csv: bool
    heatmap: bool
    resume: bool


def run(job: Job, bundle: Path | None, report: Path | None) -> None:
    """Answer every image of the job; raises `PartlyDone` or `InputRefused` at the end when some or all failed."""
    started = time.time()
    predictor = Predictor(bundle)
    items = list(expand(job.paths, limits=predictor.limits))
    require_any(items, job.paths)
    failures: list[Failure] = []
    answered = 0
    try:
        for answer in _answers(job, predictor, items):
            answered += 1
            failures += [answer] if isinstance(answer, Failure) else []
    finally:
        if report:
            _write_report(report, predictor, items=len(items), answered=answered, failures=failures, started=started)
    finish(failures, len(items))


def _answers(job: Job, predictor: Predictor, items: list[Item]) -> Iterator[Answer]:
    """Every answer, after it was written wherever it belongs."""
    table = _table(predictor) if not (job.json or job.csv) else None
    with ExitStack() as stack:
        rows = None
        if job.output:
            name = "predictions.jsonl" if job.json else "predictions.csv"
            rows = stack.enter_context(
                RowFile(job.output / name, identity=predictor.identity, classes=predictor.classes, resume=job.resume)
            )
            items = [item for item in items if item.name not in rows.done]
        elif job.csv:
            sys.stdout.write(csv_line(columns(predictor.classes)))
        progress = stack.enter_context(bar("predict"))
        common = _common_folder(items)
        answers = predictor.predict_many(items, class_maps=job.heatmap)
        for done, (item, answer) in enumerate(zip(items, answers, strict=True), start=1):
            if job.heatmap and job.output and isinstance(answer, Finding):
                # The picture comes first: a row says that everything about its image is done.
                write_heatmap(answer, item, job.output / "heatmaps", shown=None, limits=predictor.limits)
            if rows:
                rows.write(answer)
            elif job.json or job.csv:
                _print_row(answer, predictor, as_json=job.json)
            if table is not None and done <= SHOWN:
                _add(table, answer, _short(answer.image, common))
            progress(done, len(items))
            yield answer
    if table is not None:
        _show(table, total=len(items), job=job)


def _print_row(answer: Answer, predictor: Predictor, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json_line(as_dict(answer, identity=predictor.identity)))
    else:
        sys.stdout.write(csv_line(as_row(answer, identity=predictor.identity, classes=predictor.classes)))
    sys.stdout.flush()


def _common_folder(items: list[Item]) -> str:
    """The folder that all names share: it need not be read forty times."""
    folders = {os.path.dirname(item.name) for item in items}  # noqa: PTH120 (names, not paths: zip entries too)
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # absolute and relative names together
        return ""


def _short(name: str, folder: str) -> str:
    return os.path.relpath(name, folder) if folder else name


def _table(predictor: Predictor) -> Table:
    table = Table(caption="research use, not for diagnosis", caption_justify="left")
    table.add_column("image", overflow="fold")
    table.add_column("answer")
    for name in predictor.classes:
        table.add_column(name, justify="right")
    table.add_column("reasons", overflow="fold")
    return table


def _add(table: Table, answer: Answer, name: str) -> None:
    image = escape(name)  # a file may be called "[red].png"
    if isinstance(answer, Failure):
        cells = [""] * (len(table.columns) - 3)
        table.add_row(image, "[red]failed[/]", *cells, answer.message)
        return
    probabilities = [f"{p:.1%}" for p in answer.probabilities.values()]
    table.add_row(image, answer.label, *probabilities, "; ".join(answer.reasons))


def _show(table: Table, *, total: int, job: Job) -> None:
    out.print(table)
    if total > SHOWN:
        where = f"all of them in {job.output}" if job.output else "-o DIR writes them all to a file"
        out.print(f"the first {SHOWN} of {total} images; {where}", highlight=False)


def _write_report(
    path: Path, predictor: Predictor, *, items: int, answered: int, failures: list[Failure], started: float
) -> None:
    write_json(
        path,
        {
            "covid-xray": __version__,
            "model": predictor.identity.__dict__,
            "images": items,
            "answered_now": answered,
            "failures": [failure.__dict__ for failure in failures],
            "seconds": round(time.time() - started, 3),
        },
    )
