"""Testing everything the configuration names against the real thing.

Nothing is changed by a check, no receipt is made, and an agent that runs meanwhile is not
disturbed: a display's channel is registered once more, which is no change (spec/relay.md), rather
than polled, which would end the agent's poll.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import (
    BusyError,
    ConfigError,
    OutboxError,
    PermitError,
    RelayError,
    SourceError,
    TicketError,
    UnpairedError,
)
from e2ee_ticket.pdf import trial
from e2ee_ticket.protocol.channel import registration
from e2ee_ticket.sources import Finding, Shop, Source, make_source
from e2ee_ticket.sources.listening import try_listening
from e2ee_ticket.till import audit, displays
from e2ee_ticket.till.clock import Clock, SystemClock
from e2ee_ticket.till.config import Config, SourceConfig, judge_syntax
from e2ee_ticket.till.console import auth, meeting
from e2ee_ticket.till.displays import Displays, Pairing
from e2ee_ticket.till.lan import LanDisplay
from e2ee_ticket.till.lock import is_locked
from e2ee_ticket.till.network import split_listen
from e2ee_ticket.till.outbox import FILE_NAME, Outbox
from e2ee_ticket.till.paper import parse_address

SOURCE_SECONDS: Final = 60.0
PRINTER_SECONDS: Final = 5.0
CLOCK_SECONDS: Final = 60.0
DISK_MIN_SIZE: Final = 200 * 1024 * 1024

Line = tuple[str, Finding]
"""What was checked (relay, page, a display's or source's name), and what was found."""


async def check_all(
    config: Config, file: Path | None = None, clock: Clock | None = None
) -> AsyncIterator[Line]:
    """Test everything, and tell each finding as soon as it is there.

    `file` is where the configuration was read from.
    """
    for found in check_files(config, file):
        yield found
    yield "sandbox", await check_walls()
    yield "console", await check_console(config)
    clock = clock or SystemClock()
    async for found in check_relay(config, clock):
        yield found
    yield "page", await check_page(config)
    for finding in await check_lan(config, clock):
        yield "lan", finding
    for till in config.tills:
        if till.printer is not None:
            yield f"printer of {till.name}", await check_printer(till.printer)
    for source in config.sources:
        for finding in await check_source(config, source):
            yield source.name, finding


def check_files(config: Config, file: Path | None) -> list[Line]:
    """Look at the files of this till: who may read them, and whether they can be written."""
    found: list[Line] = []
    if file is not None:
        found.append(("configuration", _check_config_file(config, file)))
    if config.permit_file is not None and file is not None:
        permit = file.parent / Path(config.permit_file).expanduser()
        found += [("permit file", finding) for finding in _too_open(permit)]
    state = config.state_dir
    found.append(("state", _check_state(state)))
    running = "runs" if is_locked(state) else "does not run now; e2ee-ticket agent starts it"
    found.append(("agent", Finding(ok=True, text=running)))
    found.append(("outbox", _check_outbox(state)))
    return found


def _check_config_file(config: Config, file: Path) -> Finding:
    if not file.exists():
        return Finding(ok=True, text="there is no file; what is set comes from the environment")
    try:
        members = judge_syntax(file.read_bytes(), file.name)
    except (OSError, ConfigError):
        return Finding(ok=False, text=f"{file} cannot be read", hint="e2ee-ticket setup mends it")
    if "permit" in members or config.console.pin_hash is not None:
        for finding in _too_open(file):
            return finding
    return Finding(ok=True, text=f"{file} can be read and says nothing that cannot be")


def _too_open(path: Path) -> list[Finding]:
    """Complain of a secret's file that others on this computer can read."""
    if os.name != "posix" or not path.exists():
        return []  # on Windows, a profile belongs to its user
    if stat.S_IMODE(path.stat().st_mode) & 0o077 == 0:
        return []
    text = f"{path.name} holds a secret, and other users of this computer can read it"
    return [Finding(ok=False, text=text, hint=f"chmod 600 {path}")]


