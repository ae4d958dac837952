"""The engine: one receipt from the till to the customer's phone.

receipt → seal → outbox → display → (words) → relay → opened → thanks. The link depends on the
secret alone, so that the code may be shown before anything else, as `send` does; nothing that the
customer waits for waits for the upload. `send` runs one `Delivery`, the agent many; neither has a
way of its own.

A receipt accepted here is in the outbox until the relay has it, and what happens to it is told to
the observer: it ends opened, received, revoked, expired or failed, never in silence.
"""

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from e2ee_ticket.client import RelayClient, TicketState, retrying
from e2ee_ticket.errors import (
    AbsentError,
    GoneError,
    OutboxError,
    RefusedError,
    RelayError,
    TakenError,
    TicketError,
    UnreachableError,
)
from e2ee_ticket.pdf.seen import Seen
from e2ee_ticket.protocol import content
from e2ee_ticket.protocol.channel import UNSHOWN_SECONDS
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.protocol.envelope import fit, seal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.clock import Clock, within
from e2ee_ticket.till.outbox import UPLOAD_SECONDS, Entry, Outbox
from e2ee_ticket.till.screen import Screen
from e2ee_ticket.till.states import LET_GO, OPENED, OVER, SHOWABLE, DeliveryState, may

SEEING_SECONDS: Final = 1.5
WATCH_SECONDS: Final = 25
SILENCE_SECONDS: Final = 60.0
"""Longer than the client waits for an answer that is late."""
PAUSE_SECONDS: Final = 1.0
ATTEMPTS: Final = 3
_ISSUED_TIME: Final = slice(11, 16)

