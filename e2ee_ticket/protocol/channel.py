"""The display channel: pairing, hello and sealed, the rules of both sides (spec/channel.md).

Neither class does I/O or reads a clock: hellos and sealed are bytes that the caller carries, times
are seconds that the caller reads. `TillChannel` decides whom to answer with what; `DisplayChannel`
makes hellos and says what may be painted.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from e2ee_ticket.errors import AuthenticationError, LengthError, ProtocolError
from e2ee_ticket.protocol import link, noise, primitives
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.secret import Opaque

CHECK_LABEL = "dsp/v1 check"
ID_LABEL = "dsp/v1 id"
READ_LABEL = "dsp/v1 read"
PSK_LABEL = "dsp/v1 psk"
PROLOGUE = b"dsp/v1"
MAGIC = b"dsp/v1\r\n"

HELLO_SIZE = 80
SEALED_SIZE = 512
SESSION_SIZE = 32
NO_SESSION = bytes(SESSION_SIZE)

HELLO_LIFE_SECONDS = 35.0
THANKS_SECONDS = 10
LIVE_SECONDS = 120
TICKET_LONGEST_SECONDS = 300
UNSHOWN_SECONDS = 3.0
LISTENING_SECONDS = 30.0
ABSENCE_SECONDS = 5.0
DISPLAY_COUNT_MAX = 4
SLEPT_SECONDS = 10.0
EARLY_SECONDS = 20.0
FAILURE_LONGEST_SECONDS = 30.0
ASKED_LONGEST_SECONDS = 120
_LIVES: dict[str, float] = {"thanks": THANKS_SECONDS, "live": LIVE_SECONDS}
_RETRY_AFTER = re.compile(r"[0-9]{1,9}")
_REMEMBERED = 1_000
"""Of each kind: a display names the session that it got last, and a hello lives 35 s (C20)."""


class PairingSecret(Opaque):
    """P: the random bytes that a till and its display share."""

    __slots__ = ()

    @property
    def cid(self) -> str:
        """Cid = K_P("dsp/v1 id")[0:16], as 32 hex digits: the channel's name at the relay."""
        return primitives.derive(self._bytes, ID_LABEL)[:16].hex()

    def read_token(self) -> bytes:
        """Rtok = K_P("dsp/v1 read"): proves the right to say hello."""
        return primitives.derive(self._bytes, READ_LABEL)

    def psk(self) -> bytes:
        """Psk = K_P("dsp/v1 psk"): the handshake's pre-shared key."""
        return primitives.derive(self._bytes, PSK_LABEL)


class WriteToken(Opaque):
    """wtok: 32 random bytes that the till alone has; proves the right to answer (C5)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PairingLink:
    """The display page's address and P. It shows its digits only by `reveal()`."""

    page: str
    secret: PairingSecret

    def __post_init__(self) -> None:
        if not link.is_origin(self.page):
            message = "a page's origin is https://host or https://host:port, in lower case"
            raise ValueError(message)

    @classmethod
    def parse(cls, text: str) -> "PairingLink":
        """Read a pairing link.

        Raises:
            DamagedError: not a pairing link (C3).
        """
        origin, fragment = link.split(text, "/d")
        return cls(origin, PairingSecret(link.parse_fragment(fragment, CHECK_LABEL)))

    @property
    def prefix(self) -> str:
        """What stands before the digits."""
        return self.page + "/d#"

    def digits(self) -> str:
        """Reveal the 85 digits, to be typed into a display (C4)."""
        return link.format_digits(self.secret.reveal(), CHECK_LABEL)

    def reveal(self) -> str:
        """Write the whole link, pairing secret included."""
        return self.prefix + self.digits()


def registration(secret: PairingSecret, token: WriteToken) -> bytes:
    """The 72 bytes that register a channel (spec/relay.md, PUT /v1/c/{cid})."""
    return MAGIC + primitives.sha256(secret.read_token()) + primitives.sha256(token.reveal())


def hello_id(hello: bytes) -> str:
    """Hid = hex(SHA-256(hello)[0:16])."""
    return primitives.sha256(hello)[:16].hex()


@dataclass(frozen=True, slots=True)
class Answer:
    """One sealed for one hello; the same bytes however often it is sent (C8)."""

    hid: str
    sealed: bytes = field(repr=False)
    session: bytes = field(repr=False)


@dataclass(slots=True)
class _Shown:
    """A content that was presented, and what became of it."""

    content: Content
    idle: bool
    until: float = math.inf
    delivered_at: float | None = None
    shown: bool = False

    def payload(self, now: float) -> bytes:
        if self.content.kind != "ticket":
            return self.content.to_payload()
        return self.content.to_payload(max(1, math.ceil(self.until - now)))  # C44