def _check_state(state: Path) -> Finding:
    if not state.exists():
        return Finding(ok=True, text=f"{state} is made when it is needed")
    if not os.access(state, os.W_OK | os.X_OK):
        text = f"{state} cannot be written by this user"
        return Finding(ok=False, text=text, hint="run this as the user that the agent runs as")
    if os.name == "posix":
        # Beside a configuration somebody's own folder may be open; its secrets may not.
        names = (displays.FILE_NAME, FILE_NAME, auth.TOKEN_FILE, auth.SESSIONS_FILE)
        loose = [path for path in (state / name for name in names) if _too_open(path)]
        if loose:
            names_of = ", ".join(path.name for path in loose)
            text = f"other users of this computer can read {names_of}"
            return Finding(
                ok=False, text=text, hint="chmod 600 " + " ".join(str(path) for path in loose)
            )
    return Finding(ok=True, text=f"{state} belongs to this user alone")


def _check_outbox(state: Path) -> Finding:
    if not (state / FILE_NAME).exists():
        return _check_room(state, "empty")
    try:
        with Outbox(state / FILE_NAME, SystemClock().now) as outbox:
            waiting, lost = len(outbox.unfinished()), len(outbox.unsealed())
    except (OutboxError, ConfigError) as error:
        return Finding(
            ok=False,
            text=str(error),
            hint="receipts still reach customers, but none survives a power cut: mend the disk",
        )
    if waiting or lost:
        count = waiting + lost
        return _check_room(state, f"works; {count} receipt{'' if count == 1 else 's'} on the way")
    return _check_room(state, "works; nothing waits")


def _check_room(state: Path, text: str) -> Finding:
    there = next((path for path in (state, *state.parents) if path.exists()), Path())
    free = shutil.disk_usage(there).free
    if free < DISK_MIN_SIZE:
        megabytes = free // 1024**2
        return Finding(
            ok=False, text=f"only {megabytes} MB are free on this disk", hint="delete something"
        )
    return Finding(ok=True, text=text)


async def check_relay(config: Config, clock: Clock) -> AsyncIterator[Line]:
    """Ask the relay; then whether it takes our permit, what time it is, and knows our displays."""
    try:
        origin = config.relay_origin
        client = RelayClient(origin, permit=config.permit)
    except ConfigError as error:
        text, _, hint = str(error).partition("; ")
        yield "relay", Finding(ok=False, text=text, hint=hint or "e2ee-ticket setup asks for it")
        return
    async with client:
        try:
            info = await client.info()
        except RelayError as error:
            yield "relay", _away(error, f"{origin}: ")
            return
        yield "relay", Finding(ok=True, text=f"{origin} answers, {info.mode}")
        if info.date is not None:
            yield "clock", _check_clock(clock.now() - info.date)
        permit = await check_permit(client, closed=info.mode == "closed")
        if permit is not None:
            yield "permit", permit
        if permit is None or permit.ok:
            async for found in _check_displays(config, client):
                yield found


def _check_clock(ahead: float) -> Finding:
    """Judge how far this computer's clock is from the relay's."""
    off = abs(ahead)
    if off <= CLOCK_SECONDS:
        return Finding(ok=True, text="agrees with the relay's")
    much = f"{off:.0f} s" if off < 300 else f"{off / 60:.0f} min" if off < 7200 else "hours"
    text = f"this computer's clock is {much} behind the relay's"
    if ahead > 0:
        text = f"this computer's clock is {much} ahead of the relay's"
    return Finding(
        ok=False,
        text=text,
        hint="let the computer set its clock by the network; receipts show the wrong time",
    )


async def check_permit(client: RelayClient, *, closed: bool) -> Finding | None:
    """Try the permit; None where none is wanted."""
    try:
        await client.try_permit()
    except PermitError as error:
        hint = "ask the relay's host for one, then: e2ee-ticket config permit"
        return Finding(ok=False, text=str(error), hint=hint)
    except RelayError as error:
        return _away(error)
    return Finding(ok=True, text="the relay takes it") if closed else None


def _away(error: RelayError, before: str = "") -> Finding:
    later = error.retryable
    hint = "is this computer online? sales go on, on paper" if later else "is its address right?"
    if isinstance(error, BusyError):
        hint = f"try again in {error.retry_after:.0f} s"
    return Finding(ok=False, text=before + str(error), hint=hint, later=later)


async def _check_displays(config: Config, client: RelayClient) -> AsyncIterator[Line]:
    try:
        pairings = Displays(config.state_dir).all()
    except ConfigError as error:
        text, _, hint = str(error).partition("; ")
        yield "displays", Finding(ok=False, text=text, hint=hint or None)
        return
    known = {pairing.name.casefold() for pairing in pairings}
    for till in config.tills:
        if till.display is not None and till.display.casefold() not in known:
            text = f"{till.name} shows its codes there, and it is not paired"
            hint = f'pair it: e2ee-ticket display add "{till.display}"'
            yield till.display, Finding(ok=False, text=text, hint=hint)
    for pairing in pairings:
        yield pairing.name, await _check_display(client, pairing)


