"""Write docs/reference/licences.md: the licence of every locked package; with --check, fail when one is missing there.

    python scripts/write_licences.py [--check]
    python scripts/write_licences.py --sbom build/sbom.cdx.json    (CycloneDX, of requirements-image.lock)

Licences are those that the installed packages state. Platform packages that are not installed here keep their row.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "licences.md"
LOCKS = {"requirements-image.lock": "image", "requirements.lock": "all"}
HEAD = """# Licences of dependencies

Generated from the installed packages by `make docs`; do not edit. The code of covid-xray is Apache-2.0 and the weights
that ship are CC BY-NC-SA 4.0. `image` marks packages of the container image; the others are for training, development
or one platform. `make sbom` writes a bill of materials of the image in CycloneDX.

| package | licence | image |
|---|---|---|
"""
NOT_HERE = "not installed where this page was made"


def locked(lock: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def licence(package: str) -> str:
    """Return the licence that a package states: SPDX expression, classifiers, or the first line of its text."""
    try:
        about = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return NOT_HERE
    if about.get("License-Expression"):
        return about["License-Expression"]
    found = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    text = (about.get("License") or "").strip().splitlines()
    return ", ".join(found) or (text[0][:80] if text else "not stated")


def rows() -> dict[str, str]:
    image, everything = locked("requirements-image.lock"), locked("requirements.lock")
    return {name: f"| {name} | {licence(name).replace('|', '/')} | {'yes' if name in image else ''} |"
            for name in sorted(everything | image, key=str.lower)}  # fmt: skip


def kept(page: str) -> dict[str, str]:
    """Return the rows of the page as it is: they hold what another platform knows."""
    return {m[1]: m[0] for m in re.finditer(r"^\| ([^|]+?) \| .* \|$", page, re.MULTILINE)}


def sbom(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(ROOT / "requirements-image.lock")]
    subprocess.run([*command, "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(target)],
                   check=True)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sbom", type=Path)
    args = parser.parse_args(arguments)
    if args.sbom:
        sbom(args.sbom)
        return 0
    before = kept(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    found = rows()
    if args.check:
        missing = sorted(set(found) - set(before))
        print(f"{PAGE.name} lacks {', '.join(missing)}. Run `make docs`." if missing else f"{len(found)} licences")
        return int(bool(missing))
    lines = [before.get(name, row) if NOT_HERE in row else row for name, row in found.items()]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
