"""Define the command of the web page and its API: serve."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import BundleFolder, LogLevel, SiteFolder, err, out
from covid_xray.errors import MissingPackage

if TYPE_CHECKING:
    from covid_xray.config import Serving

Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of studies and images; default: ~/.local/share/covid-xray.")
]
Config = Annotated[Path | None, typer.Option("--config", help="YAML or TOML with settings of the server.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting as key=value; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(serve)


def serve(
    bundle: BundleFolder = None,
    site: SiteFolder = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 for any free one; default: 8000.")] = None,
    store: Store = None,
    config: Config = None,
    settings: Set = None,
    engine: Annotated[str, typer.Option("--engine", help="As of predict.")] = "onnxruntime",
    precision: Annotated[str, typer.Option("--precision", help="float32, bfloat16 or int8.")] = "float32",
    threads: Annotated[int, typer.Option("--threads", min=0, help="Threads of the network; 0: half of the cores.")] = 0,
    log_level: LogLevel = "info",
) -> None:
    """Serve the page and the API, by default on this machine only. Nothing leaves the machine."""
    resolved = load_settings(store, config, [*_given(host=host, port=port), *(settings or ())])
    from covid_xray.inference.drift.reference import reference_of
    from covid_xray.inference.finding import site_in_words
    from covid_xray.inference.predictor import Predictor
    from covid_xray.serving import server
    from covid_xray.serving.http.access import is_loopback

    if not resolved.drift_reference:
        resolved = resolved.model_copy(update={"drift_reference": reference_of(site)})
    server.set_up_logging(log_level)
    server.check_settings(resolved)
    predictor = Predictor(
        bundle,
        threads=threads or max(1, (os.cpu_count() or 1) // 2),  # the other half reads, stores and serves
        engine=engine,
        precision=precision,
        limits=resolved.limits,
        untrusted=True,
        shares=True,
        site=site,
        require_site=resolved.require_site,
    )

    def ready(address: str) -> None:
        model = predictor.identity
        out.line(f"covid-xray serves {model.name} {model.version} at {address}")
        out.line(f"research use, not for diagnosis; {site_in_words(predictor.site)}; Ctrl-C stops it")
        if not address.startswith("https:") and not is_loopback(resolved.host):
            err.print("passwords and images cross the network unencrypted: set certificate and key, or a proxy")

    server.serve(resolved, predictor, ready=ready)


def _given(**values: object) -> list[str]:
    """Write the options that were given as `key=value`; quoted, so that an address stays text."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items() if value is not None]


def load_settings(store: Path | None, config: Path | None, overrides: list[str] | None) -> "Serving":
    """Load the settings: file, then secrets from the environment, then options."""
    try:
        import fastapi  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('The server is not installed. Run pip install "covid-xray[serve]".') from None
    from covid_xray.config import Serving, load

    secrets = _given(token=os.environ.get("COVID_XRAY_TOKEN"), database=os.environ.get("COVID_XRAY_DATABASE"))
    if openid := os.environ.get("COVID_XRAY_OPENID_SECRET"):
        secrets.append(f"openid.client_secret={json.dumps(openid)}")
    folder = _given(store=str(store) if store else None)
    return load(Serving, file=config, overrides=[*secrets, *folder, *(overrides or ())])
