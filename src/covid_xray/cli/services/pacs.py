"""Define the commands of the DICOM node: pacs serve, pacs pull, pacs status, pacs unsent, pacs resend."""

import contextlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import BundleFolder, LogLevel, SiteFolder
from covid_xray.cli.terminal import out
from covid_xray.errors import MissingPackage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from covid_xray.pacs.settings import Pacs
    from covid_xray.pacs.work_queue import WorkQueue

Config = Annotated[Path | None, typer.Option("--config", help="YAML or TOML with the settings of the node.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting as key=value; repeatable.")]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of studies, that of `serve`; default: ~/.local/share/covid-xray.")
]
commands = typer.Typer(help="A DICOM node: receives radiographs, classifies them, sends results to the archive.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.add_typer(commands, name="pacs", no_args_is_help=True)


@commands.command("serve")
def serve(
    config: Config = None,
    bundle: BundleFolder = None,
    site: SiteFolder = None,
    store: Store = None,
    settings: Set = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Threads of the network; 0: one for each core.")] = 0,
    log_level: LogLevel = "info",
) -> None:
    """Receive radiographs by C-STORE, classify them, and send results to the peers of the settings."""
    resolved = _settings(config, store, settings)
    from covid_xray.inference.drift.reference import reference_of
    from covid_xray.inference.finding import site_in_words
    from covid_xray.inference.predictor import Predictor
    from covid_xray.pacs import service
    from covid_xray.pacs.phi_safe_logging import log_thread_failures

    _log(log_level)
    log_thread_failures()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    if not resolved.drift_reference:
        resolved = resolved.model_copy(update={"drift_reference": reference_of(site)})
    limits, required = resolved.limits, resolved.require_site
    predictor = Predictor(bundle, threads=threads, limits=limits, untrusted=True, site=site, require_site=required)

    def ready(port: int) -> None:
        model, to = predictor.identity, ", ".join(resolved.send_to) or "the worklist only"
        where = f"{resolved.ae_title} listens at {resolved.host} port {port}"
        out.line(f"{where}, {model.name} {model.version}, results to {to}")
        out.line(f"research use, not for diagnosis; {site_in_words(predictor.site)}; Ctrl-C stops it")

    service.serve(resolved, predictor, ready=ready, stopping=stopping)


@commands.command("pull")
def pull(
    peer: Annotated[str, typer.Option("--peer", help="Name of a peer of the settings.")],
    study: Annotated[list[str] | None, typer.Option("--study", help="Study Instance UID; repeatable.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Every study of this date or later, as 2026-11-26.")
    ] = None,
    config: Config = None,
    bundle: BundleFolder = None,
    site: SiteFolder = None,
    store: Store = None,
    settings: Set = None,
    log_level: LogLevel = "warning",
) -> None:
    """Fetch the radiographs of studies from an archive, classify them, and send results as `pacs serve` does."""
    resolved = _settings(config, store, settings)
    from covid_xray.cli.terminal import print_failures
    from covid_xray.errors import PartlyDone
    from covid_xray.inference.predictor import Predictor
    from covid_xray.pacs.fetch.pull import pull as fetch_studies
    from covid_xray.pacs.fetch.selection import parse_selection

    _log(log_level)
    selected = parse_selection(study or (), since)

    def open_predictor() -> Predictor:
        required = resolved.require_site
        return Predictor(bundle, limits=resolved.limits, untrusted=True, site=site, require_site=required)

    pulled = fetch_studies(resolved, open_predictor, peer, selected)
    out.line(
        f"{pulled.taken} radiographs fetched, {pulled.known} known before, {pulled.answered} classified, "
        f"{pulled.left} results still to be sent{pulled.remark}"
    )
    if pulled.failures:
        print_failures(list(pulled.failures))
        raise PartlyDone(f"{len(pulled.failures)} objects could not be fetched; each is named above.")


@commands.command("status")
def status(config: Config = None, store: Store = None, settings: Set = None) -> None:
    """Print how many objects and results are in which state, and what was refused from whom, as JSON."""
    from covid_xray.pacs.refusals import read_refusals

    with _queue(_settings(config, store, settings)) as queue:
        facts = {**queue.count_states(), "refusals": [vars(one) for one in read_refusals(queue.database)]}
    typer.echo(json.dumps(facts, indent=2, sort_keys=True, default=str))


@commands.command("unsent")
def unsent(
    peer: Annotated[str | None, typer.Option("--peer", help="Only those of this peer.")] = None,
    config: Config = None,
    store: Store = None,
    settings: Set = None,
) -> None:
    """List the results that were given up, skipped because the peer does not take them, or made in test mode."""
    resolved = _settings(config, store, settings)
    from covid_xray.pacs.settings import suffix_of

    with _queue(resolved) as queue:
        found = [vars(one) for one in queue.list_unsent(peer)]
    for one in found:
        one["file"] = str(resolved.folder / f"{one['arrival_id']}-{one['kind']}.{suffix_of(one['kind'])}")
    typer.echo(json.dumps(found, indent=2, default=str))


@commands.command("resend")
def resend(
    study: Annotated[list[str] | None, typer.Argument(help="Ids of studies, as `pacs unsent` lists them.")] = None,
    peer: Annotated[str | None, typer.Option("--peer", help="Only those of this peer.")] = None,
    config: Config = None,
    store: Store = None,
    settings: Set = None,
) -> None:
    """Queue results that were given up once more; the running node sends them."""
    with _queue(_settings(config, store, settings)) as queue:
        count = queue.send_again(peer, ids=study or ())
    out.line(f"{count} results are queued again")


@contextlib.contextmanager
def _queue(settings: "Pacs") -> "Iterator[WorkQueue]":
    from covid_xray.pacs.work_queue import WorkQueue
    from covid_xray.store.store import open_database

    with contextlib.closing(open_database(settings.serving())) as database:
        yield WorkQueue(database)


def _settings(config: Path | None, store: Path | None, overrides: list[str] | None) -> "Pacs":
    """Load the settings: file, then options."""
    try:
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('The DICOM node is not installed. Run pip install "covid-xray[pacs]".') from None
    from covid_xray.config import load
    from covid_xray.pacs.settings import Pacs

    given = {"store": str(store) if store else None, "database": os.environ.get("COVID_XRAY_DATABASE")}
    known = [f"{key}={json.dumps(value)}" for key, value in given.items() if value]
    return load(Pacs, file=config, overrides=[*known, *(overrides or ())])


def _log(level: str) -> None:
    """Log to standard error from `level` on; lines of other packages hold values and are left out."""
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.CRITICAL)
    logging.getLogger("covid_xray").setLevel(level.upper())
