"""Archives at s3:// and gs:// addresses, from servers on this machine that speak these protocols."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from covid_xray.cluster.score import ScoringRequest, score
from covid_xray.cluster.storage_backends import ArrowStorage
from covid_xray.cluster.worker import Worker
from covid_xray.errors import BadImage, InputRefused
from covid_xray.limits import Limits
from support.archives import archive, make_bundle, rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the servers
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = archive(tmp_path_factory.mktemp("films"), 120)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]
    (folder / "list.csv").write_text("\n".join(["Image", *names[:5], "000/nothing.png"]))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as environment:
        for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}.items():
            environment.setenv(f"AWS_{name}", value)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        port = server.get_host_and_port()[1]
        yield f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
        server.stop()
        server._server.server_close()  # it only stops listening; the socket would be found open in some later test


@pytest.fixture(scope="module")
def gs() -> Iterator[str]:
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="films")
    server.start()
    port = server._api._httpd.server_address[1]
    yield f"?endpoint_override=127.0.0.1:{port}&scheme=http&retry_limit_seconds=5"
    server.stop()
    server._api._httpd.server_close()


@pytest.fixture(params=["s3", "gs"])
def address(request: pytest.FixtureRequest, films: Path) -> str:
    """Of a copy of `films`."""
    options = request.getfixturevalue(request.param)
    where = f"{'s3://films' if request.param == 's3' else 'gs://anonymous@films'}/archive"
    store, base = fs.FileSystem.from_uri(where + options)
    if request.param == "s3":
        store.create_dir("films")
    for path in sorted(films.rglob("*.*")):
        with store.open_output_stream(f"{base}/{path.relative_to(films).as_posix()}") as stream:
            stream.write(path.read_bytes())
    return where + options


def here(parts, work) -> Iterator:
    worker = Worker(work)
    return (worker.score(part, attempt=1) for part in parts)


def test_a_store_is_answered_as_the_folder_that_was_copied_to_it(address: str, films: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    score(ScoringRequest(address, tmp_path / "there", bundle=bundle), engine=here, name="here")
    score(ScoringRequest(str(films), tmp_path / "here", bundle=bundle), engine=here, name="here")
    parts = sorted(path.name for path in (tmp_path / "here" / "answers").iterdir())
    assert parts == sorted(path.name for path in (tmp_path / "there" / "answers").iterdir())
    for part in parts:
        one, two = ((tmp_path / name / "answers" / part).read_bytes() for name in ("here", "there"))
        assert one == two
    assert "secret" not in (tmp_path / "there" / "run.json").read_text()
    table = address.replace("/archive", "/archive/list.csv")
    score(ScoringRequest(table, tmp_path / "table", bundle=bundle), engine=here, name="here")
    assert [row["error"] for row in rows(tmp_path / "table")] == [None] * 5 + ["missing-file"]


def test_what_a_store_does_not_have(address: str) -> None:
    with pytest.raises(BadImage) as caught:
        ArrowStorage(address).read("000/nothing.png", limits=Limits())
    assert caught.value.code == "missing-file"
    assert not ArrowStorage(address.replace("/archive", "/gone")).is_alive()
    with pytest.raises(InputRefused, match="(s3|gs)://films/gone (does not exist|cannot be listed)"):
        list(ArrowStorage(address.replace("/archive", "/gone")).walk())