class TillChannel:
    """The till's rules (C31 to C37). All times are seconds of one monotonic clock."""

    def __init__(self, secret: PairingSecret, idle: Content, *, display_count: int = 1) -> None:
        """Begin with idle as the present state.

        Raises:
            ValueError: `idle` is not idle, or the display count is not 1 to 4.
        """
        if idle.kind != "idle" or not 1 <= display_count <= DISPLAY_COUNT_MAX:
            message = "a channel begins idle and has 1 to 4 displays"
            raise ValueError(message)
        self._psk = secret.psk()
        self._display_count = display_count
        self._idle = _Shown(idle, idle=True)
        self._present = self._idle
        self._ended: _Shown | None = None
        self._sessions: OrderedDict[bytes, _Shown] = OrderedDict()
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._crowded_since: float | None = None
        # C34: which display a session went to, and when a hello of each display was last live.
        self._holders: OrderedDict[bytes, str] = OrderedDict()
        self._last_live: dict[str, float] = {}
        self._live: dict[str, str] = {}  # of each live hello, whose it is
        self._judge_at = math.inf
        self.display_seen = False

    @property
    def present(self) -> Content:
        """The present state."""
        return self._present.content

    @property
    def shown(self) -> bool:
        """Whether a later hello named a session that carried the present state (C36)."""
        return self._present.shown

    def show(self, content: Content, now: float) -> None:
        """Change the present state; then judge every live hello anew (C33)."""
        if content.kind == "idle":
            if content != self._idle.content:
                self._idle = _Shown(content, idle=True)
            self._become(self._idle)
        else:
            until = now + content.seconds if content.kind == "ticket" else math.inf
            self._become(_Shown(content, idle=False, until=until))

    def tick(self, now: float) -> bool:
        """End a ticket whose seconds are over; tell whether it ended just now."""
        if now < self._present.until:
            return False
        ended = self._present
        self._become(self._idle)
        self._ended = ended
        return True

    def _become(self, present: _Shown) -> None:
        # T3: sessions are remembered by what they carried, so what is over must hold no secret.
        if self._present is not self._idle:
            self._present.content = self._idle.content
        self._present = present
        self._ended = None

    def unshown(self, now: float) -> bool:
        """Whether the cashier is to be warned: delivered 3 s ago, and not shown (C37)."""
        at = self._present.delivered_at
        return at is not None and not self._present.shown and now - at >= UNSHOWN_SECONDS

    def crowded(self, now: float) -> bool:
        """Whether another screen has been listening for 30 s (C35)."""
        return self._crowded_since is not None and now - self._crowded_since >= LISTENING_SECONDS

    def must_judge(self, now: float) -> bool:
        """Whether hellos are to be judged again though none came or went (C34)."""
        return now >= self._judge_at

    def answer(self, hellos: Sequence[bytes], now: float) -> list[Answer]:
        """Judge the live hellos and return an answer for each that is to have one now.

        A hello that breaks the specification is not ours and gets none. An answer whose fate is
        unknown is returned again with the same bytes (C8), unless what it carries is over by now
        (C41): then its hello gets none, because a later customer must not see an earlier one's
        ticket.
        """
        self.tick(now)
        opened = [(hello, responder) for hello in hellos if (responder := self._open(hello))]  # C48
        self.display_seen = self.display_seen or bool(opened)
        for _, responder in opened:
            named = self._sessions.get(responder.payload)
            if named is not None:
                named.shown = True  # C36
        crowded = self._count(opened, now) > self._display_count
        if not crowded:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now
        answers = []
        for hello, responder in opened:
            hid = hello_id(hello)
            if hid in self._done:
                continue
            known = self._sessions.get(responder.payload)
            due = self._idle if known is None or crowded else self._present  # C32, C34
            if hid in self._answers:
                answer = self._repeat(self._answers[hid], due)
            elif known is not due and not self._may_stay(known, crowded=crowded):
                answer = self._seal(hid, responder, due, now)
            else:  # C31: a current hello waits
                answer = None
            if answer is not None:
                answers.append(answer)
        return answers

    def _may_stay(self, known: _Shown | None, *, crowded: bool) -> bool:
        """C43: whether this display shows a ticket whose time is over, and may go on."""
        return known is not None and known is self._ended and not crowded

    def _repeat(self, answer: Answer, due: _Shown) -> Answer | None:
        carried = self._sessions.get(answer.session)
        return answer if carried is due or (carried is not None and carried.idle) else None

    def delivered(self, answer: Answer, now: float) -> None:
        """The relay took the answer: 204, or 409 `answered` after a repetition."""
        self._finish(answer)
        carried = self._sessions.get(answer.session)
        if carried is not None and carried.delivered_at is None:
            carried.delivered_at = now
        self._leave(answer.hid, now)

    def lost(self, answer: Answer, now: float) -> None:
        """The hello had gone before the answer came: 404 `hello-gone`."""
        self._finish(answer)
        if self._holders.pop(answer.session, None) == answer.hid:  # it never got a session
            self._last_live.pop(answer.hid, None)
        self._leave(answer.hid, now)

    def _leave(self, hid: str, now: float) -> None:
        """C34: a hello is no longer live; its display, if ever answered, is away from now on."""
        holder = self._live.pop(hid, None)
        live = set(self._live.values())
        if holder is not None and holder not in live and holder in self._holders.values():
            self._last_live[holder] = now
            self._watch(live)

    def _finish(self, answer: Answer) -> None:
        self._answers.pop(answer.hid, None)
        self._done[answer.hid] = None
        _trim(self._done)

    def _open(self, hello: bytes) -> noise.Responder | None:
        try:
            return read_hello(self._psk, hello)
        except (AuthenticationError, LengthError):
            return None

    def _count(self, opened: list[tuple[bytes, noise.Responder]], now: float) -> int:
        """C34: the displays that have a hello, and those that had one a moment ago."""
        before = set(self._live.values())
        self._live = {
            hello_id(hello): self._holder(hello, responder)
            for hello, responder in opened
            if hello_id(hello) not in self._done
        }
        live = set(self._live.values())
        for holder in (live | before) & set(self._holders.values()):
            self._last_live[holder] = now
        self._last_live = {
            holder: at for holder, at in self._last_live.items() if now - at < ABSENCE_SECONDS
        }
        return len(live) + self._watch(live)

    def _watch(self, live: set[str]) -> int:
        """Count those who are away, and know when the first of them counts no more."""
        absent = [at for holder, at in self._last_live.items() if holder not in live]
        self._judge_at = min(absent, default=math.inf) + ABSENCE_SECONDS
        return len(absent)

    def _holder(self, hello: bytes, responder: noise.Responder) -> str:
        """C34: whoever names a session of this process is whom it went to; others are new."""
        return self._holders.get(responder.payload) or hello_id(hello)

    def _seal(self, hid: str, responder: noise.Responder, due: _Shown, now: float) -> Answer:
        private = primitives.random_bytes(noise.EPHEMERAL_SIZE)
        sealed, session = responder.seal(private, due.payload(now))
        self._sessions[session] = due
        _trim(self._sessions)
        self._holders[session] = self._holders.get(responder.payload, hid)
        _trim(self._holders)
        answer = self._answers[hid] = Answer(hid, sealed, session)
        _trim(self._answers)
        return answer


