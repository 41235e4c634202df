"""Read the lung network of a run of `train-lungs`, of a training run, or of a bundle."""

import json
from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import FACTS_FILE, load_bundle
from covid_xray.bundle.lung_network import LUNGS_FILE, LUNGS_VERSION, MARGIN, LungNetwork
from covid_xray.errors import InputRefused
from covid_xray.files import replacing_folder, sha256_bytes, write_json

LUNG_FACTS_FILE = "lungs.json"
KEPT = ("image_size", "margin", "version", "sha256", "bytes", "settings", "images", "training_data", "test")


def read_network(folder: Path) -> LungNetwork:
    """Read the lung network in `folder`: a bundle, a training run, or a run of `train-lungs`.

    Raises:
        InputRefused: there is none, or it was altered.
        BadBundle: an invalid bundle.
    """
    for bundle in (folder, folder / "bundle"):
        if (bundle / FACTS_FILE).is_file():
            network = load_bundle(bundle).lungs
            if network is None:
                raise InputRefused(f"The bundle in {bundle} has no lung network. Give a run of covid-xray train-lungs.")
            return network
    try:
        model = (folder / LUNGS_FILE).read_bytes()
        facts = json.loads((folder / LUNG_FACTS_FILE).read_text(encoding="utf-8"))
        sha256 = str(facts["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        raise InputRefused(
            f"No lung network in {folder}: it needs {LUNGS_FILE} and {LUNG_FACTS_FILE}, or a bundle with one. Make one "
            "with `covid-xray train-lungs`.",
            code="no-lungs",
        ) from None
    if sha256 != sha256_bytes(model):
        raise InputRefused(
            f"{folder / LUNGS_FILE} was altered: its SHA-256 is not that of {LUNG_FACTS_FILE}. Copy the folder again.",
            code="altered",
        )
    return LungNetwork(model, _bundle_facts({"margin": MARGIN, "version": LUNGS_VERSION, **facts}))


def write_network(folder: Path, network: LungNetwork) -> None:
    """Write `lungs.onnx` and `lungs.json`; the folder appears complete or not at all."""
    with replacing_folder(folder) as temporary:
        (temporary / LUNGS_FILE).write_bytes(network.model)
        write_json(temporary / LUNG_FACTS_FILE, dict(network.facts))


def _bundle_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Select the facts for a bundle: the figures, but not those of each image."""
    kept = {key: facts[key] for key in KEPT if key in facts}
    if isinstance(kept.get("test"), dict):
        kept["test"] = {key: value for key, value in kept["test"].items() if key != "images"}
    return kept
