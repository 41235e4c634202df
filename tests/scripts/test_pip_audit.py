"""`make check` asks pip-audit about the lock file: the real pip-audit, against an advisory service of our own."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import audit
import pytest

pytest.importorskip("pip_audit")

HASH = "sha256:" + "0" * 64
LOCK = f"good==1.0 --hash={HASH}\nbad-one==2.0 --hash={HASH}\n"
ADVISORY = {
    "id": "GHSA-test-0000",
    "summary": "a hole",
    "affected": [
        {
            "package": {"name": "bad-one", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


@contextmanager
def service(*, holes: bool, status: int = 200) -> Iterator[str]:
    """An OSV service on this machine that knows a hole in bad-one, or none."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = holes and asked == {"package": {"name": "bad-one", "ecosystem": "PyPI"}, "version": "2.0"}
            body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "some.lock"
    path.write_text(LOCK)
    return path


def test_packages_without_a_known_hole_pass(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service(holes=False) as url:
        assert audit.main(["--lock", str(lock), "--osv-url", url]) == 0
    assert capsys.readouterr().out == "pip-audit: 2 of 2 packages looked up\n"


def test_a_known_hole_fails_the_check_and_is_named(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service(holes=True) as url:
        assert audit.main(["--lock", str(lock), "--osv-url", url]) == 1
    assert "bad-one 2.0: GHSA-test-0000, fixed in 2.1" in capsys.readouterr().out


@pytest.mark.parametrize("down", ["refused", "error 503"])
def test_without_a_database_it_is_skipped_and_said(down: str, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service(holes=True, status=503) as url:
        if down == "error 503":
            assert audit.main(["--lock", str(lock), "--osv-url", url]) == 0
    if down == "refused":  # the server has gone
        assert audit.main(["--lock", str(lock), "--osv-url", url]) == 0
    assert capsys.readouterr().out == audit.SKIPPED + "\n"


@pytest.mark.parametrize("text", ["broken line ===\n", "good==1.0\n", None])
def test_a_lock_that_cannot_be_audited_fails(text: str | None, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It must not pass for want of a network: without hashes nothing is locked."""
    if text is None:
        lock.unlink()
    else:
        lock.write_text(text)
    with service(holes=False) as url:
        assert audit.main(["--lock", str(lock), "--osv-url", url]) == 1
    assert "did not return a list of packages" in capsys.readouterr().out


def test_the_lock_of_this_repository_is_locked_by_hashes() -> None:
    text = (Path(audit.__file__).parent.parent / "requirements.lock").read_text()
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(packages) > 50
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
