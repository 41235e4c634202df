"""Take the screenshots of the documentation: `covid-xray serve` in Debian's Chromium, with drawn phantoms only.

python scripts/draw_screenshots.py --bundle demo/run/bundle [-o docs/images]
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from covid_xray.images.phantoms import phantom

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
BOUNDARY = "covid-xray-screenshots"


def main() -> None:
    """Draw phantoms, upload them, and save the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: the one that ships")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as store, serving(Path(store), args.bundle) as address:
        studies = [upload(address, name, data) for name, data in films()]
        answered = [study for study in studies if not study["reasons"]] or studies
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            save_screenshots(browser, address, max(answered, key=lambda it: it["suspicion"])["id"], args.output)


def save_screenshots(browser: Browser, address: str, study: str, folder: Path) -> None:
    """Save the viewer in light and dark, the worklist, and the viewer on a phone."""
    for name, path, options in [
        ("viewer", f"/studies/{study}", {"viewport": DESK, "color_scheme": "light"}),
        ("viewer-dark", f"/studies/{study}", {"viewport": DESK, "color_scheme": "dark"}),
        ("worklist", "/worklist", {"viewport": DESK, "color_scheme": "light"}),
        ("viewer-phone", f"/studies/{study}", {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
    ]:
        page = browser.new_page(base_url=address, locale="en-GB", timezone_id="UTC", **options)
        page.goto(path, wait_until="networkidle")
        page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=88)
        page.close()


def films() -> Iterator[tuple[str, bytes]]:
    """Yield phantoms as PNG files."""
    random = np.random.default_rng(11)
    for number, finding in enumerate(("covid", "normal", "virus", "covid", "normal", "covid")):
        anatomy = phantom.draw_anatomy(random, child=finding == "virus")
        film = phantom.draw(anatomy, finding=finding, exposure=phantom.draw_exposure(random), size=1024, seed=number)
        stream = io.BytesIO()
        Image.fromarray(film.pixels).save(stream, "PNG")
        yield f"phantom-{number + 1}.png", stream.getvalue()


def upload(address: str, name: str, data: bytes) -> dict[str, Any]:
    """Upload a file; return its study."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    request = urllib.request.Request(f"{address}/api/v1/predict", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextlib.contextmanager
def serving(store: Path, bundle: Path | None) -> Iterator[str]:
    """Run a server for the duration of the block; yield its address."""
    command = [sys.executable, "-m", "covid_xray", "serve", "--port", "0", "--store", store / "store"]
    command += ["--bundle", bundle] if bundle else []
    with (store / "log").open("w") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    try:
        while not (found := re.search(r"at (http://\S+)", (store / "log").read_text())):
            if process.poll() is not None:
                raise SystemExit((store / "log").read_text())
            time.sleep(0.1)
        time.sleep(1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
