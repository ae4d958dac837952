"""The part of `send` that runs behind the code: seal, upload, show, wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Collection
from typing import Final

from e2ee_ticket.cli import session, voice
from e2ee_ticket.cli.face import Face
from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import OutboxError, RelayError, TicketError
from e2ee_ticket.pdf.check import is_truncated
from e2ee_ticket.pdf.inspect import examine
from e2ee_ticket.pdf.seen import Seen
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import TTL_MAX_SECONDS, Config
from e2ee_ticket.till.displays import Pairing, idle_of
from e2ee_ticket.till.outbox import Entry, Outbox
from e2ee_ticket.till.pipeline import Delivery, Till, flush
from e2ee_ticket.till.screen import Screen
from e2ee_ticket.till.states import OVER

FLUSH_SECONDS: Final = 5.0


async def send(
    config: Config,
    face: Face,
    *,
    ticket: Ticket,
    link: Link,
    pairing: Pairing | None,
    making: Awaitable[Seen | None],
    until: Collection[str],
    limit: float | None,
) -> int:
    """Deliver one ticket, whose code is on show; return the exit code."""
    with session.outbox_if_possible(config) as outbox:
        async with (
            session.relay_client(config) as relay,
            screen_of(config, relay, pairing, face) as screen,
        ):
            till = session.make_till(config, relay, outbox)
            delivery = Delivery(
                till, ticket, face, secret=link.secret, screen=screen, seeing=making
            )
            try:
                async with asyncio.timeout(limit):
                    return await _deliver(till, delivery, ticket, face, screen, until=until)
            except TimeoutError:
                return _give_up(delivery)
            except asyncio.CancelledError:
                await _stop(delivery, screen)
                return voice.STOPPED
            except (OutboxError, RelayError) as error:
                return _refused(delivery, error)


@contextlib.asynccontextmanager
async def screen_of(
    config: Config, relay: RelayClient, pairing: Pairing | None, face: Face
) -> AsyncIterator[Screen | None]:
    """Drive the display, if there is one."""
    if pairing is None:
        yield None
        return
    async with Screen(
        relay,
        pairing,
        idle_of(config),
        SystemClock(),
        display_count=config.display_count,
        report=face.notice,
    ) as screen:
        yield screen


async def _deliver(
    till: Till,
    delivery: Delivery,
    ticket: Ticket,
    face: Face,
    screen: Screen | None,
    *,
    until: Collection[str],
) -> int:
    delivery.show()
    patient = "stored" not in until
    confirming = asyncio.create_task(_confirm(delivery, face, screen, patient=patient))
    examining = asyncio.create_task(_remark(ticket.receipt))
    finishing: asyncio.Task[None] | None = None
    try:
        await delivery.upload()
        finishing = asyncio.create_task(_finish_the_rest(till))
        if delivery.state not in until:
            await delivery.watch(until)
        else:
            await confirming
        if screen is not None and delivery.state in {"opened", "received", *OVER}:
            await screen.settle()
        await asyncio.wait({finishing, examining}, timeout=FLUSH_SECONDS)
    finally:
        for task in (confirming, finishing, examining):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    if delivery.state not in until:
        return voice.REFUSED
    if delivery.state == "stored" and screen is not None and not delivery.shown:
        return voice.REFUSED
    return voice.DONE


async def _confirm(delivery: Delivery, face: Face, screen: Screen | None, *, patient: bool) -> None:
    """C37: what is not on the display in 3 s is shown here; it may still come there later."""
    if screen is None or await delivery.confirm():
        return
    voice.say(f"{screen.name} does not show it: the code is shown here instead")
    if screen.stopped is None:
        voice.hint("is the tablet awake, online and on its display page?")
    face.draw()
    if patient:
        await delivery.confirm(TTL_MAX_SECONDS)


async def _remark(receipt: bytes) -> None:
    """Say what the cashier should know; looking inside is left out where there is no sign of it."""
    if b"/Encrypt" not in receipt and not is_truncated(receipt):
        return
    for remark in (await examine(receipt)).remarks():
        voice.say(f"the receipt is sent as it is: {remark}")


async def _finish_the_rest(till: Till) -> None:
    """Upload what earlier commands could not; of this one's own sale nothing waits for it."""
    if till.outbox is None:
        return
    try:
        sweep(till.outbox)
        await flush(till, till.outbox, lambda _error, _seconds: None, finished)
    except OutboxError as error:
        voice.say(str(error))


def sweep(outbox: Outbox) -> None:
    """Drop what is over its time, and say what was never delivered."""
    swept = outbox.sweep()
    for entry in swept.not_uploaded:
        voice.say(f"ticket {entry.id[:8]} was not uploaded within 7 days and is dropped")
    for number in swept.not_shown:
        voice.say(f"receipt {number} was not shown within a day and is dropped")


def finished(entry: Entry, outcome: str | TicketError) -> None:
    """Tell what became of a ticket of an earlier command."""
    if isinstance(outcome, TicketError):
        voice.say(f"ticket {entry.id[:8]} of the outbox: {outcome}")
    elif outcome == "stored":
        voice.say(f"ticket {entry.id[:8]} of the outbox is uploaded now")
    else:
        voice.say(f"ticket {entry.id[:8]} of the outbox: {outcome}")


def _give_up(delivery: Delivery) -> int:
    safe = delivery.abandon()
    if delivery.state not in ("accepted", "sealed"):
        voice.say(f"stopped waiting: the ticket is {delivery.state}")
        return voice.LATER
    return _not_uploaded(safe=safe)


def _not_uploaded(*, safe: bool) -> int:
    if safe:
        voice.say("not uploaded yet, kept in the outbox")
        voice.hint("the next send uploads it too, or: e2ee-ticket outbox flush")
        return voice.LATER
    voice.say("not uploaded and not kept")
    voice.hint("the code shown opens nothing; send it again, or let the customer have paper")
    return voice.REFUSED


async def _stop(delivery: Delivery, screen: Screen | None) -> None:
    safe = delivery.abandon()
    if screen is not None:
        await screen.settle()
    if delivery.state not in ("accepted", "sealed"):
        voice.say(f"stopped: the ticket is {delivery.state}, its link keeps working")
        return
    voice.say("stopped")
    _not_uploaded(safe=safe)


def _refused(delivery: Delivery, error: TicketError) -> int:
    code = voice.complain(error)
    if delivery.state == "sealed" and delivery.kept:
        voice.say("not uploaded: the code opens nothing until it is; kept in the outbox")
        voice.hint("when this is put right: e2ee-ticket outbox flush")
    else:
        voice.say("not uploaded: the code opens nothing; let the customer have paper")
    return code