def _trim(mapping: OrderedDict[Any, Any]) -> None:
    while len(mapping) > _REMEMBERED:
        mapping.popitem(last=False)


def read_hello(psk: bytes, hello: bytes) -> noise.Responder:
    """Open a hello; its payload is the session that the display accepted last.

    Raises:
        LengthError: not 80 bytes (C10).
        AuthenticationError: a low-order key (C11), or the tag does not verify (C12).
    """
    if len(hello) != HELLO_SIZE:
        raise LengthError("a hello has 80 bytes")
    return noise.Responder(PROLOGUE, psk, hello)


def make_hello(psk: bytes, private: bytes, last: bytes) -> noise.Initiator:
    """Make a hello from an ephemeral private key and the last session, 32 bytes each (C6)."""
    return noise.Initiator(PROLOGUE, psk, private, last)


def read_sealed(initiator: noise.Initiator, sealed: bytes) -> tuple[Content, bytes]:
    """Open a sealed and return its content and its session.

    Raises:
        LengthError: not 512 bytes (C10).
        AuthenticationError: a low-order key (C11), or the tag does not verify (C12).
        FramingError: C13, C14.
    """
    if len(sealed) != SEALED_SIZE:
        raise LengthError("a sealed has 512 bytes")
    payload, session = initiator.read(sealed)
    return Content.from_payload(payload), session


@dataclass(frozen=True, slots=True)
class Reading:
    """Two clocks read at one moment, in seconds; a display may have no monotonic one."""

    wall: float
    monotonic: float | None = None


