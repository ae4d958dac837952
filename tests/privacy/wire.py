"""A tap on the wire: everything that passes between one party and the relay, kept byte for byte.

A proxy rather than tcpdump: it needs no privileges, and says who said what.
"""

import contextlib
import re
import socket
import socketserver
import threading
from dataclasses import dataclass, field

CHUNK_SIZE = 64 * 1024
NOTHING = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@dataclass
class Connection:
    """One connection: what the party said, what it was told."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Wire(socketserver.ThreadingTCPServer):
    """Listens on a port of its own and passes everything on to the relay's.

    Without a relay it is somebody else's host: it listens, and says the same to everybody.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port=None, *, answer=NOTHING):
        super().__init__(("127.0.0.1", 0), _Deaf if port is None else _Tap)
        self.relay_port = port
        self.answer = answer
        self.connections = []
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def sent(self):
        return b"\n".join(bytes(connection.sent) for connection in self.connections)

    @property
    def received(self):
        return b"\n".join(bytes(connection.received) for connection in self.connections)

    def requests(self):
        """Return the first line of every request."""
        return re.findall(rb"((?:GET|HEAD|PUT|POST|DELETE|OPTIONS) [^\r]*) HTTP/1.1\r", self.sent)

    def headers(self, name):
        """Return every value of a header that the party sent."""
        return re.findall(rb"(?mi)^%s: ([^\r]*)\r" % name.encode(), self.sent)


class _Tap(socketserver.BaseRequestHandler):
    def handle(self):
        connection = Connection()
        self.server.connections.append(connection)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.server.relay_port)) as relay,
        ):
            back = threading.Thread(
                target=_copy, args=(relay, self.request, connection.received), daemon=True
            )
            back.start()
            _copy(self.request, relay, connection.sent)
            back.join()


class _Deaf(socketserver.BaseRequestHandler):
    def handle(self):
        connection = Connection()
        self.server.connections.append(connection)
        with contextlib.suppress(OSError):
            connection.sent += self.request.recv(CHUNK_SIZE)
            self.request.sendall(self.server.answer)


def _copy(source, sink, record):
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_SIZE):
            record += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
