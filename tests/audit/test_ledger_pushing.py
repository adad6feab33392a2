"""What is sent elsewhere: all of it arrives, in order, whatever the server does; and nothing is sent unasked."""

import datetime
import json
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import connection, transaction

from portal import doctor
from portal.audit import _sending, _syslog, checks, pushing, sealing
from portal.audit._canonical import canonical
from portal.audit._merkle import leaf_hash
from portal.audit.models import Checkpoint, Delivery, Event
from portal.audit.services import TAIL_MISSING, record
from tests.audit import conftest
from tests.services import free_port

HEADER = re.compile(r"<(\d+)>1 (\S+) (\S+) havre - (\S+) \[meta sequenceId=\"(\d+)\"\] ")


def frames(stream: bytes) -> list[str]:
    """The messages of a stream with octet counting, those that are whole."""
    found = []
    while match := re.match(rb"(\d+) ", stream):
        begin, size = match.end(), int(match[1])
        if len(stream) < begin + size:
            break
        found.append(stream[begin : begin + size].decode("ascii"))
        stream = stream[begin + size :]
    return found


class Listener:
    """A syslog server over TCP or TLS. It breaks off the connections whose turn it is after so many bytes."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, breaks: dict[int, int] | None = None) -> None:
        self.messages: list[str] = []
        self.connections = 0
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                number, owner.connections = owner.connections, owner.connections + 1
                try:
                    plain = self.request
                    connection = context.wrap_socket(plain, server_side=True) if context else plain
                    owner._read(connection, (breaks or {}).get(number))
                except OSError:
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _read(self, connection: socket.socket, breaks_after: int | None) -> None:
        stream = b""
        while piece := connection.recv(4096):
            stream += piece
            if breaks_after is not None and len(stream) >= breaks_after:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.messages += frames(stream)
                connection.close()
                return
        self.messages += frames(stream)
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()
        connection.close()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def listening(*arguments: Any, **others: Any) -> Iterator[Listener]:
    listener = Listener(*arguments, **others)
    try:
        yield listener
    finally:
        listener.stop()


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that vouches for itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pkcs8 = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


@pytest.fixture(params=["tcp", "tcp+tls"])
def server(request: Any, settings: Any, tmp_path: Path) -> tuple[int, ssl.SSLContext | None]:
    """The port that the settings name, and with what a server has to listen there."""
    port, context = free_port(), None
    if request.param == "tcp+tls":
        ca, context = certificate(tmp_path, "localhost")
        settings.HAVRE_AUDIT_SYSLOG_CA = str(ca)
    settings.HAVRE_AUDIT_SYSLOG = f"{request.param}://localhost:{port}"
    settings.HAVRE_AUDIT_SYSLOG_EVENTS = True
    return port, context


def retry_now() -> None:
    Delivery.objects.update(next_try_at=None)


def bodies(messages: list[str], kind: str) -> list[dict[str, Any]]:
    return [body for body in (json.loads(one[HEADER.match(one).end() :]) for one in messages) if kind in body]


@pytest.mark.usefixtures("full_ledger")
def test_nothing_is_sent_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: pytest.fail("somebody is called"))
    pushing.push()
    assert pushing.places() == [] and not Delivery.objects.exists()


@pytest.mark.usefixtures("full_ledger")
def test_everything_arrives_as_it_was_hashed_and_without_names(server: tuple[int, ssl.SSLContext | None]) -> None:
    with listening(*server) as listener:
        pushing.push()
        pushing.push()
    events = bodies(listener.messages, "event")
    assert [one["event"]["seq"] for one in events] == list(range(1, Event.objects.count() + 1))
    for one in events:
        assert leaf_hash(canonical(one["event"])).hex() == one["leaf"]
    sent = bodies(listener.messages, "signature")
    assert [one["body"] for one in sent] == list(Checkpoint.objects.order_by("number").values_list("body", flat=True))
    for message in listener.messages:
        header = HEADER.match(message)
        assert header and header[1] == "109" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", header[2])
    assert not any(name in " ".join(listener.messages) for name in ("anna", "dora", "emil"))
    assert all(lag.waiting == 0 and not lag.error for lag in pushing.lags())


@pytest.mark.usefixtures("full_ledger")
def test_names_go_along_where_a_setting_says_so(server: tuple[int, ssl.SSLContext | None], settings: Any) -> None:
    settings.HAVRE_AUDIT_SYSLOG_NAMES = True
    with listening(*server) as listener:
        pushing.push()
    assert "emil" in {one["actor_name"] for one in bodies(listener.messages, "event")}


@pytest.mark.usefixtures("full_ledger")
def test_a_server_that_dies_and_comes_back_misses_nothing(
    server: tuple[int, ssl.SSLContext | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "_AT_ONCE", 7)
    got: list[str] = []
    pushing.push()  # nobody listens
    lag = next(one for one in pushing.lags() if one.place.startswith("events"))
    assert lag.waiting == Event.objects.count() and "did not take it" in lag.error
    assert Delivery.objects.filter(failures=1, next_try_at__isnull=False).count() == 2
    pushing.push()  # too early for another try
    assert not Delivery.objects.exclude(failures=1).exists()
    for breaks in ({0: 1, 3: 900}, {1: 3000}, {2: 0, 4: 2000}):
        with listening(*server, breaks=breaks) as listener:
            for _ in range(3):
                retry_now()
                pushing.push()
            got += listener.messages
        with transaction.atomic():
            record("x.happened", actor="anna")
        sealing.seal("minute")
        retry_now()
        pushing.push()
    with listening(*server) as listener:
        retry_now()
        pushing.push()
        got += listener.messages
    assert {one["event"]["seq"] for one in bodies(got, "event")} == set(range(1, Event.objects.count() + 1))
    assert {one["body"] for one in bodies(got, "signature")} == set(Checkpoint.objects.values_list("body", flat=True))
    assert all(lag.waiting == 0 and not lag.error for lag in pushing.lags())


@pytest.mark.usefixtures("full_ledger")
@pytest.mark.parametrize("reads", [0, 10])
def test_a_server_that_closes_without_having_read_has_received_nothing(reads: int, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.HAVRE_AUDIT_SYSLOG = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        def close_at_once() -> None:
            connection, _ = listener.accept()
            if reads:
                connection.recv(reads)
            connection.close()

        closing = threading.Thread(target=close_at_once)
        closing.start()
        pushing.push()
        closing.join()
    assert Delivery.objects.get().last == 0 and Delivery.objects.get().failures == 1
    late = [one for one in conftest.said_by_doctor() if "wait; none has arrived" in one.message]
    assert [one.level for one in late] == [doctor.ERROR]


@pytest.mark.usefixtures("full_ledger")
def test_a_server_that_is_not_who_it_says_gets_nothing(settings: Any, tmp_path: Path) -> None:
    port = free_port()
    ca, _ = certificate(tmp_path, "localhost")
    (tmp_path / "other").mkdir()
    _, another = certificate(tmp_path / "other", "localhost")
    settings.HAVRE_AUDIT_SYSLOG, settings.HAVRE_AUDIT_SYSLOG_CA = f"tcp+tls://localhost:{port}", str(ca)
    with listening(port, another) as listener:
        pushing.push()
        assert listener.messages == []
    assert Delivery.objects.get().last == 0 and "certificate" in Delivery.objects.get().error


@pytest.mark.usefixtures("full_ledger")
def test_datagrams(settings: Any) -> None:
    settings.HAVRE_AUDIT_SYSLOG_EVENTS = True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.settimeout(5)
        settings.HAVRE_AUDIT_SYSLOG = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        pushing.push()
        expected = Event.objects.count() + Checkpoint.objects.count()
        got = [receiver.recv(65536).decode() for _ in range(expected)]
    assert len(bodies(got, "event")) == Event.objects.count()


@pytest.mark.usefixtures("full_ledger")
def test_each_checkpoint_is_a_file_that_is_never_written_again(settings: Any, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(folder)
    pushing.push()
    assert "cannot be written" in pushing.lags()[0].error
    folder.mkdir()
    retry_now()
    pushing.push()
    files = sorted(folder.iterdir())
    assert len(files) == Checkpoint.objects.count()
    assert [json.loads(file.read_text())["body"] for file in files] == list(
        Checkpoint.objects.order_by("number").values_list("body", flat=True)
    )
    Delivery.objects.update(last=0)  # as after a crash between the file and the database
    before = [file.stat().st_mtime_ns for file in files]
    pushing.push()
    assert [file.stat().st_mtime_ns for file in files] == before and pushing.lags()[0].waiting == 0
    files[-1].write_text("another one")
    Delivery.objects.update(last=0)
    pushing.push()
    assert files[-1].read_text() == "another one"
    (beside,) = set(folder.iterdir()) - set(files)
    assert beside.name.startswith(f"{files[-1].stem}-")
    assert json.loads(beside.read_text())["body"] == Checkpoint.objects.values_list("body", flat=True)[0]
    said = Event.objects.get(kind=TAIL_MISSING).payload
    assert said == {"place": "checkpoints", "sent": len(files), "newest": len(files) - 1}
    Delivery.objects.update(last=0)
    pushing.push()
    assert Event.objects.filter(kind=TAIL_MISSING).count() == 1, "it is told once"


ROWS = [
    ("audit_checkpoint SET body = '[]' WHERE number = 2", 2),
    ('audit_checkpoint SET body = \'{"ledger": "../../x"}\' WHERE number = 2', 2),
    ("audit_event SET payload = '[]' WHERE seq = 5", 5),
    ("audit_event SET kind = 'another' WHERE seq = 5", 5),
]
if connection.vendor == "postgresql":
    ROWS += [("audit_event SET at = 'infinity' WHERE seq = 5", 5), ("audit_checkpoint SET at = 'infinity'", 0)]
else:
    ROWS += [
        ("audit_checkpoint SET body = X'ff00' WHERE number = 2", 2),
        ("audit_checkpoint SET signature = 'x', at = 'x' WHERE number = 2", 2),
        ("audit_event SET subject = CAST(X'ff' AS TEXT) WHERE seq = 5", 5),
        ("audit_event SET leaf = 'x', payload = '7' WHERE seq = 5", 5),
    ]


@pytest.mark.usefixtures("full_ledger")
@pytest.mark.parametrize(("change", "number"), ROWS)
def test_one_row_that_cannot_be_read_keeps_nothing_else_from_being_sent(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, number: int
) -> None:
    """It is sent as well, as text, and says that it is not what was recorded."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    settings.HAVRE_AUDIT_PUSH_FOLDER, settings.HAVRE_AUDIT_SYSLOG = str(folder), "tcp://siem:601"
    settings.HAVRE_AUDIT_SYSLOG_EVENTS = True
    sent: list[_syslog.Message] = []
    monkeypatch.setattr(_syslog, "send", lambda server, messages: sent.extend(messages))
    conftest.now(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {change}")
    pushing.push()
    assert not any(lag.waiting or lag.error or lag.is_ahead for lag in pushing.lags())
    assert len(list(folder.iterdir())) == Checkpoint.objects.count()
    assert len(sent) == Checkpoint.objects.count() + Event.objects.order_by().values("seq").count()
    assert all(one.as_bytes().isascii() for one in sent)
    spoilt = [one.number for one in sent if "problem" in json.loads(one.text)]
    assert spoilt == ([number] if number else [])
    pushing.push()
    assert not Event.objects.filter(kind=TAIL_MISSING).exists()


def test_a_place_that_fails_in_an_unknown_way_keeps_no_other_waiting(
    full_ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def fail(some: Any) -> None:
        raise LookupError("nobody thought of it")

    one = pushing.Place(pushing.CHECKPOINTS, "one", fail)
    other = pushing.Place(pushing.CHECKPOINTS, "other", lambda some: sent.extend(each.number for each in some))
    monkeypatch.setattr(pushing, "places", lambda: [one, other])
    pushing.push()
    assert len(sent) == Checkpoint.objects.count()
    assert [lag.error for lag in pushing.lags()] == ["It could not be sent (LookupError).", ""]


def test_two_workers_do_not_send_at_once(full_ledger: Any, settings: Any, tmp_path: Path) -> None:
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path)
    place = pushing.places()[0]
    held = pushing._take(place)
    assert held and pushing._take(place) is None
    Delivery.objects.update(held_until=held.held_until - pushing._HOLD * 2)  # the first one is lost
    assert pushing._take(place)
    pushing._give_back(held, last=99)  # and comes back
    assert Delivery.objects.get().last == 0


def test_an_event_is_no_second_header(db: None, audit_key: Path) -> None:
    with transaction.atomic():
        event = record("x.happened\n<13>1", actor="anna", payload={"é": '"]\n<1>'})
    sent = _sending.events(event.seq - 1, event.seq, 1)[0]
    line = _syslog.Message(sent.at, sent.kind, sent.number, sent.text).as_bytes()
    assert b"\n" not in line and line.isascii() and b"x.happened?<13>1 [meta" in line


@pytest.mark.parametrize("address", ["", "siem:6514", "http://siem", "tcp://", "tcp://siem:0x", "tcp+tls://siem/x"])
def test_addresses_that_are_none(address: str, settings: Any) -> None:
    with pytest.raises(ValueError):
        _syslog.Server.at(address)
    settings.HAVRE_AUDIT_SYSLOG = address
    assert [one.id for one in checks.places_elsewhere(None)] == (["havre.E031"] if address else [])


def test_what_the_checks_say_of_places(settings: Any, tmp_path: Path) -> None:
    settings.HAVRE_AUDIT_SYSLOG = "tcp://siem:601"
    settings.HAVRE_AUDIT_SYSLOG_CA = settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path / "nowhere")
    assert [one.id for one in checks.places_elsewhere(None)] == ["havre.W031", "havre.E032", "havre.E033"]
    settings.HAVRE_AUDIT_SYSLOG, settings.HAVRE_AUDIT_SYSLOG_CA = "tcp+tls://siem", ""
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path)
    assert checks.places_elsewhere(None) == []