async def _check_display(client: RelayClient, pairing: Pairing) -> Finding:
    hint = f'e2ee-ticket display remove "{pairing.name}", then display add'
    try:
        await client.register(pairing.secret.cid, registration(pairing.secret, pairing.token))
    except UnpairedError:
        return Finding(ok=False, text="the display was unpaired", hint=hint)
    except RelayError as error:
        return _away(error) if error.retryable else Finding(ok=False, text=str(error), hint=hint)
    return Finding(ok=True, text="paired, and the relay knows it")


async def check_page(config: Config) -> Finding:
    """Compare the ticket page with the released one."""
    try:
        verdict = await audit.audit(config.page_origin, config.relay_origin, config.page_hashes)
    except ConfigError as error:
        text, _, hint = str(error).partition("; ")
        return Finding(ok=False, text=text, hint=hint or None)
    text = verdict.text if not verdict.ok else f"{config.page_origin}: {verdict.text}"
    return Finding(
        ok=verdict.ok, text=text, hint=verdict.hint, later=verdict.state == "unreachable"
    )


async def check_walls() -> Finding:
    """Let the process that opens receipts try what it must not be able to do."""
    _, sentence = await asyncio.to_thread(trial.describe_walls)
    return Finding(ok=True, text=sentence)  # no system has all, and nobody can build them here


async def check_console(config: Config) -> Finding:
    """See whether the agent's own page answers, or could."""
    listen = config.console.listen
    address = meeting.address_of(listen)
    met = await asyncio.to_thread(meeting.meet, address, auth.Entrance(config.state_dir))
    if met == "ours":
        return Finding(ok=True, text=f"http://{address}/ answers")
    if met == "nobody" and is_locked(config.state_dir):
        return Finding(
            ok=False,
            text=f"the agent runs, and nothing answers at {address}",
            hint="was [console] changed? the agent's log says why it does not listen",
            later=True,
        )
    if met == "nobody" and await try_listening(*split_listen(listen)) is None:
        return Finding(ok=True, text=f"{address} is free for it")
    return Finding(
        ok=False,
        text=f"another program uses {address}",
        hint='end it, or name another port: listen = "127.0.0.1:8432" in [console]',
    )


async def check_lan(config: Config, clock: Clock) -> Sequence[Finding]:
    """See whether tablets can come to the display page on the shop's network, where it is on."""
    if config.lan is None:
        return ()
    try:
        lan = LanDisplay(
            config.lan,
            relay=config.relay_origin,
            page=config.page_origin,
            pairings=Displays(config.state_dir).all,
            clock=clock,
            lang=config.lang,
        )
    except ConfigError as error:
        text, _, hint = str(error).partition("; ")
        return [Finding(ok=False, text=text, hint=hint or None)]
    return await lan.check()


async def check_printer(address: str) -> Finding:
    """See whether a receipt printer takes a connection; nothing is sent to it."""
    try:
        host, port = parse_address(address)
    except ConfigError as error:
        return Finding(ok=False, text=str(error))
    try:
        async with asyncio.timeout(PRINTER_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError):
        return Finding(
            ok=False,
            text=f"nothing answers at {address}",
            hint="is the printer switched on, and on this network under this address?",
            later=True,
        )
    return Finding(ok=True, text=f"{address} takes a connection")


async def check_source(
    config: Config,
    source: SourceConfig,
    *,
    seconds: float = SOURCE_SECONDS,
    make: Callable[[str, str, Shop, Mapping[str, Any]], Source] = make_source,
) -> Sequence[Finding]:
    """Let a source test its own settings; whatever happens inside it is a finding."""
    shop = Shop(name=config.shop, lang=config.lang or "en")
    try:
        made = make(source.kind, source.name, shop, source.settings)
        async with asyncio.timeout(seconds):
            findings = await made.check()
    except SourceError as error:
        return [Finding(ok=False, text=str(error), hint=error.hint)]
    except TimeoutError:
        return [Finding(ok=False, text="it does not answer in time", later=True)]
    except TicketError as error:
        text, _, hint = str(error).partition("; ")
        return [Finding(ok=False, text=text, hint=hint or None, later=error.retryable)]
    return findings or [Finding(ok=True, text="nothing to complain of")]
