"""Do the work of `covid-xray predict`: classify the images and write rows, heat maps, a table and a report."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from covid_xray import __version__, partial
from covid_xray.bundle.bundle import load_bundle
from covid_xray.bundle.prefetch import ReadAhead
from covid_xray.cli.inference.predict_args import PredictRequest
from covid_xray.cli.terminal import bar, err, finish, list_items, out, readable
from covid_xray.files import shown, write_json
from covid_xray.inference.finding import Failure, Finding, Joint, site_in_words
from covid_xray.inference.io.clinical_rows import ClinicalValues, read_clinical
from covid_xray.inference.io.crash_journal import Journal
from covid_xray.inference.io.inputs import Item
from covid_xray.inference.io.joint_rows import describe_joint
from covid_xray.inference.io.results import Answer, RowFile, columns, csv_line, encoded, line
from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 40  # rows of the table on the terminal; the results file holds them all
FEW = 16  # images up to which the start matters more than the speed


def run(job: PredictRequest, *, ahead: ReadAhead | None = None) -> None:
    """Classify every image of the job; raise `PartlyDone` or `InputRefused` at the end when some or all failed.

    Args:
        job: the options; the report is written also when the command is stopped.
        ahead: the network's file, if reading it has begun.
    """
    started = time.time()
    known = read_clinical(job.clinical_values, job.clinical_table)
    items, passed_over = list_items(job.paths)
    items = [replace(item, apart=True) for item in items] if job.untrusted else items  # for heat maps too
    predictor = _open(job, ahead, few=len(items) <= FEW)
    if known:
        predictor.fusion  # noqa: B018 (a bundle without it is refused before the first image)
    answers = _Answers(job, predictor, items, known)
    try:
        for _ in answers:
            pass
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        how = "; to continue, run the same command with --resume" if job.output else ""
        err.line(f"stopped after {answers.answered} of {len(items)} images{how}")
        raise
    finally:
        if job.report:
            _write_report(job.report, job, answers, seconds=time.time() - started)
    finish(answers.failures, len(items), passed_over=passed_over)


def _open(job: PredictRequest, ahead: ReadAhead | None, *, few: bool) -> Predictor:
    options = {"read": ahead} if ahead else {}
    first = load_bundle(job.bundle[0] if job.bundle else None, int8=job.precision == "int8", **options)
    predictor = Predictor(
        [first, *job.bundle[1:]], engine=job.engine, precision=job.precision, few=few, untrusted=job.untrusted,
        site=job.site, tta=job.tta,
    )  # fmt: skip
    if predictor.caution:
        err.line(predictor.caution)
    return predictor


class _Answers:
    """Iterate over the answers; each is written to its files before it is yielded."""

    def __init__(
        self, job: PredictRequest, predictor: Predictor, items: list[Item], known: ClinicalValues | None
    ) -> None:
        self.job, self.predictor, self.items, self.known = job, predictor, items, known
        self.failures: list[Failure] = []
        self.answered = 0

    def __iter__(self) -> Iterator[Answer]:
        job, predictor, items = self.job, self.predictor, self.items
        table = _Table(predictor, items) if not (job.json or job.csv) else None
        with ExitStack() as stack:
            rows = self._rows(stack)
            journal = None
            if rows:
                journal = stack.enter_context(Journal(rows.path, done=rows.done, resume=job.resume))
                names = {shown(item.name) for item in items}
                self.failures += [failure for failure in rows.failed if shown(failure.image) in names]
                items = [item for item in items if shown(item.name) not in rows.done]
            elif job.csv:
                spread = bool(predictor.identity.members)
                _print(csv_line(columns(predictor.classes, joint=self.known is not None, spread=spread)))
            # The bar takes more time than a few images do.
            progress = stack.enter_context(bar("predict")) if len(items) > FEW else None
            for item, answer in self._answered(items, journal):
                self._write(item, answer, rows)
                if table:
                    table.add(answer)
                if progress:
                    progress(self.answered, len(items))
                yield answer
        if table:
            table.show(job)

    def _answered(self, items: list[Item], journal: Journal | None) -> Iterator[tuple[Item, Answer]]:
        """Yield each item with its answer, in order; items at which an earlier run died are isolated (`Journal`)."""
        for together in journal.runs(items) if journal else [items]:
            noted = journal.noting(together) if journal else together
            answers = self.predictor.predict_many(noted, class_maps=self.job.heatmap)
            yield from zip(together, map(self._with_clinical, answers), strict=True)

    def _with_clinical(self, answer: Answer) -> Answer:
        """Add the joint answer where the image has clinical values."""
        known = self.known.lookup(answer.image) if self.known else {}
        return self.predictor.join(answer, known) if known and isinstance(answer, Finding) else answer

    def _rows(self, stack: ExitStack) -> RowFile | None:
        if self.job.results is None:
            return None
        if self.job.heatmap:
            partial.clear(self.job.results.parent / "heatmaps")  # files that a killed run left incomplete
        classes, identity = self.predictor.classes, self.predictor.identity
        return stack.enter_context(
            RowFile(
                self.job.results,
                identity=identity,
                classes=classes,
                site=self.predictor.site,
                resume=self.job.resume,
                joint=self.known is not None,
            )
        )

    def _write(self, item: Item, answer: Answer, rows: RowFile | None) -> None:
        job, predictor = self.job, self.predictor
        if job.heatmap and job.output and isinstance(answer, Finding):
            from covid_xray.inference.heatmap_files import write_heatmap

            # The picture comes first: a row says that everything about its image is done.
            write_heatmap(answer, item, job.output / "heatmaps", shown=None, limits=predictor.limits)
        if rows:
            rows.write(answer)
        elif job.json or job.csv:
            identity, classes, joint = predictor.identity, predictor.classes, self.known is not None
            _print(line(answer, identity=identity, classes=classes, as_json=job.json, joint=joint))
        self.answered += 1
        self.failures += [answer] if isinstance(answer, Failure) else []


def _print(text: str) -> None:
    """Print one row on stdout, whole and at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(encoded(text))
    sys.stdout.buffer.flush()


