"""Open the lung network by which a run crops its images. The run keeps its own copy."""

from pathlib import Path

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import read_network, write_network
from covid_xray.config import Training
from covid_xray.errors import UsageError

FOLDER = "lungs"


def network_of(settings: Training) -> LungNetwork | None:
    """Read the lung network that the settings name, with their margin; `None` when they name none.

    Raises:
        UsageError: lungs are to be cropped, and no network is named.
        InputRefused, BadBundle: the named folder holds none.
    """
    if settings.lungs is not None:
        network = read_network(settings.lungs)
        margin = {} if settings.crop_margin is None else {"margin": settings.crop_margin}
        return LungNetwork(network.model, {**network.facts, **margin})
    if settings.crop != "none":
        raise UsageError(f"crop={settings.crop} needs a lung network. Give one with --lungs RUN or --set lungs=RUN.")
    return None


def kept_network(settings: Training, out: Path) -> LungNetwork | None:
    """Read the lung network from its copy in the run folder `out`, which is made on the first call.

    Raises:
        UsageError: the run was started with another lung network.
    """
    folder = out / FOLDER
    if not folder.is_dir():
        network = network_of(settings)
        if network is not None:
            write_network(folder, network)
        return network
    network = read_network(folder)
    if settings.lungs is not None and settings.lungs.is_dir():
        named = read_network(settings.lungs)
        if named.facts["sha256"] != network.facts["sha256"]:
            raise UsageError(f"{out} was started with another lung network. Leave --lungs out, or name a new folder.")
    return network
