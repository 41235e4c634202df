"""Check the packages of the lock file for known vulnerabilities; exit code 1 when there is one.

Where no advisory database can be reached it says `skipped` and lets the check pass: it must also work offline. Any other
failure of pip-audit, such as a lock file that cannot be read, is a failure of the check.

python scripts/audit.py [--lock requirements.lock] [--osv-url URL]    (a mirror of https://api.osv.dev/v1/query)
"""

import argparse
import json
import subprocess
import sys

COMMAND = ["-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json"]
QUIET = ["--progress-spinner", "off", "--timeout", "5"]
SKIPPED = "pip-audit: skipped: no advisory database can be reached from here"
# What pip-audit says, in messages or in the last line of a traceback, when the network is to blame.
UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ServiceError", "ProxyError", "SSLError",
               "Could not connect", "Failed to connect", "Max retries exceeded")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", default="requirements.lock")
    parser.add_argument("--osv-url", default=None)
    args = parser.parse_args(arguments)
    service = ["-s", "osv", "--osv-url", args.osv_url] if args.osv_url else []
    try:
        ran = subprocess.run(
            [sys.executable, *COMMAND, "-r", args.lock, *QUIET, *service],
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        packages = json.loads(ran.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return skipped()
    except (ValueError, KeyError):
        return skipped() if any(word in ran.stderr for word in UNREACHABLE) else failed(ran.stderr)
    return report(packages)


def skipped() -> int:
    print(SKIPPED)
    return 0


def failed(text: str) -> int:
    print(f"pip-audit: did not return a list of packages: {text.strip()[-500:] or 'no output'}")
    return 1


def report(packages: list[dict]) -> int:
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        return skipped()
    for package in audited:
        for found in package["vulns"]:
            fixed = ", ".join(found.get("fix_versions", [])) or "no version"
            print(f"pip-audit: {package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    print(f"pip-audit: {len(audited)} of {len(packages)} packages looked up")
    return int(any(package["vulns"] for package in audited))


if __name__ == "__main__":
    sys.exit(main())
