"""Downloads from a real server on this machine that breaks off, ignores ranges, sends another file, or too much."""

import errno
import hashlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from inference import InferenceError, ModelRejected, ModelStore, _catalogue, _folder
from inference._catalogue import CatalogueEntry, RemoteFile
from inference._fetching import Wanted, fetch

DATA = bytes(range(256)) * 12_000  # 3 MB
NONE: tuple[float, ...] = ()
PATIENT = (0.0,) * 4


class Server(ThreadingHTTPServer):
    """Serves `data` at every address, in the way that `behaviour` says. Keeps the Range headers of all requests."""

    data = DATA
    etag = '"one"'
    ranges: bool = True
    break_after: list[int]
    refuse: list[int]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.break_after, self.refuse = [], []
        self.length: int | None = None
        self.leads_to = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.gguf"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range", "")
        server.asked.append(wanted)
        if server.refuse:
            self.send_error(server.refuse.pop(0))
            return
        if server.leads_to and "model.gguf" in self.path:
            self.send_response(302)
            self.send_header("Location", server.leads_to)
            self.end_headers()
            return
        begin = 0
        if wanted and server.ranges and self.headers.get("If-Range", server.etag) == server.etag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        body = server.data[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.data) - 1}/{len(server.data)}")
        self.send_header("ETag", server.etag)
        if server.length != 0:
            self.send_header("Content-Length", str(server.length or len(body)))
        self.end_headers()
        cut = server.break_after.pop(0) if server.break_after else len(body)
        try:
            self.wfile.write(body[:cut])
        except OSError:
            pass  # the client has left, as it should
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal of the tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one = Server()
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()


def wanted(server: Server, data: bytes = DATA) -> Wanted:
    return Wanted(server.url, len(data), hashlib.sha256(data).hexdigest())


def left_over(target: Path) -> list[str]:
    return sorted(one.name for one in target.parent.iterdir() if one != target)


def test_a_file_is_fetched_and_nothing_else_stays(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    target = fetch(wanted(server), tmp_path / "model.gguf", lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == DATA and left_over(target) == []
    assert steps[-1] == (len(DATA), len(DATA)) and steps == sorted(steps)


def test_a_line_that_breaks_twice_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.break_after = [1_000_000, 500_000]
    target = fetch(wanted(server), tmp_path / "model.gguf", pauses=PATIENT)
    assert target.read_bytes() == DATA
    assert server.asked == ["", "bytes=1000000-", "bytes=1500000-"]


def test_a_line_without_a_route_is_no_fault_of_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = http.client.HTTPResponse.read, [None, OSError(errno.EHOSTUNREACH, "No route to host")]

    def read(self: http.client.HTTPResponse, *arguments: int) -> bytes:
        if left and (error := left.pop(0)):
            raise error
        return real(self, *arguments)

    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    assert fetch(wanted(server), tmp_path / "model.gguf", pauses=PATIENT).read_bytes() == DATA
    assert len(server.asked) == 2
    left.append(OSError(errno.EHOSTUNREACH, "No route to host"))
    with pytest.raises(InferenceError, match=r"could not be downloaded \(No route to host\)"):
        fetch(wanted(server), tmp_path / "again.gguf", pauses=NONE)


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_given_up(server: Server, tmp_path: Path) -> None:
    server.refuse = [503, 429]
    fetch(wanted(server), tmp_path / "a.gguf", pauses=PATIENT)
    server.refuse = [503] * 20
    with pytest.raises(InferenceError, match=r"the server answers 503.*the same command goes on"):
        fetch(wanted(server), tmp_path / "b.gguf", pauses=PATIENT)
    assert len(server.refuse) == 20 - 5


def test_what_came_before_an_interruption_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(wanted(server), tmp_path / "model.gguf", interrupt)
    kept = (tmp_path / ".model.gguf.part").stat().st_size
    assert 1_000_000 < kept < len(DATA)
    assert fetch(wanted(server), tmp_path / "model.gguf").read_bytes() == DATA
    assert server.asked[-1] == f"bytes={kept}-"


def test_a_server_without_ranges_begins_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, [700_000]
    assert fetch(wanted(server), tmp_path / "model.gguf", pauses=PATIENT).read_bytes() == DATA


def test_a_file_that_changed_between_two_tries_is_begun_again(server: Server, tmp_path: Path) -> None:
    server.break_after = [900_000]
    old = DATA[::-1]
    server.data, server.etag = old, '"old"'
    with pytest.raises(InferenceError, match=r"ended early|broke"):
        fetch(wanted(server), tmp_path / "model.gguf", pauses=NONE)
    server.data, server.etag = DATA, '"new"'
    assert fetch(wanted(server), tmp_path / "model.gguf", pauses=NONE).read_bytes() == DATA


@pytest.mark.parametrize(
    ("sent", "length", "sentence"),
    [
        (DATA[:-1] + b"x", None, "SHA-256 is a different one"),
        (DATA + b"more", None, "it has .* bytes instead of"),
        (DATA + b"more", 0, "it is longer than"),  # no Content-Length: it is counted
        (DATA[:1000], None, "it has 1,000 bytes instead of"),
    ],
)
def test_another_file_is_refused_and_deleted(
    server: Server, tmp_path: Path, sent: bytes, length: int | None, sentence: str
) -> None:
    server.data, server.length = sent, length
    with pytest.raises(ModelRejected, match=sentence):
        fetch(wanted(server), tmp_path / "model.gguf", pauses=PATIENT)
    assert not (tmp_path / "model.gguf").exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("code", "sentence"), [(404, "answers 404"), (403, "licence accepted first"), (401, "licence")]
)
def test_a_refusal_is_no_reason_to_ask_again(server: Server, tmp_path: Path, code: int, sentence: str) -> None:
    server.refuse = [code, code]
    with pytest.raises(InferenceError, match=sentence):
        fetch(wanted(server), tmp_path / "model.gguf", pauses=PATIENT)
    assert len(server.asked) == 1


def test_no_room_on_the_disk_is_said_before_anything_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = _folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_folder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InferenceError, match=r"is full: the download needs"):
        fetch(wanted(server), tmp_path / "model.gguf")
    assert server.asked == []


