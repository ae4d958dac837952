"""Who may use the console.

The loopback interface belongs to every user of this computer, so an address proves nothing. A
session begins with a token that only this till's user can read: it lies in a file in the state
directory, `e2ee-ticket console` carries it to the browser, and it is good once. Other devices of
the shop begin theirs with a PIN, if one is set. A browser keeps the session's own token in a
cookie, this computer keeps a hash of it.

Cookies know no ports: another program that serves HTTP on the same address, and that the cashier
visits with this browser, is sent the cookie. That is a limit of every page on a loopback address.
"""

import base64
import hashlib
import hmac
import itertools
import json
import re
import secrets
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import make_private_dir, reason
from e2ee_ticket.till.displays import write_private

TOKEN_FILE: Final = "console.token"  # noqa: S105 - its name, not what is in it
DOOR_FILE: Final = "console.html"
"""Where `e2ee-ticket console` writes the page that opens the console: no argument is read by ps."""
SESSIONS_FILE: Final = "console-sessions.json"
BROWSERS_FILE: Final = "console-browsers.json"
SESSION_SECONDS: Final = 180 * 24 * 3600
SESSIONS_MAX: Final = 50

PIN_MIN_SIZE: Final = 6
PIN_MAX_SIZE: Final = 64
FREE_TRIES: Final = 5
FREE_TRIES_OF_ALL: Final = 25
FIRST_WAIT_SECONDS: Final = 30.0
LAST_WAIT_SECONDS: Final = 3600.0
_CALLERS_MAX: Final = 1000

# 32 MiB and about a tenth of a second: a PIN has a million values, the file that holds the hash is
# its only other protection.
_SCRYPT_LOG_COST: Final = 15
_SCRYPT_BLOCK: Final = 8
_SCRYPT_MEMORY: Final = 64 * 1024 * 1024
_PIN_HASH: Final = re.compile(r"scrypt\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})")


