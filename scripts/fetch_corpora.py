"""Download the public files that decoders are tested with: Pillow's test images, pydicom-data, PngSuite.

They come from the package registry that pip is set up with. What cannot be had is named on stdout and left out.
"""

import ast
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path


def download(package: str, folder: Path, *, source: bool) -> Path | None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--no-binary", package.partition("==")[0]] if source else ["--only-binary", ":all:"]
    ran = subprocess.run([*command, "-d", str(folder), package], capture_output=True, check=False)
    files = sorted(folder.glob("*"))
    if ran.returncode or not files:
        print(f"skipped: {package} cannot be had from the registry")
        return None
    return files[0]


def unpack(package: str, target: Path, *, source: bool, below: str = "") -> None:
    """Unpack the package's files into `target`/name, unless they are there."""
    place = target / package.partition("==")[0]
    if place.is_dir():
        return
    with tempfile.TemporaryDirectory() as name:
        archive = download(package, Path(name), source=source)
        if archive is None:
            return
        place.mkdir(parents=True)
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(place)
        else:
            with tarfile.open(archive) as sdist:
                members = [member for member in sdist.getmembers() if below in member.name]
                sdist.extractall(place, members, filter="data")


def png_suite(target: Path) -> None:
    """Read PngSuite from the Python literals in pypng's source, without running it."""
    for source in target.glob("pypng/**/pngsuite.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) > 80:
                try:
                    data = bytes.fromhex(node.value if isinstance(node.value, str) else node.value.decode("ascii"))
                except ValueError:
                    continue
                if data.startswith(b"\x89PNG"):
                    (source.parent / f"suite-{node.lineno}.png").write_bytes(data)


def main() -> None:
    target = Path(sys.argv[1])
    unpack(f"pillow=={metadata.version('pillow')}", target, source=True, below="/Tests/images/")
    unpack("pydicom-data", target, source=False)
    unpack("pypng", target, source=True)
    png_suite(target)
    print(f"corpora: {sum(path.is_file() for path in target.rglob('*'))} files in {target}")


if __name__ == "__main__":
    main()