@pytest.mark.parametrize("url", ["http://example.com/x.gguf", "file:///etc/passwd", "ftp://example.com/x"])
def test_only_https_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(InferenceError, match="only https"):
        fetch(Wanted(url, 1, "0" * 64), tmp_path / "model.gguf")


@pytest.mark.parametrize(
    "address", ["http://example.com/x", "http://localhost:{port}/x", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_another_address_is_asked_nothing_where_it_is_not_safe(server: Server, tmp_path: Path, address: str) -> None:
    server.leads_to = address.format(port=server.server_port)
    with pytest.raises(InferenceError, match=r"only https|to this machine|answers 302"):
        fetch(wanted(server), tmp_path / "model.gguf", pauses=NONE)
    assert len(server.asked) == 1


def test_a_server_may_lead_to_another_address(server: Server, tmp_path: Path) -> None:
    server.leads_to = f"http://127.0.0.1:{server.server_port}/elsewhere"
    assert fetch(wanted(server), tmp_path / "model.gguf").read_bytes() == DATA
    assert len(server.asked) == 2


def test_two_at_once_do_not_write_into_one_file(server: Server, tmp_path: Path) -> None:
    def second(done: int, _: int) -> None:
        with pytest.raises(InferenceError, match="being downloaded by another process"):
            fetch(wanted(server), tmp_path / "model.gguf")

    fetch(wanted(server), tmp_path / "model.gguf", second)


def test_pull_registers_what_was_fetched(
    server: Server, tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.data = tiny_file.read_bytes()
    digest = hashlib.sha256(server.data).hexdigest()
    known = RemoteFile("", len(server.data), server.url)
    entry = CatalogueEntry("tiny", "Tiny", "Havre", "MIT", False, "A test.", (known,), page="https://example.com")
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (entry,))
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelRejected, match="is not known here"):
        store.pull("tiny")
    with pytest.raises(ModelRejected, match="SHA-256 is a different one"):
        store.pull("tiny", sha256=["0" * 64])
    assert store.list() == []
    one = store.pull("tiny", sha256=[digest.upper()])
    assert one.sha256 == digest and one.source == server.url and store.verify()[0].ok
    asked = len(server.asked)
    assert ModelStore(store.folder, offline=True).pull("tiny", sha256=[digest]) == store.list()[0]
    assert len(server.asked) == asked, "what is here is not fetched again"


def test_nobody_else_takes_the_name_of_a_model_while_it_is_fetched(
    server: Server, tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.data = tiny_file.read_bytes() + b"\0"
    file = RemoteFile(hashlib.sha256(server.data).hexdigest(), len(server.data), server.url)
    entry = CatalogueEntry("tiny", "Tiny", "Havre", "MIT", False, "A test.", (file,), page="https://example.com")
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (entry,))
    store = ModelStore(tmp_path / "models")

    def meanwhile(done: int, _: int) -> None:
        with pytest.raises(InferenceError, match="tiny is being imported, pulled or removed by another process"):
            store.import_file(tiny_file, "tiny")

    assert store.pull("tiny", meanwhile).sha256 == file.sha256
    assert store.verify()[0].ok
    store.remove("tiny")
    store.import_file(tiny_file, "tiny")
    with pytest.raises(ModelRejected, match="Another file is registered as tiny"):
        store.pull("tiny")
    assert store.verify()[0].ok
