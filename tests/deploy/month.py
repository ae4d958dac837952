"""An operator's month in some minutes: load, update, crash, restore, a wrong clock, compact.

For a machine with systemd on which ``deploy/relay/install.sh`` has put the service, and nothing
that matters: it kills the relay, damages its database and restores it.

    sudo python3 tests/deploy/month.py

Prints a line for each thing that must hold, with its figure; exit 1 when one does not. Only the
standard library is used, so that the system's Python runs it.
"""

import hashlib
import http.client
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

FOLDER = Path("/var/lib/relay-server")
DATABASE = FOLDER / "relay.sqlite"
RELAY = "/usr/local/bin/relay-server"
DAY = 86_400
failed = []


def run(*words, check=True):
    """Run a command; return what it printed and its status."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done


def tell(line):
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say(what, holds, figure=""):
    """Print a line."""
    failed.extend([] if holds else [what])
    tell(f"{'ok  ' if holds else 'FAIL'}  {what}{': ' if figure else ''}{figure}")


def ask(method, path, body=None, headers=None, *, seconds=30):
    """Make one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(condition, seconds=60):
    """Return how long it took until something was so."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            if condition():
                return time.monotonic() - begun
        except OSError:
            pass
        time.sleep(0.1)
    return None


def is_well():
    """Tell whether the relay says of itself that it works."""
    return ask("GET", "/healthz", seconds=5)[0] == 200


class Tills:
    """Tills that upload until they are stopped, each ticket until it is kept."""

    def __init__(self, permit, count=4):
        self.kept, self.refused, self.errors, self.slowest = {}, 0, 0, 0.0
        self._permit = permit
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            name, token = secrets.token_hex(16), secrets.token_bytes(32)
            envelope = b"tkt/v1\r\n" + hashlib.sha256(token).digest() + secrets.token_bytes(16_344)
            begun = time.monotonic()
            while not self._stop.is_set():
                try:
                    lines = {"Authorization": f"Bearer {self._permit}"}
                    status, _ = ask("PUT", f"/v1/t/{name}", envelope, lines)
                except (OSError, http.client.HTTPException):
                    self.errors += 1
                    time.sleep(0.1)
                    continue
                if status in (200, 201):
                    self.kept[name] = hashlib.sha256(envelope).digest()
                    self.slowest = max(self.slowest, time.monotonic() - begun)
                    break
                self.refused += 1
                time.sleep(0.2)

    def stop(self):
        """End; return what was kept."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.kept


def missing(kept):
    """Return how many of these are not served byte for byte."""
    lost = 0
    for name, digest in kept.items():
        status, body = ask("GET", f"/v1/t/{name}")
        lost += status != 200 or hashlib.sha256(body).digest() != digest
    return lost


def change(statement, *values):
    """Change the database by hand, as its owner's files stay its owner's."""
    owner = FOLDER.resolve().stat()
    connection = sqlite3.connect(DATABASE)
    with connection:
        count = connection.execute(statement, values).rowcount
    connection.close()
    for path in FOLDER.resolve().iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)
    return count


def envelopes():
    """Return how many envelopes there are, whatever a clock says of them."""
    connection = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)
    count = connection.execute("SELECT count(*) FROM tickets WHERE envelope IS NOT NULL").fetchone()
    connection.close()
    return count[0]


def load(permit):
    """A quiet minute, a reload and a restart under load."""
    tills = Tills(permit)
    time.sleep(10)
    quiet = len(tills.kept), tills.errors + tills.refused
    run("systemctl", "reload", "relay-server")
    time.sleep(5)
    run("systemctl", "restart", "relay-server")
    time.sleep(5)
    kept = dict(tills.stop())
    say("load for 10 s, four tills", quiet[0] > 0 and quiet[1] == 0, f"{quiet[0]} uploads")
    say(
        "reload and restart under load lose nothing",
        missing(kept) == 0 and tills.errors == 0,
        f"{len(kept)} kept, {tills.refused} told to come again (503), {tills.errors} errors, the "
        f"slowest {tills.slowest:.1f} s",
    )
    return kept


def crash(permit):
    """kill -9 ten times under load."""
    tills = Tills(permit)
    back = []
    for _ in range(10):
        time.sleep(1)
        pid = run("systemctl", "show", "-p", "MainPID", "--value", "relay-server").stdout.strip()
        run("kill", "-9", pid, check=False)
        back.append(wait_for(is_well) or 60.0)
    kept = dict(tills.stop())
    say(
        "killed ten times, it comes back and has what it said it has",
        missing(kept) == 0 and max(back) < 60,
        f"{len(kept)} kept, back after {max(back):.1f} s at most",
    )
    return kept


