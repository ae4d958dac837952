"""`e2ee-ticket outbox` and `revoke`: what is not delivered yet, and what is to be taken back."""

import argparse
import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Final

from e2ee_ticket.cli import loop, session, voice
from e2ee_ticket.cli.sending import finished, sweep
from e2ee_ticket.errors import ConfigError, RelayError, TakenError, TicketError
from e2ee_ticket.till.config import load
from e2ee_ticket.till.outbox import Entry
from e2ee_ticket.till.pipeline import flush as flush_all
from e2ee_ticket.till.pipeline import revoke as revoke_one
from e2ee_ticket.till.states import OVER

_ID_MIN_SIZE: Final = 8
_WAITING: Final = "not uploaded yet"


def list_(parsed: argparse.Namespace) -> int:
    """List the tickets, newest last."""
    with session.open_outbox(load()) as outbox:
        sweep(outbox)
        for entry in outbox.entries():
            voice.result(json.dumps(_members(entry)) if parsed.json else _line(entry))
        for number in outbox.unsealed():
            voice.say(f"receipt {number} was accepted and never sealed: send it again")
    return voice.DONE


def _members(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "state": entry.state,
        "till": entry.till,
        "sealed_at": int(entry.sealed_at),
        "revoke": entry.revoke,
    }


def _line(entry: Entry) -> str:
    sealed = datetime.fromtimestamp(entry.sealed_at, UTC).astimezone()
    state = _WAITING if entry.state == "sealed" else entry.state
    if entry.revoke and entry.state not in OVER:
        state += ", to be revoked"
    return f"{entry.id}  {sealed:%Y-%m-%d %H:%M}  {state}"


def flush(parsed: argparse.Namespace) -> int:
    """Finish everything that no other process is at."""
    config = load()
    config.relay_origin  # noqa: B018 - asked for before the outbox is opened

    async def main() -> int:
        with session.open_outbox(config) as outbox:
            sweep(outbox)
            async with session.relay_client(config) as relay:
                till = session.make_till(config, relay, outbox)
                failures: list[TicketError] = []

                def done(entry: Entry, outcome: str | TicketError) -> None:
                    finished(entry, outcome)
                    if isinstance(outcome, TicketError):
                        failures.append(outcome)

                try:
                    async with asyncio.timeout(parsed.timeout):
                        await flush_all(till, outbox, session.away, done)
                except TimeoutError:
                    voice.say("the outbox is not empty yet")
            left = outbox.unfinished()
            if left and not failures:
                taken = sum(entry.claimed for entry in left)
                if taken:
                    voice.say(f"another e2ee-ticket is at {taken} of them")
                return voice.LATER
            for error in failures[:1]:
                voice.hint(voice.hint_for(error))
            return voice.REFUSED if failures else voice.DONE

    return loop.run(main())


def revoke(parsed: argparse.Namespace) -> int:
    """Revoke one ticket (R130)."""
    prefix = parsed.id.lower()
    if re.fullmatch(rf"[0-9a-f]{{{_ID_MIN_SIZE},32}}", prefix) is None:
        raise ConfigError(f"an id has 32 hex digits; its first {_ID_MIN_SIZE} are enough")
    config = load()

    async def main() -> int:
        with session.open_outbox(config) as outbox:
            found = outbox.find(prefix)
            if len(found) != 1:
                what = "more than one ticket has" if found else "no ticket of the last 7 days has"
                voice.say(f"{what} an id that begins so")
                voice.hint("e2ee-ticket outbox list shows them; only this till can revoke its own")
                return voice.REFUSED
            async with session.relay_client(config) as relay:
                till = session.make_till(config, relay, outbox)
                try:
                    async with asyncio.timeout(parsed.timeout):
                        state = await revoke_one(till, outbox, found[0], session.away)
                except TimeoutError:
                    return _not_yet("the relay is away")
                except TakenError:
                    voice.say("other bytes are stored under this id: its link opens nothing")
                    return voice.DONE
                except RelayError as error:
                    voice.hint(voice.hint_for(error))
                    return _not_yet(str(error))
        voice.say(f"ticket {found[0].id[:8]} is {state}")
        return voice.DONE if state == "revoked" else voice.REFUSED

    return loop.run(main())


def _not_yet(why: str) -> int:
    voice.say(f"not revoked yet: {why}")
    voice.hint("it is remembered: the next send revokes it, or: e2ee-ticket outbox flush")
    return voice.LATER
