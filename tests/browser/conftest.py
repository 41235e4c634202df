"""Two servers and one browser for all tests of this folder: `covid-xray serve` on a loopback port, Debian's Chromium.

`server` asks for no log-in; `ward` does, and tells of drift. Two studies of each answer are on `server` from the
beginning. A test that changes something does so on a study of its own.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from covid_xray.config import Serving
from covid_xray.files import sha256_bytes
from covid_xray.inference.drift.checks import Result
from covid_xray.serving.http.access import COOKIE
from covid_xray.store.accounts import Accounts
from covid_xray.store.drift import rows
from covid_xray.store.drift.rows import Check
from covid_xray.store.store import open_database
from support.bundles import CLASSES, grey, make_bundle, network
from support.drawing import png
from support.joints import make_joint_bundle
from support.servers import Process, upload
from support.studies import film

expect.set_options(timeout=20_000)  # a loaded machine is slow
CHROMIUM = shutil.which("chromium")
PASSWORD = "correct horse battery"
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


@dataclass(frozen=True)
class Ward:
    """A server where everybody must log in: `ada` as admin, `rhea` as reader, and a program with a token of `ada`."""

    process: Process
    token: str

    @property
    def address(self) -> str:
        return self.process.address

    @contextmanager
    def accounts(self) -> Iterator[Accounts]:
        database = open_database(Serving(store=self.process.store))
        yield Accounts(database)
        database.close()

    def upload(self, data: bytes, name: str) -> str:
        """The id of a new study."""
        with self.process.client(headers={"Authorization": f"Bearer {self.token}"}) as http:
            return str(upload(http, data, name)["id"])


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Its network takes what is known of the patient, and it starts with two checks for drift, the second an alarm."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: scripts/debian_packages.sh does it")
    folder = tmp_path_factory.mktemp("ward")
    make_joint_bundle(folder / "bundle")
    (folder / "store").mkdir()
    database = open_database(Serving(store=folder / "store"))
    accounts = Accounts(database)
    accounts.add("ada", password=PASSWORD, role="admin")
    accounts.add("rhea", password=PASSWORD, role="reader")
    token = accounts.new_token("ada")
    for images, severity, kind in ((25, 0.5, None), (50, 1.25, "appearance")):
        results = (Result("embeddings", "commissioning", 1.0, 0.5, severity),)
        check = Check(images, rows.today(), images, 0.0, 0.0, kind, results)
        rows.add_check(database, check, model_sha256=sha256_bytes(network(sharpness=0.2)))
    database.close()
    with Process(folder) as running:
        made = Ward(running, token)
        made.upload(png(grey("covid")), "locked.png")
        yield made


@pytest.fixture
def visit_as(ward: Ward, visit: Callable[..., Any]) -> Callable[..., Any]:
    """`visit_as("ada", "/users")` opens a page of the ward in the browser of a user who has logged in."""

    def open_page(name: str, path: str, **options: Any) -> Any:
        with ward.accounts() as accounts:
            cookie = {"name": COOKIE, "value": accounts.start_session(name, hours=1), "url": ward.address}
        page = visit("/healthz", address=ward.address, **options)
        page.context.add_cookies([cookie])
        page.goto(path)
        return page

    return open_page