def restore(kept):
    """A backup, a kill, a damaged file, the obvious wrong way, and the right one."""
    backup = Path("/var/backups/month.sqlite")
    backup.unlink(missing_ok=True)
    run(RELAY, "backup", str(backup))
    run("systemctl", "kill", "-s", "KILL", "relay-server")
    run("systemctl", "stop", "relay-server.socket", "relay-server.service", check=False)
    content = bytearray(DATABASE.read_bytes())
    content[50_000:250_000] = bytes(200_000)
    with DATABASE.open("r+b") as file:
        file.write(content)
    for suffix in ("-wal", "-shm"):
        Path(f"{DATABASE}{suffix}").unlink(missing_ok=True)
    run("systemctl", "start", "relay-server.socket")
    run("systemctl", "start", "--no-block", "relay-server.service")
    time.sleep(20)
    log = run("journalctl", "-u", "relay-server", "-o", "cat", "-n", "20", check=False).stdout
    say("a damaged database is told, again and again", "is damaged" in log)
    run("systemctl", "stop", "relay-server.socket", "relay-server.service", check=False)
    begun = time.monotonic()
    done = run(RELAY, "restore", str(backup))
    seconds = time.monotonic() - begun
    run("systemctl", "start", "relay-server.socket", "relay-server.service")
    took = wait_for(is_well)
    say(
        "restored from a backup",
        took is not None and missing(kept) == 0,
        f"{len(kept)} tickets, {backup.stat().st_size / 2**20:.0f} MiB in {seconds:.1f} s; "
        + done.stderr.splitlines()[0].removeprefix("relay-server: "),
    )
    for path in FOLDER.resolve().glob("*.before-restore*"):
        path.unlink()
    backup.unlink()


def clock(kept):
    """The same as a clock that runs 92 days ahead: all that was written is 92 days older."""
    run("systemctl", "stop", "relay-server.socket", "relay-server.service")
    known = Path(f"{DATABASE}.known")
    content = json.loads(known.read_text())
    content["newest"] -= 92 * DAY
    known.write_text(json.dumps(content) + "\n")
    change("UPDATE tickets SET expiry = expiry - ?", 92 * DAY)
    run("systemctl", "start", "relay-server.socket", "relay-server.service")
    wait_for(is_well)
    time.sleep(45)
    health = ask("GET", "/healthz")[1].decode()
    status, _ = ask("GET", f"/v1/t/{next(iter(kept))}")
    shown = run(RELAY, "clock", check=False)
    checked = run(RELAY, "check", check=False).stdout
    left = envelopes()
    said = "days ahead" in health and shown.returncode == 1 and "FAIL  clock" in checked
    say(
        "45 s of a clock 92 days ahead: said, answered as expired, and nothing deleted",
        said and status == 410 and left >= len(kept),
        f"{left} envelopes are there; {health}",
    )


def compact():
    """The operator says that the clock is right; what is over goes, and so does its room."""
    run("chown", "--reference", str(FOLDER.resolve()), f"{DATABASE}.known")
    before = DATABASE.stat().st_size
    run(RELAY, "clock", "accept")
    took = wait_for(lambda: not envelopes(), 120)
    say(
        "the clock is accepted, and what is over is deleted", took is not None, f"{took or 0:.0f} s"
    )
    begun = time.monotonic()
    done = run(RELAY, "compact")
    say(
        "compact beside the running relay",
        DATABASE.stat().st_size < before and is_well(),
        f"{before / 2**20:.0f} MiB to {DATABASE.stat().st_size / 2**20:.1f} MiB in "
        f"{time.monotonic() - begun:.1f} s; {done.stderr.splitlines()[-1]}",
    )


def main():
    """Play the month; return the exit status."""
    begun = time.monotonic()
    say("the installed service is well", wait_for(is_well) is not None)
    mode = Path("/etc/relay-server.env").stat().st_mode & 0o777
    say("/etc/relay-server.env is for root alone", mode == 0o640, oct(mode))
    run(RELAY, "permit", "revoke", "month", check=False)
    permit = run(RELAY, "permit", "add", "month").stdout.strip()
    kept = load(permit)
    kept |= crash(permit)
    checked = run(RELAY, "check", "--url", "http://127.0.0.1:8080", check=False).stdout
    say("check, with a sale through the front", "FAIL" not in checked, checked.strip().count("\n"))
    restore(kept)
    clock(kept)
    compact()
    run(RELAY, "permit", "revoke", "month")
    end = "FAILED: " + ", ".join(failed) if failed else "all of it held"
    tell(f"{end}, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
