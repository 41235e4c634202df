"""A folder in, the lung network that lies in it out: of a run of `train-lungs`, of a training run, or of a bundle."""

import json
from pathlib import Path

from covid_xray.bundle.bundle import FACTS_FILE, load_bundle
from covid_xray.bundle.lung_network import LUNGS_FILE, LUNGS_VERSION, MARGIN, LungNetwork
from covid_xray.errors import InputRefused
from covid_xray.files import replacing_folder, sha256_bytes, write_json

LUNG_FACTS_FILE = "lungs.json"
KEPT = ("image_size", "margin", "version", "sha256", "bytes", "settings", "images", "training_data", "test")


def read_network(folder: Path) -> LungNetwork:
    """The lung network in `folder`: a bundle, a training run, or a run of `train-lungs`.

    Raises:
        InputRefused: there is none, or it is not the one that its JSON file names.
        BadBundle: a bundle that is not in order.
    """
    for bundle in (folder, folder / "bundle"):
        if (bundle / FACTS_FILE).is_file():
            network = load_bundle(bundle).lungs
            if network is None:
                raise InputRefused(f"expected a bundle with {LUNGS_FILE} in {bundle}. Received: one without")
            return network
    try:
        model = (folder / LUNGS_FILE).read_bytes()
        facts = json.loads((folder / LUNG_FACTS_FILE).read_text(encoding="utf-8"))
        sha256 = str(facts["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        raise InputRefused(
            f"expected {LUNGS_FILE} and {LUNG_FACTS_FILE}, or a bundle that holds a lung network, in {folder}. "
            "Received: none; make one with `covid-xray train-lungs`",
            code="no-lungs",
        ) from None
    if sha256 != sha256_bytes(model):
        raise InputRefused(
            f"expected {folder / LUNGS_FILE} with the SHA-256 that {LUNG_FACTS_FILE} names. Received: another file",
            code="altered",
        )
    # Runs know how they were made; from which margin on a crop is made is said where the crop is used first.
    return LungNetwork(model, _told({"margin": MARGIN, "version": LUNGS_VERSION, **facts}))


def write_network(folder: Path, network: LungNetwork) -> None:
    """Write `lungs.onnx` and `lungs.json`; the folder appears complete or not at all."""
    with replacing_folder(folder) as temporary:
        (temporary / LUNGS_FILE).write_bytes(network.model)
        write_json(temporary / LUNG_FACTS_FILE, dict(network.facts))


def _told(facts: dict[str, object]) -> dict[str, object]:
    """What a bundle says of the network: the figures, but not those of each image."""
    told = {key: facts[key] for key in KEPT if key in facts}
    if isinstance(told.get("test"), dict):
        told["test"] = {key: value for key, value in told["test"].items() if key != "images"}  # type: ignore[attr-defined]
    return told
