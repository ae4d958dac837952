"""Tills that upload and revoke as fast as they can, and remember what they were promised."""

import hashlib
import http.client
import threading
import time

from relays import KIB, TOKEN, bearer, make_envelope

SIZES = [16 * KIB, 64 * KIB]
PACE_SECONDS = 0.01
"""Between two requests, so that looking at all tickets in the end takes no longer than the load."""


def envelope_of(ticket_id):
    """Return the one envelope that belongs to an id, so that a torn one shows."""
    fill = hashlib.sha256(ticket_id.encode()).digest()
    return make_envelope(size=SIZES[fill[0] % len(SIZES)], fill=fill)


class Promises:
    """What was acknowledged, and what was merely begun."""

    def __init__(self):
        self.kept = {}
        self.revoked = set()
        self.begun = set()
        self.refused = 0

    def broken(self, address):
        """Return what a relay says otherwise: lost, torn and resurrected tickets."""
        lost, torn, risen = [], [], []
        connection = http.client.HTTPConnection(*address, timeout=30)
        for ticket_id in sorted(self.begun):
            connection.request("GET", f"/v1/t/{ticket_id}")
            response = connection.getresponse()
            body = response.read()
            if response.status == 200 and body != envelope_of(ticket_id):
                torn.append(ticket_id)
            if ticket_id in self.revoked:
                if response.status == 200:
                    risen.append(ticket_id)
                elif response.status != 410:
                    lost.append(ticket_id)
            elif ticket_id in self.kept and response.status not in {200, 410}:
                lost.append(ticket_id)
        connection.close()
        return lost, torn, risen


class Till(threading.Thread):
    """Goes on through everything, as a till's outbox does, until it is told to stop."""

    def __init__(self, find_address, permit, name, promises):
        super().__init__(daemon=True)
        self.find_address = find_address
        self.permit = permit
        self.prefix = name
        self.promises = promises
        self.stopping = threading.Event()
        self.slowest = 0.0

    def run(self):
        self.connection = None
        for number in range(1_000_000):
            if self.stopping.is_set():
                break
            name = f"{self.prefix} {number}".encode()
            ticket_id = hashlib.sha256(name).hexdigest()[:32]
            self.promises.begun.add(ticket_id)
            headers = bearer(self.permit) | {"Ticket-TTL": "3600"}
            path = f"/v1/t/{ticket_id}"
            if self.insist("PUT", path, envelope_of(ticket_id), headers, {200, 201}):
                self.promises.kept[ticket_id] = time.monotonic()
                if number % 4 == 0 and self.insist(
                    "POST", f"{path}/state", TOKEN + b"revoked", {}, {204, 410}
                ):
                    self.promises.revoked.add(ticket_id)
            time.sleep(PACE_SECONDS)
        self.hang_up()

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def insist(self, method, path, body, headers, wanted):
        """Repeat a request until it is answered; False when told to stop meanwhile."""
        while not self.stopping.is_set():
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(*self.find_address(), timeout=30)
                start = time.monotonic()
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                response.read()
                self.slowest = max(self.slowest, time.monotonic() - start)
                if response.status in wanted:
                    return True
                # Lost or refused: nothing else may ever be said.
                assert response.status in {404, 503, 507}, response.status
                assert response.status == 404 or response.getheader("Retry-After")
                if response.status == 404:
                    return False
                self.promises.refused += 1
            except (OSError, http.client.HTTPException):
                self.hang_up()
            time.sleep(PACE_SECONDS)
        return False