Report = Callable[[TicketError, float], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a ticket: sealed, stored, opened, received, revoked, expired or failed.

    `shown` says whether the display confirmed it, and is None where there is none; `expires_in`
    is the relay's word, in seconds.
    """

    id: str
    state: str
    shown: bool | None
    expires_in: int | None


class Observer(Protocol):
    """Whoever tells the cashier."""

    def progress(self, progress: Progress) -> None:
        """A ticket has come a step further."""

    def shown(self, progress: Progress) -> None:
        """The display has confirmed that it shows the ticket (C36)."""

    def link(self, link: Link) -> None:
        """Another link replaces the one before, which will never work: draw it anew."""

    def away(self, error: TicketError, seconds: float) -> None:
        """The relay did not do its part; the next try is in so many seconds."""

    def trouble(self, error: TicketError) -> None:
        """Something is wrong, and the sale goes on without it."""


@dataclass(frozen=True, slots=True)
class Till:
    """What every delivery of one till uses."""

    relay: RelayClient
    outbox: Outbox | None
    page: str
    clock: Clock
    name: str = "till"
    ticket_seconds: int = 90
    keep_seconds: int | None = None
    clear_on: str = "opened"
    """The state in which the display thanks: `opened`, or `received` to leave the code on."""


class Delivery:
    """One receipt on its way. `upload`, then `watch`; or `abandon` when there is no more time."""

    def __init__(
        self,
        till: Till,
        ticket: Ticket,
        observer: Observer,
        *,
        secret: Secret | None = None,
        screen: Screen | None = None,
        seeing: Awaitable[Seen | None] | None = None,
        number: int | None = None,
    ) -> None:
        """Begin with what there is.

        `secret` is given where its code is on show already, `number` where the outbox has accepted
        the receipt already; `seeing` is what is being made for the phone of a PDF that came without
        its words.
        """
        self.state = DeliveryState.ACCEPTED
        self.expires_in: int | None = None
        self.shown: bool | None = None if screen is None else False
        self.kept = False
        """Whether the outbox has the sealed ticket."""
        self.left = False
        """Whether an upload was ever begun: then the relay may have it (R130)."""
        self._till = till
        self._ticket = ticket
        self._observer = observer
        self._secret: Secret | None
        self._secret, self.id, self._token = _draw(secret)
        self._screen = screen
        self._seeing = seeing
        self._number = number
        self._envelope: bytes | None = None
        self._sealed_at = 0.0
        self._begun = False
        self._turn: int | None = None
        self._noted = True
        self._lost = 0

    @classmethod
    def resume(cls, till: Till, entry: Entry, observer: Observer) -> "Delivery":
        """Follow a ticket of the outbox; its secret is gone, so that it cannot be shown again."""
        resumed = cls(till, Ticket(receipt=b""), observer, number=entry.receipt_number)
        resumed.forget()
        resumed.id, resumed._token = entry.id, entry.token
        resumed.state = DeliveryState(entry.state)
        resumed.kept = resumed._begun = True
        resumed.left = entry.tried
        age = till.clock.now() - entry.sealed_at
        resumed._sealed_at = till.clock.monotonic() - age
        return resumed

    def keep(self) -> None:
        """Seal it and keep it in the outbox: a phone may have the code, and the power may fail.

        `upload` does so, unless it was done before. What `seeing` makes is added later.

        Raises:
            ReceiptError: the ticket fits no envelope.
        """
        self._accept()
        self._seal()

    def show(self, seconds: int | None = None) -> None:
        """Show the ticket on the display; `upload` does so, unless it was done before.

        It stays on for so many seconds, or for as long as every ticket.
        """
        self._begun = True
        if self._screen is None or self._secret is None:
            return
        ticket = self._ticket
        self._screen.show(
            Content.ticket(
                self._secret,
                seconds or self._till.ticket_seconds,
                number=_short(ticket.number, content.LINE_LIMIT),
                time=_short((ticket.issued or "")[_ISSUED_TIME], content.LINE_LIMIT),
                total=_short(ticket.total, content.LINE_LIMIT),
                name=_short(ticket.title, content.NAME_LIMIT),
                lang=ticket.lang,
            )
        )
        self._turn = self._screen.turn

    async def upload(self) -> str:
        """Show, seal, keep and upload; return the state, which is then `stored` or later.

        May be called again where the relay refused it, but not for good.

        Raises:
            ReceiptError: the ticket fits no envelope.
            OutboxError: a full disk does not let it be known that the upload begins.
            RelayError: the relay refuses it. It stays in the outbox unless that is for good.
        """
        if not self._begun:
            self.show()
        if self.state == "accepted":
            self.keep()
        if self._seeing is not None:
            await self._add_seen()
        for attempt in range(1, ATTEMPTS + 1):
            if self.state in OVER:  # handed over on paper, or taken back, while it waited
                break
            if self._envelope is None:
                self._seal()
            try:
                await self._put()
            except TakenError:
                if attempt == ATTEMPTS or self._secret is None:
                    self._become("failed", None)
                    raise
                self._renew()
            else:
                break
        return self.state

    async def watch(self, until: Collection[str]) -> str:
        """Follow the ticket until it is in one of these states, or over; return its state.

        Raises:
            RelayError: as `look`.
        """
        while self.state not in until and self.state not in OVER:
            await self.look(WATCH_SECONDS)
        return self.state

    async def look(self, wait: int) -> str:
        """Ask the relay once for the ticket's state, or for another one within `wait` seconds.

        Raises:
            RelayError: the relay refuses, or has lost the ticket for good.
        """

        async def ask() -> TicketState:
            asking = self._till.relay.state(self.id, self._token, since=self.state, wait=wait)
            try:  # a line that died says nothing: when the relay is back, it is asked anew
                return await within(wait + SILENCE_SECONDS, asking, self._till.clock)
            except TimeoutError as error:
                raise UnreachableError("the relay does not answer in time") from error

        began = self._till.clock.monotonic()
        try:
            found = await retrying(ask, report=self._observer.away, sleep=self._till.clock.sleep)
        except AbsentError:
            if self.state in OPENED:  # its time is over, and the relay has forgotten that it was
                self._become("expired", 0)
                return self.state
            # The relay took it and has lost it: the same bytes may bring it back (R131).
            self._lost += 1
            if self._lost == ATTEMPTS or self._sealed() is None or self._is_old():
                self._become("failed", None)
                raise
            await self._put()
            return self.state
        self.expires_in = found.expires_in
        if found.state != self.state:
            self._become(found.state, found.expires_in)
            return self.state
        if not self._noted:  # the disk was full; the outbox must not go on thinking otherwise
            self._note(self.state)
        if wait and self._till.clock.monotonic() - began < PAUSE_SECONDS:
            # The relay did not wait: do not run in circles.
            await self._till.clock.sleep(PAUSE_SECONDS)
        return self.state

    async def confirm(self, seconds: float = UNSHOWN_SECONDS) -> bool:
        """Wait until the display shows this ticket, at most so long; tell whether it does."""
        screen = self._screen
        if screen is None:
            return False
        await screen.until(lambda: screen.shown or not self.on_screen, seconds)
        return self.check_shown()

    def check_shown(self) -> bool:
        """Note whether the display has confirmed this ticket (C36), and tell."""
        if self._screen is not None and self.on_screen and self._screen.shown:
            self._note_shown()
        return bool(self.shown)

    def abandon(self) -> bool:
        """Leave it to the outbox, in a hurry; tell whether nothing is lost.

        What was not sealed yet is sealed as it is: a phone may hold the link.
        """
        if self._screen is not None and self.on_screen:
            self._screen.clear()
        if self.state == "accepted":
            self.keep()
        return self.kept or self.state != "sealed"

    def as_entry(self) -> Entry:
        """Describe it as the outbox does, which may have had no room for it."""
        clock = self._till.clock
        return Entry(
            id=self.id,
            receipt_number=self._number or 0,
            till=self._till.name,
            state=self.state,
            sealed_at=clock.now() - (clock.monotonic() - self._sealed_at),
            keep_seconds=self._till.keep_seconds,
            tried=self.left,
            revoke=False,
            claimed=False,
            token=self._token,
        )

    def withdraw(self) -> None:
        """Keep it from leaving this computer, if it has not yet."""
        if self.state != "sealed" or self.left:
            return
        with self._keeping():
            if not self.kept or self._till.outbox is None or self._till.outbox.withdraw(self.id):
                self._become("revoked", 0)

    def end(self, state: str) -> None:
        """Take note of an end that came another way: it was taken back."""
        if self.state != state:
            self._become(state, 0)

    def move_to(self, screen: Screen | None) -> None:
        """Show it on another screen from now on: a display that was paired anew."""
        self._screen = screen
        self._turn = None
        if screen is not None and self.shown is None:
            self.shown = False

    @property
    def link(self) -> Link | None:
        """The ticket's link, as long as its code may be shown."""
        return None if self._secret is None else Link(self._till.page, self._secret)

    def forget(self) -> None:
        """Forget the secret: ten minutes after the next sale at the latest (T3).

        Without it nothing is sealed any more, so that only the receipt's facts are still needed.
        """
        self._secret = None
        self._ticket = facts_of(self._ticket)

    # Steps

    def _accept(self) -> None:
        if self._till.outbox is not None and self._number is None:
            with self._keeping():
                self._number = self._till.outbox.accept(self._ticket, self._till.name)

    async def _add_seen(self) -> None:
        """Seal anew with words and picture; T17 holds, for nothing has left this computer yet."""
        seen = await self._wait_for_seen()
        self._seeing = None
        if seen is None or self._secret is None or self.state != "sealed":
            return
        ticket = with_seen(self._ticket, seen)
        if ticket is self._ticket:
            return
        envelope = seal(ticket, self._secret)
        with self._keeping():  # what is uploaded is what is kept, or the one before
            outbox = self._till.outbox
            if not self.kept or outbox is None or outbox.replace(self.id, envelope):
                self._ticket, self._envelope = ticket, envelope

    async def _wait_for_seen(self) -> Seen | None:
        """Return what there is for the phone, if it is there in time; a ticket is whole without."""
        if self._seeing is None:
            return None
        try:
            return await within(SEEING_SECONDS, self._seeing, self._till.clock)
        except Exception:  # noqa: BLE001 - whatever became of it, the customer gets the receipt
            return None

    def _seal(self) -> None:
        if self._secret is None:
            raise RefusedError("the ticket's secret was forgotten before it was sealed")
        self._envelope = seal(self._ticket, self._secret)
        self._sealed_at = self._till.clock.monotonic()
        self.kept = False
        if self._till.outbox is not None and self._number is not None:
            with self._keeping():
                self._till.outbox.keep(
                    self._number, self._secret, self._envelope, self._till.keep_seconds
                )
                self.kept = True
        self._become("sealed", None)

    async def _put(self) -> None:
        try:
            found = await retrying(
                self._put_once, report=self._observer.away, sleep=self._till.clock.sleep
            )
        except GoneError as error:
            self._become(error.reason, 0)
        except RefusedError:
            self._become("failed", None)
            raise
        else:
            self._become(found.state, found.expires_in)

    async def _put_once(self) -> TicketState:
        if self.state in OVER:  # revoked before it left this computer: it stays here
            raise GoneError("this ticket is over", self.state)
        envelope = self._sealed()
        if self._is_old() or envelope is None:
            raise RefusedError("the ticket was sealed more than 7 days ago")  # R131
        state = self._write_down()
        if state is not None and state in OVER:  # another process has taken it back
            raise GoneError("this ticket is over", state)
        self.left = True
        return await self._till.relay.put(self.id, envelope, ttl=self._till.keep_seconds)

    def _write_down(self) -> str | None:
        """Have the outbox know that an upload begins; return the state that it knows.

        Raises:
            OutboxError: it cannot, and none has begun before: whoever takes the ticket back after
                a crash would believe that it never left this computer (R130).
        """
        if not self.kept or self._till.outbox is None:
            return None
        try:
            self._till.outbox.claim(self.id)
            return self._till.outbox.tried(self.id)
        except OutboxError as error:
            if not self.left:
                raise
            self._observer.trouble(error)
            return None

    def _sealed(self) -> bytes | None:
        """Return the envelope; once the relay has had it, the outbox alone keeps it."""
        if self._envelope is None and self.state in SHOWABLE and self._till.outbox is not None:
            with self._keeping():
                return self._till.outbox.envelope(self.id)
        return self._envelope

    def _renew(self) -> None:
        """T17: other bytes are stored under this id, so this ticket needs another secret."""
        visible = self.on_screen
        self._note("failed")
        self._envelope = None
        self._secret, self.id, self._token = _draw()
        self.left = False
        self.shown = None if self._screen is None else False
        self._observer.link(Link(self._till.page, self._secret))
        if visible:
            self.show()

    def _is_old(self) -> bool:
        return self._till.clock.monotonic() - self._sealed_at > UPLOAD_SECONDS

    @property
    def on_screen(self) -> bool:
        """Whether the display is to show this ticket now."""
        return (
            self._screen is not None
            and self._secret is not None
            and self._screen.present.secret == self._secret
        )

    @property
    def confirmed(self) -> bool:
        """Whether the display shows this ticket now, by its own word (C36)."""
        return self._screen is not None and self.on_screen and self._screen.shown

    @property
    def place(self) -> str | None:
        """The display that is to show it."""
        return None if self._screen is None else self._screen.name

    @property
    def lingers(self) -> bool:
        """Whether its time is over, but a customer may have prolonged it (C42, C43)."""
        return self._screen is not None and self._turn == self._screen.turn and not self.on_screen

    def _note_shown(self) -> None:
        if not self.shown:
            self.shown = True
            self._observer.shown(self._progress())

    def _become(self, state: str, expires_in: int | None) -> None:
        state = DeliveryState(state)
        if not may(self.state, state):  # an answer that came late: what is over stays so
            return
        on_screen, lingers = self.on_screen, self.lingers
        self.check_shown()
        self.state, self.expires_in = state, expires_in
        if state != "sealed":
            self._note(state)
        is_done = self._is_thanked_for(state) or state in OVER
        if self._screen is not None and is_done:
            if on_screen and self._is_thanked_for(state):
                self._screen.thank()
            elif on_screen or lingers:
                self._screen.clear()
        if state != "sealed":  # nothing is sealed any more: the outbox keeps what it must
            self._ticket = facts_of(self._ticket)
            if self.kept or state != "stored":
                self._envelope = None
        if is_done:
            self.forget()
        self._observer.progress(self._progress())

    def _is_thanked_for(self, state: str) -> bool:
        return state in {self._till.clear_on, "received"}

    def _note(self, state: str) -> None:
        if self._till.outbox is None:
            return
        self._noted = False
        with self._keeping():
            if self.kept:
                self._till.outbox.note(self.id, state)
            elif self._number is not None and state in LET_GO:  # there was no room for the ticket
                self._till.outbox.settle(self._number, state)
            self._noted = True

    def _progress(self) -> Progress:
        return Progress(self.id, self.state, self.shown, self.expires_in)

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        """A disk that does not keep the ticket is no reason not to give it to the customer."""
        try:
            yield
        except OutboxError as error:
            self._observer.trouble(error)


def facts_of(ticket: Ticket) -> Ticket:
    """Return a ticket's facts without its receipt."""
    return dataclasses.replace(ticket, receipt=b"", preview=None, lines=None, data=())


def _draw(secret: Secret | None = None) -> tuple[Secret, str, bytes]:
    """T1: a secret for this ticket, with what stays known when it is forgotten."""
    secret = secret or Secret.generate()
    return secret, secret.id, secret.token()


def _short(text: str | None, limit: int) -> str | None:
    """A display shows a text or none; it never cuts one (C16)."""
    return text if text and len(text) <= limit else None


async def finish(till: Till, outbox: Outbox, entry: Entry, away: Report) -> str:
    """Upload or revoke what another process left behind; return the state it has come to.

    Raises:
        RelayError: the relay refuses it; it stays in the outbox unless that is for good.
    """
    state = entry.state
    refusal: RelayError | None = None
    if state == "sealed":
        if entry.revoke and not entry.tried and outbox.withdraw(entry.id):
            return "revoked"  # it never left this computer
        try:
            state = await _finish_upload(till, outbox, entry, away)
        except TakenError:
            raise  # answered: what is there is not ours, and ours will never be there
        except RelayError as error:
            if not entry.revoke:
                raise
            refusal = error  # R130: it settles nothing, the first upload may still be on its way
    if entry.revoke and state not in OVER:
        state = await _finish_revoke(till, outbox, entry, away, refusal)
    return state


async def revoke(till: Till, outbox: Outbox, entry: Entry, away: Report) -> str:
    """Revoke a ticket, whatever the outcome of its upload (R130); return its last state.

    Raises:
        RelayError: the relay does not let us. It is tried again with the rest of the outbox.
    """
    outbox.want_revoked(entry.id)
    return await finish(till, outbox, dataclasses.replace(entry, revoke=True), away)


async def _finish_upload(till: Till, outbox: Outbox, entry: Entry, away: Report) -> str:
    found = outbox.tried(entry.id)
    if found is not None and found in OVER:  # it ended on paper, or another process finished it
        return found
    envelope = outbox.envelope(entry.id)
    if envelope is None or outbox.too_old(entry):  # R131
        if entry.revoke:
            return "sealed"  # R132: revoked alone
        outbox.note(entry.id, "failed")
        return "failed"

    async def put() -> TicketState:
        outbox.claim(entry.id)
        return await till.relay.put(entry.id, envelope, ttl=entry.keep_seconds)

    try:
        state = (await retrying(put, report=away, sleep=till.clock.sleep)).state
    except GoneError as error:
        state = error.reason
    except TakenError:
        outbox.note(entry.id, "failed")
        raise
    except RefusedError:
        if not entry.revoke:
            outbox.note(entry.id, "failed")
        raise
    outbox.note(entry.id, state)
    return state


async def _finish_revoke(
    till: Till, outbox: Outbox, entry: Entry, away: Report, refusal: RelayError | None
) -> str:
    """Post `revoked`; a 404 is no end of it (R130, R132), the outbox keeps the wish for 8 days."""

    async def mark() -> None:
        outbox.claim(entry.id)
        await till.relay.mark(entry.id, entry.token, "revoked")

    try:
        await retrying(mark, report=away, sleep=till.clock.sleep)
    except GoneError as error:
        state = error.reason
    except AbsentError as error:
        raise refusal or error from None
    else:
        state = "revoked"
    outbox.note(entry.id, state)
    return state


def with_seen(ticket: Ticket, seen: Seen) -> Ticket:
    """Add words and picture to a ticket, as far as they fit.

    Where there are words, no picture of the receipt costs a larger envelope (T44).
    """
    if seen.lines is not None:
        ticket = dataclasses.replace(ticket, lines=seen.lines)
    if seen.picture is None or ticket.preview is not None:
        return ticket
    drawn = dataclasses.replace(ticket, preview=seen.picture)
    if ticket.lines is not None:
        sizes = [fit(len(each.to_bytes())) for each in (ticket, drawn)]
        if sizes[1] > sizes[0]:
            return ticket
    return drawn


async def flush(
    till: Till,
    outbox: Outbox,
    away: Report,
    done: Callable[[Entry, str | TicketError], None],
) -> None:
    """Finish everything in the outbox that no other process is at, oldest first."""
    for entry in outbox.unfinished():
        if not outbox.claim(entry.id):
            continue
        try:
            done(entry, await finish(till, outbox, entry, away))
        except RelayError as error:
            done(entry, error)
        finally:
            outbox.release(entry.id)