class _Table:
    """Collect the first answers and print them as a table."""

    def __init__(self, predictor: Predictor, items: list[Item]) -> None:
        self.predictor, self.total = predictor, len(items)
        self.answers: list[Answer] = []
        self.folder = _common_folder(items[:SHOWN])

    def add(self, answer: Answer) -> None:
        if len(self.answers) < SHOWN:
            self.answers.append(answer)

    def show(self, job: PredictRequest) -> None:
        if self.answers:
            out.print(self._render())
        if self.total > len(self.answers):
            what = f"the first {len(self.answers)}" if self.answers else "none"
            where = f"all of them in {job.output}" if job.output else "-o DIR writes them all to a file"
            out.line(f"{what} of {self.total} images; {where}")

    def _render(self) -> "Table":
        from rich.markup import escape
        from rich.table import Table

        words = f"research use, not for diagnosis; {site_in_words(self.predictor.site)}"
        table = Table(caption=escape(words), caption_justify="left")
        table.add_column("image", overflow="fold")
        table.add_column("answer")
        for name in self.predictor.classes:
            table.add_column(name, justify="right")
        table.add_column("remarks", overflow="fold")
        for answer in self.answers:
            image = escape(readable(_short(answer.image, self.folder)))  # a file may be called "[red].png"
            if isinstance(answer, Failure):
                table.add_row(image, "[red]failed[/]", *[""] * len(self.predictor.classes), escape(answer.message))
            else:
                table.add_row(image, answer.label, *_percentages(answer), escape("; ".join(answer.remarks)))
                if answer.joint:
                    remarks = escape("; ".join((*answer.joint.reasons, *describe_joint(answer.joint))))
                    table.add_row("  with clinical values", answer.joint.label, *_percentages(answer.joint), remarks)
        return table


def _percentages(answer: Finding | Joint) -> list[str]:
    spread = (answer.spread or {}) if isinstance(answer, Finding) else {}
    return [f"{p:.1%}" + (f" ± {spread[name]:.1%}" if spread else "") for name, p in answer.probabilities.items()]


def _common_folder(items: list[Item]) -> str:
    """Find the folder that all names share, so that it is not printed in every row."""
    folders = {os.path.dirname(item.name) for item in items}  # noqa: PTH120 (names, not paths: zip entries too)
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # absolute and relative names together
        return ""


def _short(name: str, folder: str) -> str:
    return name[len(folder) :].lstrip("/") or name if folder else name


def _write_report(path: Path, job: PredictRequest, answers: _Answers, *, seconds: float) -> None:
    from importlib import metadata

    bundle = answers.predictor.bundle
    packages = ("numpy", "onnxruntime", "pillow", "pydicom")
    write_json(
        path,
        {
            "covid-xray": __version__,
            "python": sys.version.split()[0],
            "packages": {name: metadata.version(name) for name in packages},
            "model": answers.predictor.identity.as_dict(),
            "site": answers.predictor.site.as_dict() if answers.predictor.site else None,
            "bundle": [*map(readable, map(str, job.bundle))] if len(job.bundle) > 1 else readable(str(bundle.folder)),
            "engine": answers.predictor.engine,
            "precision": answers.predictor.precision,
            "files": [readable(path) for path in job.paths],
            "results": readable(str(job.results)) if job.results else None,
            "images": len(answers.items),
            "answered_now": answers.answered,
            "failures": [{**asdict(failure), "image": readable(failure.image)} for failure in answers.failures],
            "seconds": round(seconds, 3),
        },
    )
