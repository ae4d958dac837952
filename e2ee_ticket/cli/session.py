"""What the commands that talk to a relay have in common."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from e2ee_ticket.cli import voice
from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import (
    ConfigError,
    DamagedOutboxError,
    OutboxError,
    TicketError,
    UnreachableError,
)
from e2ee_ticket.till import lock, salvage
from e2ee_ticket.till.clock import SystemClock
from e2ee_ticket.till.config import Config
from e2ee_ticket.till.outbox import DAMAGED, FILE_NAME, Outbox
from e2ee_ticket.till.pipeline import Till


def relay_client(config: Config) -> RelayClient:
    """Make the client of the configured relay."""
    return RelayClient(config.relay_origin, permit=config.permit)


AGENT_BUSY_SECONDS: Final = 0.05
"""How long the agent's event loop stands still for another program that writes into the outbox."""


def open_outbox(config: Config) -> Outbox:
    """Open the outbox of this till; a damaged one is set aside, unless an agent is at it."""
    path, now = Path(config.state_dir) / FILE_NAME, SystemClock().now
    if not salvage.is_empty(path):
        with contextlib.suppress(DamagedOutboxError):
            return Outbox(path, now)
    before = salvage.losses(path.parent)
    try:
        with lock.lock(config.state_dir):
            outbox = salvage.open_outbox(path, now)
    except ConfigError:
        raise DamagedOutboxError(DAMAGED) from None
    for loss in salvage.losses(path.parent)[len(before) :]:
        voice.say(str(loss))
        voice.hint(loss.hint)
    return outbox


def open_outbox_of_the_agent(config: Config, *, damaged: bool = False) -> Outbox:
    """Open the outbox for the agent, of which there is one (till/lock.py).

    A damaged one is set aside; where there cannot be one, what is returned says so when it is used.
    """
    try:
        return salvage.open_outbox(
            Path(config.state_dir) / FILE_NAME,
            SystemClock().now,
            owner="agent-",
            damaged=damaged,
            busy_seconds=AGENT_BUSY_SECONDS,
        )
    except OutboxError as error:
        return salvage.ClosedOutbox(error)


@contextlib.contextmanager
def outbox_if_possible(config: Config) -> Iterator[Outbox | None]:
    """Open the outbox, or say why not: a sale goes on without it."""
    try:
        outbox = open_outbox(config)
    except TicketError as error:
        voice.say(f"{error}: nothing is kept if the upload fails")
        yield None
        return
    with outbox:
        yield outbox


def make_till(config: Config, relay: RelayClient, outbox: Outbox | None) -> Till:
    """Put together what a delivery needs."""
    return Till(
        relay=relay,
        outbox=outbox,
        page=config.page_origin,
        clock=SystemClock(),
        ticket_seconds=config.ticket_seconds,
        keep_seconds=config.keep_seconds,
    )


def away(error: TicketError, seconds: float) -> None:
    """Say that the relay is away, and when the next try is."""
    wait = max(1, round(seconds))
    if isinstance(error, UnreachableError):
        voice.say(f"relay is away, next try in {wait} s: {error}")
    else:
        voice.say(f"{error}, next try in {wait} s")


def span(seconds: float) -> str:
    """Write a time to wait as a person would."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = round(seconds / size)
        if seconds >= size * 0.95:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{round(seconds)} s"
