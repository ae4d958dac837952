"""A cable between a browser or a till and the relay, which a test can hold, cut and graft.

A TCP proxy that understands just enough HTTP/1.1 to know which request it carries. Each request
gets a connection of its own to the relay, so that a fault hits one exchange and no other.
"""

import contextlib
import select
import socket
import socketserver
import struct
import threading

CHUNK_SIZE = 64 * 1024
HEAD_MAX_SIZE = 64 * 1024


class Fault:
    """What happens to the next requests whose first line begins so, or to all of them."""

    def __init__(self, begins, times, *, hold=False, request_bytes=None, answer_bytes=None,
                 answer=None, drip_bytes=None, stop_after=None):  # fmt: skip
        self.begins = begins.encode()
        self.times = times
        self.holds = hold
        self.request_bytes = request_bytes
        self.answer_bytes = answer_bytes
        self.answer = answer
        self.drip_bytes = drip_bytes
        self.stop_after = stop_after
        self.met = threading.Event()
        self.released = threading.Event()

    def release(self):
        """Let go what is held, and everything that comes after it."""
        self.times = 0
        self.released.set()


class Cable:
    """A proxy in front of a relay; `origin` is its address."""

    def __init__(self, port):
        self.relay_port = port
        self.requests = []
        self._faults = []
        self._lock = threading.Lock()
        self._open = set()
        cable = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    cable.carry(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.mend()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.cut()

    # What a test does to it

    def hold(self, begins, times=1):
        """Keep a request back until the fault is released."""
        return self._add(Fault(begins, times, hold=True))

    def cut_request(self, begins, after, times=1):
        """Carry so many bytes of a request's body, then cut."""
        return self._add(Fault(begins, times, request_bytes=after))

    def cut_answer(self, begins, after, times=1):
        """Carry so many bytes of the body of an answer, then cut."""
        return self._add(Fault(begins, times, answer_bytes=after))

    def answer(self, begins, answer, times=1):
        """Answer like somebody else on the way: a login page, a proxy."""
        return self._add(Fault(begins, times, answer=answer))

    def drip(self, begins, answer, size, stop_after=None):
        """Answer a few bytes at a time; or fall silent after so many, until the fault is released.

        The line is not cut: whoever waits has to give up by itself.
        """
        return self._add(Fault(begins, 1, answer=answer, drip_bytes=size, stop_after=stop_after))

    def mend(self):
        """Forget all faults."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def cut(self):
        """End every connection there is at this moment."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            _reset(end)

    def count(self, begins):
        """How many requests began so."""
        return sum(line.startswith(begins) for line in self.requests)

    # What it does

    def _add(self, fault):
        with self._lock:
            self._faults.append(fault)
        return fault

    def _find(self, line):
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and line.startswith(fault.begins):
                    fault.times -= 1
                    return fault
        return None

    def carry(self, near):
        """Carry one request and its answer."""
        with self._lock:
            self._open.add(near)
        far = None
        try:
            head, rest = _read_head(near)
            if not head:
                return
            line = head.split(b"\r\n", 1)[0]
            self.requests.append(line.decode("latin-1"))
            fault = self._find(line)
            if fault is not None:
                fault.met.set()
                if fault.holds:
                    fault.released.wait(60)
                if fault.drip_bytes is not None:
                    _drip(near, fault)
                elif fault.answer is not None:
                    near.sendall(fault.answer)
                if fault.answer is not None:
                    near.shutdown(socket.SHUT_WR)
                    return
            try:
                far = socket.create_connection(("127.0.0.1", self.relay_port), 5)
            except OSError:
                _reset(near)
                return
            far.settimeout(None)
            with self._lock:
                self._open.add(far)
            far.sendall(_closing(head))
            self._pump(near, far, rest, fault)
        finally:
            with self._lock:
                self._open -= {near, far}
            if far is not None:
                far.close()

    def _pump(self, near, far, rest, fault):
        request = _Body(None if fault is None else fault.request_bytes)
        answer = _Answer(None if fault is None else fault.answer_bytes)
        far.sendall(request.take(rest))
        while not request.is_over:
            ready, _, _ = select.select([far, near], [], [], 60)
            if not ready:
                return
            if near in ready:
                data = near.recv(CHUNK_SIZE)
                if not data:
                    return  # the caller has gone: so does the request (R92)
                far.sendall(request.take(data))
            if far in ready:
                data = far.recv(CHUNK_SIZE)
                near.sendall(answer.take(data))
                if answer.is_over:
                    _reset(near)
                    return
                if not data:
                    near.shutdown(socket.SHUT_WR)
                    return
        _reset(far)
        _reset(near)


class _Body:
    """Counts the bytes of a body."""

    def __init__(self, allowed):
        self._allowed = allowed

    @property
    def is_over(self):
        return self._allowed == 0

    def take(self, data):
        """Return what may go on."""
        if self._allowed is None:
            return data
        part = data[: self._allowed]
        self._allowed -= len(part)
        return part


class _Answer:
    """Counts the bytes of an answer's body."""

    def __init__(self, allowed):
        self._body = _Body(allowed)
        self._counts = allowed is not None
        self._head = b""
        self._in_body = False

    @property
    def is_over(self):
        return self._in_body and self._body.is_over

    def take(self, data):
        """Return what may go on."""
        if not self._counts:
            return data
        head = b""
        if not self._in_body:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return b""
            self._in_body = True
            head, data = self._head[: end + 4], self._head[end + 4 :]
        return head + self._body.take(data)


def _read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(CHUNK_SIZE)
        if not more or len(data) > HEAD_MAX_SIZE:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _closing(head):
    """Ask for an end of the connection after this one answer."""
    lines = [
        line
        for line in head.rstrip(b"\r\n").split(b"\r\n")
        if not line.lower().startswith((b"connection:", b"keep-alive:"))
    ]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n"


def _drip(near, fault):
    """Send a few bytes every twentieth of a second."""
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(fault.answer[: fault.stop_after]), fault.drip_bytes):
        near.sendall(fault.answer[: fault.stop_after][at : at + fault.drip_bytes])
        fault.released.wait(0.05)
    if fault.stop_after is not None:
        fault.released.wait(60)


def _reset(connection):
    """Cut without a farewell."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
