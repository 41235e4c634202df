"""The sample configurations of nginx and Caddy run, with TLS, in front of a real server."""

import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from covid_xray.config import Serving
from covid_xray.serving.http.access import COOKIE
from covid_xray.store.accounts import Accounts
from covid_xray.store.audit_log import read
from covid_xray.store.store import open_database
from support.servers import COVID, Process, file

SAMPLES = Path(__file__).parents[2] / "docs" / "how-to" / "proxy"
PASSWORD = "ten letters or more"
NAME = "xray.ward.example"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "xray.pem", folder / "xray.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, nothing))
    return pem, secret


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def adapt(sample: str, changes: dict[str, str]) -> str:
    """The sample with names, ports and files of this test; every one of them is in it."""
    text = (SAMPLES / sample).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, (sample, old)
        text = text.replace(old, new)
    return text


def nginx(folder: Path, *, port: int, behind: str, pem: Path, key: Path) -> list[str]:
    plain = free_port()
    site = adapt(
        "nginx.conf",
        {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "    listen [::]:80;\n": "",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "    listen [::]:443 ssl http2;\n": "",
            f"server_name {NAME}": "server_name localhost",
            "/etc/ssl/private/xray.pem": str(pem),
            "/etc/ssl/private/xray.key": str(key),
            "127.0.0.1:8000": behind,
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    whole = f"daemon off; pid {folder}/nginx.pid; events {{}} http {{ {temporary}\n{site}}}\n"
    (folder / "nginx.conf").write_text(whole)
    return ["nginx", "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, *, port: int, behind: str, pem: Path, key: Path) -> list[str]:
    site = adapt(
        "Caddyfile",
        {
            f"\n{NAME} {{": f"\nhttps://localhost:{port} {{\n\tbind 127.0.0.1",
            "/etc/ssl/private/xray.pem": str(pem),
            "/etc/ssl/private/xray.key": str(key),
            "127.0.0.1:8000": behind,
        },
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES: dict[str, Callable[..., list[str]]] = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=PROXIES)
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    """A server with a user, behind a proxy, and the certificate of that."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} cannot be had from the registry")
    folder = tmp_path_factory.mktemp(request.param)
    database = open_database(Serving(store=folder / "store"))
    Accounts(database).add("doe", password=PASSWORD, role="admin")
    database.close()
    pem, key = certificate(folder)
    port, inner = free_port(), free_port()
    command = PROXIES[request.param](folder, port=port, behind=f"127.0.0.1:{inner}", pem=pem, key=key)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "proxy.log").open("wb") as log:
        proxy = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        settings = ("--set", f"public_url=https://localhost:{port}", "--set", "logins_per_minute=3")
        with Process(folder, "--port", inner, *settings) as running:  # answers through the proxy
            yield running, pem
    finally:
        proxy.terminate()
        proxy.wait(timeout=60)


def browser(behind: tuple[Process, Path], **headers: str) -> httpx.Client:
    """A client that knows the proxy's certificate."""
    trust = ssl.create_default_context(cafile=str(behind[1]))
    return httpx.Client(base_url=behind[0].address, verify=trust, headers=headers, timeout=60)


def test_log_in_upload_and_what_is_secure_and_whose_address_is_believed(behind: tuple[Process, Path]) -> None:
    log_in_and_upload(behind)
    claim_other_addresses(behind)  # afterwards, since it uses up the failed log-ins of this address


def log_in_and_upload(behind: tuple[Process, Path]) -> None:
    with browser(behind) as http:
        assert http.get("/api/v1/me").status_code == 401
        origin = {"Origin": behind[0].address}
        page = http.get("/login")
        csrf = page.text.partition('name="csrf-token" content="')[2].partition('"')[0]
        login = {"name": "doe", "password": PASSWORD}
        done = http.post("/api/v1/login", json=login, headers={**origin, "X-CSRF-Token": csrf})
        assert done.status_code == 204
        assert "Secure" in done.headers["set-cookie"]
        assert done.headers["strict-transport-security"]
        assert "nginx/" not in done.headers.get("server", "")
        token = {**origin, "X-CSRF-Token": http.get("/api/v1/me").json()["csrf_token"]}
        assert http.post("/api/v1/predict", files=file(COVID), headers=token).status_code == 200
        large = http.post("/api/v1/predict", files=file(COVID + b"\0" * (2 << 20)), headers=token)
        assert large.status_code == 200  # above nginx's own limit of 1 MiB
        huge = http.post("/api/v1/login", content=b"x" * (2 << 20), headers=token)
        assert (huge.status_code, huge.json()["code"]) == (413, "too-large")
        evil = {**token, "Origin": "https://evil.example"}
        assert http.post("/api/v1/predict", files=file(COVID), headers=evil).status_code == 403
        assert COOKIE in http.cookies


def claim_other_addresses(behind: tuple[Process, Path]) -> None:
    for number in range(5):
        with browser(behind, **{"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": "for=203.0.113.9"}) as http:
            answer = http.post("/api/v1/login", json={"name": f"n{number}", "password": "wrong"})
            assert answer.status_code == (401 if number < 3 else 429)
    database = open_database(Serving(store=behind[0].store))
    assert {line.address for line in read(database)} == {"127.0.0.1"}
    database.close()


def test_the_sample_of_traefik_can_be_read() -> None:
    sample = yaml.safe_load((SAMPLES / "traefik.yml").read_text(encoding="utf-8"))
    router = sample["http"]["routers"]["covid-xray"]
    assert router["rule"] == f"Host(`{NAME}`)"
    assert router["service"] in sample["http"]["services"]
