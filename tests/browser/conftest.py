"""One server and one browser for all tests of this folder: `covid-xray serve` on a loopback port, Debian's Chromium.

Two studies of each answer are there from the beginning. A test that changes something does so on a study of its own.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from covid_xray.files import sha256_bytes
from support.bundles import CLASSES, grey, make_bundle, network
from support.drawing import png
from support.joints import make_joint_bundle
from support.servers import Process, upload
from support.studies import film

expect.set_options(timeout=20_000)  # a loaded machine is slow
CHROMIUM = shutil.which("chromium")
DESK = {"width": 1440, "height": 900}


def facts() -> dict[str, Any]:
    """A bundle that is calibrated and evaluated, as `covid-xray train` and `evaluate` leave it."""
    points = {name: {"threshold": at} for name, at in (("rule-out", 0.1), ("balanced", 0.5), ("rule-in", 0.8))}
    figure = {"value": 0.912, "ci_low": 0.874, "ci_high": 0.941, "n": 561}
    return {
        "operating_points": {"covid": {"sha256": sha256_bytes(network(sharpness=0.2)), "points": points}},
        "conformal": {"method": "lac", "coverage": 0.9, "images": 561, "quantiles": {"lac": {"0.9": 0.6}}},
        "training_data": {"images": {"train": dict.fromkeys(CLASSES, 1000)}, "license": {"CC BY 4.0": 3000}},
        "metrics": {"part": "test", "accuracy": figure, "sensitivity/covid": figure},
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: scripts/debian_packages.sh does it")
    folder = tmp_path_factory.mktemp("browser")
    make_bundle(folder / "bundle", model=network(sharpness=0.2), **facts())
    with Process(folder) as running:
        with running.client() as http:
            for label in CLASSES:
                for seed in (1, 2):
                    upload(http, png(grey(label, height=240, width=200, seed=seed)), f"{label}-{seed}.png")
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for one file: as long as Playwright runs, `asyncio.run` of other tests refuses to."""
    with sync_playwright() as started:
        # The sandbox of Chromium does not work for root, which is who tests in a container.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(server: Process, chromium: Any) -> Iterator[Callable[..., Any]]:
    """`visit("/worklist")` opens a page in a browser without a past; what a script complains of fails the test."""
    contexts, complaints = [], []

    def open_page(path: str = "/", **options: Any) -> Any:
        address = options.pop("address", server.address)
        context = chromium.new_context(**{"viewport": DESK, "base_url": address, "locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def study(server: Process) -> str:
    """The path of a fresh study, called covid."""
    with server.client() as http:
        # Bright enough for covid, and no two alike.
        picture = grey("covid", height=240, width=200, seed=secrets.randbits(30))
        return f"/studies/{upload(http, png(picture), 'fresh.png')['id']}"


@pytest.fixture
def large_study(server: Process) -> str:
    """The path of a study with more pixels than the first picture of the viewer."""
    with server.client() as http:
        return f"/studies/{upload(http, png(grey('covid', height=1300, width=1000)), 'large.png')['id']}"


@pytest.fixture(scope="session")
def close_study(server: Process) -> str:
    """The path of a study between covid and virus: covid is probable, but not ruled in."""
    with server.client() as http:
        picture = 0.7 * grey("covid", height=240, width=200) + 0.3 * grey("virus", height=240, width=200)
        return f"/studies/{upload(http, png(picture.astype('uint8')), 'close.png')['id']}"


@pytest.fixture(scope="session")
def dicom_studies(server: Process) -> list[str]:
    """The paths of two studies of one patient, the older one first, with pixels of 0.5 mm."""
    with server.client() as http:
        paths = []
        for number, name in enumerate(("prior.dcm", "now.dcm")):
            picture = grey("covid", height=240, width=200, seed=900 + number)
            data = film(picture, number=number, PatientID="P-77", ImagerPixelSpacing=[0.5, 0.5])
            paths.append(f"/studies/{upload(http, data, name)['id']}")
        return paths


@pytest.fixture
def deep_study(server: Process) -> str:
    """The path of a fresh study with 16 bits."""
    with server.client() as http:
        picture = grey("covid", height=240, width=200).astype("uint16") * 257
        return f"/studies/{upload(http, png(picture), 'deep.png')['id']}"


@pytest.fixture(scope="session")
def joint_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server whose network takes what is known of the patient."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: scripts/debian_packages.sh does it")
    folder = tmp_path_factory.mktemp("joint")
    make_joint_bundle(folder / "bundle")
    with Process(folder) as running:
        yield running
