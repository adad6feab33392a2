"""Messages to a syslog server: RFC 5424, over TLS (RFC 5425), TCP with octet counting (RFC 6587) or UDP (RFC 5426).

Syslog knows no receipts. Over TCP and TLS a batch has its own connection, which is closed from here first: only when
the server has closed its side after that, and in order, has it read all of it. Over UDP nobody ever knows.
"""

import fcntl
import os
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"udp": 514, "tcp": 601, "tcp+tls": 6514}
_SECONDS = 10.0  # for connecting, for each write, and for the server to close
_LONGEST_DATAGRAM = 65_000
_PRIORITY = 13 * 8 + 5  # facility "log audit", severity "notice"
_LARGEST_SEQUENCE_ID = 2**31 - 1


class NoReceipt(OSError):
    """The server ended before it had read everything, or never ended."""


@dataclass(frozen=True, slots=True)
class Server:
    """A syslog server. `ca` is a file of certificates that its own is checked with; the system's when it is empty."""

    address: str
    scheme: str
    host: str
    port: int
    ca: str

    @classmethod
    def at(cls, address: str, ca: str = "") -> "Server":
        """The server at "tcp+tls://host:port" (or tcp, udp). Raises ValueError for another address."""
        parts = urlsplit(address)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"{address} is no address of a syslog server, such as tcp+tls://siem.example.org:6514.")
        return cls(address, parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], ca)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its time (RFC 3339), what it is (MSGID), its number, and its text, ASCII."""

    at: str
    kind: str
    number: int
    text: str

    def as_bytes(self) -> bytes:
        """As RFC 5424 writes it."""
        sequence = (self.number - 1) % _LARGEST_SEQUENCE_ID + 1
        header = f"<{_PRIORITY}>1 {self.at} {_printable(socket.gethostname(), 255)} havre - {_printable(self.kind, 32)}"
        return f'{header} [meta sequenceId="{sequence}"] {self.text}'.encode("ascii", errors="replace")


def send(server: Server, messages: Sequence[Message]) -> None:
    """Send all of them, in order. Raises OSError when it is not known that all arrived."""
    if server.scheme == "udp":
        _send_datagrams(server, messages)
        return
    frames = [message.as_bytes() for message in messages]
    with _connected(server) as connection:
        connection.sendall(b"".join(b"%d %b" % (len(frame), frame) for frame in frames))
        _wait_until_read(connection)


def _connected(server: Server) -> socket.socket:
    plain = socket.create_connection((server.host, server.port), timeout=_SECONDS)
    if server.scheme == "tcp":
        return plain
    try:
        context = ssl.create_default_context(cafile=server.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def _wait_until_read(connection: socket.socket) -> None:
    """Close this side, and wait until the other one, having read to the end, has closed its own. An answer is none of
    syslog's and is passed over. Raises NoReceipt."""
    try:
        _wait_until_acknowledged(connection)
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap().close()  # its "close notify" answers ours, which comes after everything else
            return
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    except NoReceipt:
        raise
    except TimeoutError as error:
        raise NoReceipt("it does not close the connection, so that nobody knows what it has read") from error
    except OSError as error:
        raise NoReceipt(f"it broke off ({error.strerror or error})") from error


def _wait_until_acknowledged(connection: socket.socket) -> None:
    """Wait until the other machine has everything, and its process has not left before: an end that was there already
    says nothing of what it read. Raises OSError."""
    ends = time.monotonic() + _SECONDS
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]:
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))  # what is left will never be acknowledged
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.002)
    connection.settimeout(0)
    try:
        while connection.recv(4096):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        connection.settimeout(_SECONDS)
    else:
        raise NoReceipt("it closed the connection too early")


def _send_datagrams(server: Server, messages: Sequence[Message]) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as plain:
        for message in messages:
            whole = message.as_bytes()
            if len(whole) > _LONGEST_DATAGRAM:
                short = Message(message.at, message.kind, message.number, '{"too_long_for_udp": true}')
                whole = short.as_bytes()
            plain.sendto(whole, address)


def _printable(text: str, longest: int) -> str:
    return re.sub(r"[^!-~]", "?", text)[:longest] or "-"
