"""The display channel: pairing, hello and sealed, the rules of both sides (spec/channel.md).

Neither class does I/O or reads a clock: hellos and sealed are bytes that the caller carries, times
are seconds that the caller reads. `TillChannel` decides whom to answer with what; `DisplayChannel`
makes hellos and says what may be painted.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from e2ee_ticket.errors import AuthenticationError, LengthError
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
    until: float = math.inf
    delivered_at: float | None = None
    shown: bool = False

    def payload(self, now: float) -> bytes:
        if self.content.kind != "ticket":
            return self.content.to_payload()
        return self.content.to_payload(max(1, math.ceil(self.until - now)))


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
        self._idle = _Shown(idle)
        self._present = self._idle
        self._ended: _Shown | None = None
        self._sessions: OrderedDict[bytes, _Shown] = OrderedDict()
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._crowded_since: float | None = None
        # C34: which display a session went to, and when a hello of each display was last live.
        self._holders: OrderedDict[bytes, str] = OrderedDict()
        self._last_live: dict[str, float] = {}
        self._live: set[str] = set()
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
                self._idle = _Shown(content)
            self._become(self._idle)
        else:
            until = now + content.seconds if content.kind == "ticket" else math.inf
            self._become(_Shown(content, until))

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
        opened = [(hello, responder) for hello in hellos if (responder := self._open(hello))]
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
        return answer if carried is due or carried is self._idle else None

    def delivered(self, answer: Answer, now: float) -> None:
        """The relay took the answer: 204, or 409 `answered` after a repetition."""
        self._finish(answer)
        carried = self._sessions.get(answer.session)
        if carried is not None and carried.delivered_at is None:
            carried.delivered_at = now

    def lost(self, answer: Answer) -> None:
        """The hello had gone before the answer came: 404 `hello-gone`."""
        self._finish(answer)
        if self._holders.pop(answer.session, None) == answer.hid:  # it never got a session
            self._last_live.pop(answer.hid, None)

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
        live = {self._holder(hello, responder) for hello, responder in opened}
        answered = set(self._holders.values())
        for holder in (live | self._live) & answered:
            self._last_live[holder] = now
        self._live = live
        self._last_live = {
            holder: at for holder, at in self._last_live.items() if now - at < ABSENCE_SECONDS
        }
        absent = [at for holder, at in self._last_live.items() if holder not in live]
        self._judge_at = min(absent, default=math.inf) + ABSENCE_SECONDS
        return len(live) + len(absent)

    def _holder(self, hello: bytes, responder: noise.Responder) -> str:
        """C34: whoever names a session of this process is whom it went to; others are new."""
        return self._holders.get(responder.payload) or hello_id(hello)

    def _seal(self, hid: str, responder: noise.Responder, due: _Shown, now: float) -> Answer | None:
        private = primitives.random_bytes(noise.EPHEMERAL_SIZE)
        try:
            sealed, session = responder.seal(private, due.payload(now))
        except AuthenticationError:  # C11
            return None
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
        AuthenticationError: the tag does not verify (C12).
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
    """The display's rules (C7, C20 to C27), as the display page has them."""

    def __init__(self, secret: PairingSecret) -> None:
        self._psk = secret.psk()
        self._last = NO_SESSION
        self._pending: tuple[noise.Initiator, Reading] | None = None
        self._accepted: Reading | None = None
        self._more = 0.0
        self._idle = Content.idle()
        self._content = self._idle

    def hello(self, now: Reading) -> bytes:
        """Make a hello with a fresh key (C7); the one before is discarded."""
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
        if pending is None or _elapsed(pending[1], now) > HELLO_LIFE_SECONDS:
            raise LengthError("no hello waits for this")
        content, self._last = read_sealed(pending[0], sealed)
        if content.kind == "idle":
            self._idle = content
        self._content = content
        self._accepted = now
        self._more = 0.0
        return content

    def touch(self, now: Reading) -> None:
        """Somebody needs longer: the ticket lasts its seconds from now on, in bounds (C42)."""
        if self._content.kind == "ticket" and self._accepted is not None:
            passed = _elapsed(self._accepted, now)
            until = min(passed + self._content.seconds, TICKET_LONGEST_SECONDS)
            self._more = max(self._more, until - self._content.seconds)

    def hide(self) -> None:
        """The page was hidden or left: blank, erase, forget the last session (C21, C22)."""
        self._pending = None
        self._last = NO_SESSION
        self._content = self._idle

    def painted(self, now: Reading) -> Content:
        """What may be on the screen at this moment (C23, C40)."""
        seconds = {
            "ticket": self._content.seconds + self._more,
            "thanks": THANKS_SECONDS,
            "live": LIVE_SECONDS,
        }.get(self._content.kind, math.inf)
        if self._accepted is not None and _elapsed(self._accepted, now) >= seconds:
            self._content = self._idle
        return self._content


def _elapsed(then: Reading, now: Reading) -> float:
    """C20, C21: the larger of both clocks; for ever when the wall clock jumped backwards."""
    wall = now.wall - then.wall
    if wall < 0:
        return math.inf
    if then.monotonic is None or now.monotonic is None:
        return wall
    return max(wall, now.monotonic - then.monotonic)