class DisplayChannel:
    """The display's rules (C7, C20 to C30, C42, C45 to C47), as the display page has them.

    Every function that takes `now` wants the latest reading of the clocks. Those that say when the
    next hello goes out return seconds from now; None means that nothing changes about that.
    """

    def __init__(self, secret: PairingSecret) -> None:
        self._psk: bytes | None = secret.psk()
        self._last = NO_SESSION
        self._pending: tuple[noise.Initiator, Reading] | None = None
        self._idle = Content.idle()
        self._content = self._idle
        self._accepted: Reading | None = None
        self._seconds = math.inf
        self._ticked: Reading | None = None
        self._hidden = False
        self._failures = 0

    @property
    def paired(self) -> bool:
        """Whether P is still known (C30)."""
        return self._psk is not None

    @property
    def waiting(self) -> bool:
        """Whether a hello waits for its sealed."""
        return self._pending is not None

    def hello(self, now: Reading) -> bytes:
        """Make a hello with a fresh key (C7); the one before is discarded.

        Raises:
            ValueError: there is no pairing any more.
        """
        if self._psk is None:
            raise ValueError("this display was unpaired")
        private = primitives.random_bytes(noise.EPHEMERAL_SIZE)
        initiator = make_hello(self._psk, private, self._last)
        self._pending = (initiator, now)
        return initiator.hello

    def accept(self, sealed: bytes, now: Reading) -> Content:
        """Read the answer to the hello that waits; the key is erased whatever comes of it.

        Raises:
            ProtocolError: as `read_sealed`; LengthError also where no hello waits (C20, C21).
        """
        pending, self._pending = self._pending, None
        if pending is None or _elapsed(pending[1], now) >= HELLO_LIFE_SECONDS:
            raise LengthError("no hello waits for this")
        content, self._last = read_sealed(pending[0], sealed)
        if content.kind == "idle":
            self._idle = content
        self._failures = 0
        self._begin(content, now)
        return content

    def answered(
        self,
        status: int,
        body: bytes,
        now: Reading,
        *,
        retry_after: str | None = None,
        chance: float = 0.0,
    ) -> float | None:
        """Take the relay's answer to the hello that waits; `chance` is a random number below 1.

        Returns:
            when the next hello goes out; None also when the display was unpaired (C30).
        """
        delay = self.tick(now)
        if self._pending is None:
            return delay
        if status == 410:
            self._unpair()
            return None
        if status == 200:
            try:
                self.accept(body, now)
            except ProtocolError:
                return self.failed(now)
            return 0.0  # C46
        if status != 204:
            return self.failed(now, retry_after if status in (429, 503) else None)
        waited = _elapsed(self._pending[1], now)
        self._pending = None
        self._failures = 0
        return 1.0 + 2.0 * chance if waited < EARLY_SECONDS else 0.0  # C28

    def failed(self, now: Reading, retry_after: str | None = None) -> float:
        """Discard the hello: something went wrong; return when the next one goes out (C27)."""
        delay = min(FAILURE_LONGEST_SECONDS, 2.0**self._failures)
        self._pending = None
        self._failures += 1
        if self._failures > 1 and self._content.kind in _LIVES:  # C47
            self._begin(self._idle, now)
        asked = _RETRY_AFTER.fullmatch(retry_after or "")
        return max(delay, min(int(asked[0]), ASKED_LONGEST_SECONDS) if asked else 0)

    def tick(self, now: Reading) -> float | None:
        """Let time pass; to be called once a second at least, and before everything else."""
        before, self._ticked = self._ticked or now, now
        if self._hidden or self._psk is None:
            return None
        if _elapsed(before, now) > SLEPT_SECONDS:  # C45
            self.hide()
            self._hidden = False
            return 0.0
        self.painted(now)
        if self._pending is not None and _elapsed(self._pending[1], now) >= HELLO_LIFE_SECONDS:
            return self.failed(now)  # C20
        return None

    def touch(self, now: Reading) -> None:
        """Somebody needs longer: the ticket lasts its seconds from now on, in bounds (C42)."""
        if self._content.kind == "ticket" and self._accepted is not None:
            passed = _elapsed(self._accepted, now)
            until = min(passed + self._content.seconds, TICKET_LONGEST_SECONDS)
            self._seconds = max(self._seconds, until)

    def hide(self) -> None:
        """The page was hidden or left: blank, erase, forget the last session (C21, C22)."""
        self._pending = None
        self._hidden = True
        self._last = NO_SESSION
        self._begin(self._idle, None)

    def resume(self, now: Reading) -> float | None:
        """The page is there again; the next hello goes out at once (C46)."""
        was, self._hidden, self._ticked = self._hidden, False, now
        return 0.0 if was else None

    def painted(self, now: Reading) -> Content:
        """What may be on the screen at this moment (C23, C40)."""
        if self._accepted is not None and _elapsed(self._accepted, now) >= self._seconds:
            self._begin(self._idle, now)
        return self._content

    def _begin(self, content: Content, now: Reading | None) -> None:
        self._content = content
        self._accepted = now
        self._seconds = content.seconds or _LIVES.get(content.kind, math.inf)

    def _unpair(self) -> None:
        self._pending = None
        self._psk = None
        self._last = NO_SESSION
        self._idle = Content.idle()
        self._begin(self._idle, None)


def _elapsed(then: Reading, now: Reading) -> float:
    """C20, C21: the larger of both clocks; for ever when the wall clock jumped backwards."""
    wall = now.wall - then.wall
    if wall < 0:
        return math.inf
    if then.monotonic is None or now.monotonic is None:
        return wall
    return max(wall, now.monotonic - then.monotonic)