class Entrance:
    """The token file: who can read it may begin a session."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / TOKEN_FILE
        self._door = state_dir / DOOR_FILE

    def renew(self) -> None:
        """Write a new token; the one before is good no more.

        Raises:
            ConfigError: it cannot be written.
        """
        make_private_dir(self._path.parent)
        self._door.unlink(missing_ok=True)
        write_private(self._path, secrets.token_urlsafe(32).encode("ascii") + b"\n")

    def token(self) -> str:
        """Read the token.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        try:
            return self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise ConfigError(
                "the console is not running; start the agent: e2ee-ticket agent"
            ) from None
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is damaged"
            raise ConfigError(f"{TOKEN_FILE} cannot be read: {why}") from error

    def admit(self, token: str) -> bool:
        """Tell whether this is the token; it then is no more."""
        try:
            known = self.token()
        except ConfigError:
            return False
        if len(known) < 43 or not hmac.compare_digest(known.encode(), token.strip().encode()):
            return False
        self.renew()
        return True

    def prove(self, question: str) -> str:
        """Prove to whoever has the token that one has it, too: HMAC-SHA-256(token, question)."""
        return hmac.digest(self.token().encode(), b"prove " + question.encode(), "sha256").hex()

    def write_door(self, address: str) -> Path:
        """Write the page that leads a browser in, for this user's eyes only, and say where it is.

        Raises:
            ConfigError: it cannot be written.
        """
        page = (
            '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0;url={address}/enter#{self.token()}">'
            f'<title>e2ee-ticket</title><p><a href="{address}/enter#{self.token()}">Console</a>\n'
        )
        write_private(self._door, page.encode())
        return self._door


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that was let in: the hash of its token, until when, and by what.

    `by` is `token`, or names the PIN: another PIN ends the sessions that the old one began.
    `listening` names the sockets of the console that it began on.
    """

    digest: str
    until: float
    by: str
    listening: str


class Sessions:
    """Every browser that was let in; a file, read anew each time, so that it can be revoked.

    A session is good on the sockets that it began on (held.py): who had the port in between got its
    cookie, and can do nothing with it.
    """

    def __init__(self, state_dir: Path, clock: Clock, listening: str = "") -> None:
        self._path = state_dir / SESSIONS_FILE
        self._clock = clock
        self._listening = listening

    def begin(self, by: str) -> str:
        """Let a browser in and return its token.

        Raises:
            ConfigError: it cannot be kept.
        """
        token = secrets.token_urlsafe(32)
        until = self._clock.now() + SESSION_SECONDS
        kept = [*self._all(), Session(_digest(token), until, by, self._listening)]
        self._write(kept[-SESSIONS_MAX:])
        return token

    def find(self, token: str | None) -> Session | None:
        """Return the session of a token, if it has one."""
        if not token:
            return None
        digest = _digest(token)
        found = [one for one in self._all() if hmac.compare_digest(one.digest, digest)]
        return found[0] if found else None

    def end(self, token: str | None) -> None:
        """End one session."""
        if token:
            digest = _digest(token)
            self._write([one for one in self._all() if one.digest != digest])

    def end_others(self, token: str | None) -> None:
        """End every session but one."""
        digest = _digest(token or "")
        self._write([one for one in self._all() if one.digest == digest])

    def _all(self) -> list[Session]:
        now = self._clock.now()
        try:
            entries = json.loads(self._path.read_bytes())["sessions"]
            found = [
                Session(
                    str(entry["digest"]),
                    float(entry["until"]),
                    str(entry["by"]),
                    str(entry["listening"]),
                )
                for entry in entries
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # who cannot be recognised enters anew
        # A clock that was set far ahead must not give a session more than its time.
        latest = now + SESSION_SECONDS + 86_400
        return [
            one for one in found if one.listening == self._listening and now < one.until <= latest
        ]

    def _write(self, sessions: list[Session]) -> None:
        text = json.dumps({"version": 2, "sessions": [asdict(one) for one in sessions]}, indent=1)
        make_private_dir(self._path.parent)
        write_private(self._path, text.encode("ascii") + b"\n")


class Browsers:
    """The browsers that were let in before: wrong PINs of others do not slow them down.

    What a browser keeps for this opens nothing: it still needs the PIN.
    """

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._path = state_dir / BROWSERS_FILE
        self._clock = clock

    def know(self, token: str | None) -> str:
        """Remember a browser that was let in; return what it is to keep."""
        if token is not None and self.name(token) is not None:
            return token
        token = secrets.token_urlsafe(32)
        until = self._clock.now() + SESSION_SECONDS
        known = {**self._all(), _digest(token): until}
        latest = dict(sorted(known.items(), key=lambda one: one[1])[-SESSIONS_MAX:])
        make_private_dir(self._path.parent)
        text = json.dumps({"version": 1, "browsers": latest}, indent=1)
        write_private(self._path, text.encode("ascii") + b"\n")
        return token

    def name(self, token: str | None) -> str | None:
        """Name a browser that was in before, for counting its own wrong PINs."""
        digest = _digest(token or "")
        return f"browser {digest[:16]}" if digest in self._all() else None

    def _all(self) -> dict[str, float]:
        now = self._clock.now()
        try:
            known = json.loads(self._path.read_bytes())["browsers"]
            found = {str(digest): float(until) for digest, until in known.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {digest: until for digest, until in found.items() if until > now}


def form_token(session_token: str) -> str:
    """Derive what every form of a session carries: HMAC-SHA-256(session's token, "form")."""
    return hmac.digest(session_token.encode(), b"form", "sha256").hex()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def hash_pin(pin: str) -> str:
    """Turn a PIN into what the configuration keeps of it.

    Raises:
        ConfigError: it is too short, has other things than digits, or is among the first guesses.
    """
    if re.fullmatch(r"[0-9]+", pin) is None or not PIN_MIN_SIZE <= len(pin) <= PIN_MAX_SIZE:
        raise ConfigError(f"a PIN has at least {PIN_MIN_SIZE} digits and nothing else")
    steps = {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(pin)}
    if len(steps) == 1 or len(set(pin)) < 3:
        raise ConfigError("this PIN is among the first that anybody would try; take another")
    salt = secrets.token_bytes(16)
    return f"scrypt${_encode(salt)}${_encode(_scrypt(pin, salt))}"


def fits_pin(pin: str, pin_hash: str) -> bool:
    """Tell whether this is the PIN; takes a tenth of a second, so not on the event loop."""
    match = _PIN_HASH.fullmatch(pin_hash)
    if match is None or not 0 < len(pin) <= PIN_MAX_SIZE:
        return False
    return hmac.compare_digest(_scrypt(pin, _decode(match[1])), _decode(match[2]))


def name_pin(pin_hash: str) -> str:
    """Name a PIN in a session that it began."""
    return "pin " + hashlib.sha256(pin_hash.encode()).hexdigest()[:16]


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        pin.encode(),
        salt=salt,
        n=1 << _SCRYPT_LOG_COST,
        r=_SCRYPT_BLOCK,
        p=1,
        maxmem=_SCRYPT_MEMORY,
        dklen=32,
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Tries:
    """How often a wrong PIN was given: five times at once, then after waits that double.

    One caller cannot keep the others out for long, and many together are slowed down as one. A
    browser that was in before is a caller of its own, and not one of those many: strangers who
    guess cannot keep the owner out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, caller: str, browser: str | None = None) -> float:
        """Return how long this caller must wait before the next try; a known browser has a name."""
        now = self._clock.monotonic()
        keys = _counted(caller, browser)
        return max(0.0, *(self._failures.get(key, (0, 0.0))[1] - now for key, _ in keys))

    def fail(self, caller: str, browser: str | None = None) -> None:
        """Count a wrong PIN; whoever begins a try counts it before it is judged."""
        for key, free in _counted(caller, browser):
            count = self._failures.pop(key, (0, 0.0))[0] + 1
            over = min(count - free, 20)
            wait = min(FIRST_WAIT_SECONDS * 2.0**over, LAST_WAIT_SECONDS) if over >= 0 else 0.0
            self._failures[key] = (count, self._clock.monotonic() + wait)
        while len(self._failures) > _CALLERS_MAX:
            oldest = next(key for key in self._failures if key)
            del self._failures[oldest]

    def succeed(self, caller: str, browser: str | None = None) -> None:
        """Forget this caller's wrong ones; the right one is taken out of all again."""
        self._failures.pop(caller, None)
        if browser is not None:
            self._failures.pop(browser, None)
            return
        count, until = self._failures.get("", (0, 0.0))
        if count:
            self._failures[""] = (count - 1, until if count - 1 >= FREE_TRIES_OF_ALL else 0.0)


def _counted(caller: str, browser: str | None) -> tuple[tuple[str, int], ...]:
    """Say where a try counts, and how many are free there."""
    if browser is not None:
        return ((browser, FREE_TRIES),)
    return ((caller, FREE_TRIES), ("", FREE_TRIES_OF_ALL))
