"""The commands beside a running relay: ``permit``, ``stats``, ``backup``, ``forget``, ``clock``."""

import asyncio
import json
import os
import re
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from relay_server import permits
from relay_server.clock import GuardedClock, Machine, Seen, SystemClock, say_doubt
from relay_server.config import DAY, MIB, Config
from relay_server.errors import StartError
from relay_server.owner import become_owner, find_owner
from relay_server.settings import DEFAULT_DB, find_database, find_store
from relay_server.store import Permit, State, Store
from relay_server.store.beside import Beside
from relay_server.store.place import is_running, must_be_there
from relay_server.store.restoring import open_backup
from relay_server.store.restoring import restore as put_back
from relay_server.store.sqlite import compact as compact_file
from relay_server.store.upkeep import back_up, count
from relay_server.stores import open_any_store
from relay_server.voice import (
    MisuseError,
    Parser,
    parse_amount,
    parse_count,
    say,
    show,
    show_amount,
)
from relay_server.welcome import is_web_address

NAME_MAX_SIZE = 100
VOLUME_MIN_BYTES = 4 * MIB
_ID = re.compile(r"[0-9a-f]{32}")


# Permits


def permit_parser() -> Parser:
    """Return what can be said to `relay-server permit`."""
    parser = Parser(
        prog="relay-server permit",
        description="Say who may upload to a closed relay; effective at once.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|revoke")
    common = common_flags()
    add = actions.add_parser(
        "add",
        parents=[common],
        help="make a permit and print it, once",
        epilog="Each relay counts for itself: with N of them on one Redis, a permit gets up to N "
        "times what is said here.",
    )
    add.add_argument("name", metavar="NAME", nargs="?", help="whom it is for")
    add.add_argument(
        "--from",
        dest="names",
        metavar="FILE",
        help="one permit for each line: a name, and after a tab, if you like, the limits UPLOADS "
        "and SIZE; names and permits are printed as a table, or nothing is made at all",
    )
    add.add_argument(
        "--relay",
        metavar="URL",
        help="print what to hand over instead of the permit alone: what the till's setup asks for",
    )
    add.add_argument("--uploads-per-hour", metavar="N", help="at most so many tickets an hour")
    add.add_argument(
        "--bytes-per-hour", metavar="SIZE", help="at most so much an hour, such as 200MiB"
    )
    add.add_argument(
        "--new", action="store_true", help="make the database, too, before a relay has run on it"
    )
    actions.add_parser(
        "list", parents=[common], help="print the day, the limits and the name of each permit"
    )
    revoke = actions.add_parser("revoke", parents=[common], help="end a permit at once")
    revoke.add_argument("name", metavar="NAME", help="whom it was for")
    return parser


def permit(arguments: list[str]) -> int:
    """Say who may upload to a closed relay."""
    given = permit_parser().parse_args(arguments)
    if given.action == "add" and (given.name is None) == (given.names is None):
        raise MisuseError("one name, or --from FILE", hint="see relay-server permit add --help")
    if given.action != "list" and given.name is not None:
        given.name = _parse_name(given.name)
    if given.action == "add":
        _parse_limits(given)
        if given.relay is not None and not is_web_address(given.relay):
            raise MisuseError(f"--relay {given.relay!r} is no web address", hint="https://…")
        given.rows = [] if given.names is None else _read_rows(Path(given.names), given)
    place = _find_store(given)
    if not (given.action == "add" and given.new):
        _must_exist(place, more="start the relay once" if given.action == "add" else "")
    elif isinstance(place, Path):
        must_be_there(place)
    return asyncio.run(_permit(given, place))


async def _permit(given: Namespace, place: Path | str) -> int:
    clock = SystemClock()
    store, _ = await open_any_store(Config(), place, clock, exclusive=False)
    try:
        if given.action == "add":
            today = int(clock.wall()) // DAY
            if given.rows:
                await _add_permits(given, store, today=today)
            else:
                await _add_permit(given, store, today=today)
            if isinstance(place, str) and (given.uploads_per_hour or given.bytes_per_hour):
                say(
                    "each relay on this Redis counts its limits for itself: two allow twice as much"
                )
        elif given.action == "revoke":
            if not await store.revoke_permit(given.name):
                raise StartError(
                    f"there is no permit {given.name!r}", hint="see relay-server permit list"
                )
            say(f"revoked {given.name!r}")
        else:
            for row in await store.list_permits():
                show(_permit_line(row))
    finally:
        await store.close()
    return 0


async def _add_permit(given: Namespace, store: Store, *, today: int) -> None:
    text = permits.generate()
    added = await store.add_permit(
        given.name,
        permits.digest(text),
        today=today,
        uploads_per_hour=given.uploads_per_hour,
        bytes_per_hour=given.bytes_per_hour,
    )
    if not added:
        raise StartError(
            f"there is a permit {given.name!r} already",
            hint=f"choose another, or revoke it: relay-server permit revoke {given.name!r}",
        )
    show(_handed(text, given.relay))


async def _add_permits(given: Namespace, store: Store, *, today: int) -> None:
    """Make one for each row; none when a name is taken."""
    there = {row.name for row in await store.list_permits()}
    taken = [row.name for row in given.rows if row.name in there]
    if taken:
        raise StartError(
            f"there are permits already: {', '.join(map(repr, taken[:5]))}; none was made",
            hint="take these lines out of the file, or revoke them",
        )
    for row in given.rows:
        text = permits.generate()
        if not await store.add_permit(
            row.name,
            permits.digest(text),
            today=today,
            uploads_per_hour=row.uploads_per_hour,
            bytes_per_hour=row.bytes_per_hour,
        ):
            raise StartError(f"there is a permit {row.name!r} already; those printed were made")
        show(f"{row.name}\t{_handed(text, given.relay)}")


def _handed(text: str, relay: str | None) -> str:
    """Return what a shop gets: its permit, or the two lines that its till's setup reads."""
    return text if relay is None else f"{relay.rstrip('/')} {text}"


def _read_rows(path: Path, given: Namespace) -> list[Permit]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise StartError(f"cannot read {path}: {why}") from error
    rows: list[Permit] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *limits = line.split("\t")
        try:
            row = Namespace(
                uploads_per_hour=limits[0].strip() or None if limits else None,
                bytes_per_hour=limits[1].strip() or None if len(limits) > 1 else None,
            )
            _parse_limits(row)
            rows.append(
                Permit(
                    _parse_name(name),
                    0,
                    row.uploads_per_hour or given.uploads_per_hour,
                    row.bytes_per_hour or given.bytes_per_hour,
                )
            )
        except MisuseError as error:
            raise StartError(f"line {number} of {path}: {error}", hint=error.hint) from error
    double = {row.name for row in rows if sum(row.name == other.name for other in rows) > 1}
    if double or not rows:
        what = f"names {min(double)!r} twice" if double else "names nobody"
        raise StartError(f"{path} {what}", hint="one name a line")
    return rows


def _permit_line(row: Permit) -> str:
    added = datetime.fromtimestamp(row.added_day * DAY, UTC).date().isoformat()
    limits = []
    if row.uploads_per_hour is not None:
        limits.append(f"{row.uploads_per_hour} uploads/h")
    if row.bytes_per_hour is not None:
        limits.append(f"{show_amount(row.bytes_per_hour)}/h")
    return "  ".join([added, *([", ".join(limits)] if limits else []), row.name])


def _parse_name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > NAME_MAX_SIZE or not name.isprintable():
        raise MisuseError(
            "a permit needs a name", hint=f"printable text, at most {NAME_MAX_SIZE} characters"
        )
    return name


def _parse_limits(given: Namespace) -> None:
    if given.uploads_per_hour is not None:
        given.uploads_per_hour = parse_count(given.uploads_per_hour, "--uploads-per-hour")
    if given.bytes_per_hour is not None:
        given.bytes_per_hour = parse_amount(given.bytes_per_hour, "--bytes-per-hour")
        if given.bytes_per_hour < VOLUME_MIN_BYTES:
            raise MisuseError(
                "--bytes-per-hour is less than one large receipt", hint="at least 4MiB"
            )


# What there is


def stats_parser() -> Parser:
    """Return what can be said to `relay-server stats`."""
    parser = Parser(
        prog="relay-server stats",
        description="Count what the database holds, while the relay runs. Nothing of any single "
        "ticket, shop or display is shown; a relay does not know more.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def stats(arguments: list[str]) -> int:
    """Count what is in the database."""
    given = stats_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    become_owner(db)
    counts = count(db, now=int(SystemClock().wall()))
    if given.json:
        show(json.dumps(counts._asdict()))
        return 0
    living = counts.stored + counts.opened + counts.received
    show(
        f"tickets     {living:,}: {counts.stored:,} stored, {counts.opened:,} opened, "
        f"{counts.received:,} saved; {show_amount(counts.envelope_bytes)}\n"
        f"tombstones  {counts.tombstones:,}\n"
        f"channels    {counts.channels:,}, and {counts.channels_unpaired:,} unpaired\n"
        f"permits     {counts.permits:,}\n"
        f"file        {show_amount(counts.file_bytes)}, {show_amount(counts.free_bytes)} of it "
        f"free; and {show_amount(counts.log_bytes)} of write-ahead log"
    )
    return 0


# Backup


def backup_parser() -> Parser:
    """Return what can be said to `relay-server backup`."""
    parser = Parser(
        prog="relay-server backup",
        description="Copy the database into a new file while the relay runs: everything as of one "
        "moment. Think of what that means: the copy keeps envelopes that the relay will delete, "
        "and one that is restored brings back tickets that were revoked since. Keep a copy for "
        "hours, not weeks, delete it as surely as the relay does, or leave the envelopes out.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="where to; must not be there yet")
    parser.add_argument(
        "--no-envelopes",
        action="store_true",
        help="permits, channels and tombstones alone: what cannot be made anew by tills",
    )
    return parser


def backup(arguments: list[str]) -> int:
    """Copy the database while the relay runs."""
    given = backup_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    target = Path(given.file)
    # Elsewhere root alone may be able to write it; what the relay may change is copied there.
    if find_owner(target.parent) == find_owner(db):
        become_owner(db)
    back_up(db, target, envelopes=not given.no_envelopes)
    say(f"wrote {target}, {show_amount(target.stat().st_size)}")
    if not given.no_envelopes:
        say("it holds envelopes that the relay is going to delete: delete it, too, within days")
    return 0


# Restore


def restore_parser() -> Parser:
    """Return what can be said to `relay-server restore`."""
    parser = Parser(
        prog="relay-server restore",
        description="Put a backup in the place of the database, while no relay runs: it is read "
        "as a whole first, nothing of the old database is left beside it, and it belongs to "
        "whom the directory belongs. Tickets and permits that were revoked since are back.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="what relay-server backup wrote")
    return parser


def restore(arguments: list[str]) -> int:
    """Put a backup in the place of the database."""
    given = restore_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    source = Path(given.file)
    if source.resolve() == db.resolve():
        raise MisuseError("a database is no backup of itself", hint="see relay-server backup")
    with open_backup(source) as backup:
        made = datetime.fromtimestamp(os.fstat(backup.fileno()).st_mtime, UTC)
        become_owner(db)
        if is_running(db):
            raise StartError(
                f"a relay is running on {db}",
                hint="systemctl stop relay-server.socket relay-server; start both afterwards",
            )
        counts, old = put_back(backup, db, now=int(SystemClock().wall()))
    living = counts.stored + counts.opened + counts.received
    say(
        f"restored {db} of {made:%Y-%m-%d %H:%M} UTC: {living:,} tickets, {counts.tombstones:,} "
        f"tombstones, {counts.channels:,} displays, {counts.permits:,} permits"
    )
    say("what was revoked after that moment is valid again: look through relay-server permit list")
    if old is not None:
        say(f"what was there is {old} now: delete it when you need it no more")
    return 0


# Compact


def compact_parser() -> Parser:
    """Return what can be said to `relay-server compact`."""
    return Parser(
        prog="relay-server compact",
        description="Give the disk back what the database does not need any more, while the relay "
        "runs or not. A relay does this by itself, slowly, when more than half of its file is "
        "free. A file of a relay before 0.3 is written anew once: uploads wait meanwhile, and the "
        "disk needs room for what is left.",
        parents=[common_flags()],
        allow_abbrev=False,
    )


def compact(arguments: list[str]) -> int:
    """Let the database be as small as it can be."""
    given = compact_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    become_owner(db)
    _must_exist(db)
    given_back = compact_file(db, say)
    say(f"{show_amount(given_back)} given back; {db} has {show_amount(db.stat().st_size)}")
    return 0


# Taking one ticket down


def forget_parser() -> Parser:
    """Return what can be said to `relay-server forget`."""
    parser = Parser(
        prog="relay-server forget",
        description="Take one ticket down by its id, while the relay runs: its envelope is "
        "deleted within a minute, and it is not served from the next second on. The id is the 32 "
        "characters behind /v1/t/. Never ask anybody for a link: it opens the receipt.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument("id", metavar="ID", help="32 lower-case hex digits")
    return parser


def forget(arguments: list[str]) -> int:
    """Delete one ticket, as if its customer had."""
    given = forget_parser().parse_args(arguments)
    if _ID.fullmatch(given.id) is None:
        raise MisuseError(
            "that is not the id of a ticket",
            hint="32 of 0-9 and a-f; if it has # and 85 digits it is a link: do not keep it",
        )
    place = _find_store(given)
    _must_exist(place)
    return asyncio.run(_forget(bytes.fromhex(given.id), place))


async def _forget(ticket_id: bytes, place: Path | str) -> int:
    clock = SystemClock()
    now = 0  # whatever this machine's clock says: what is over may come back with the right time
    store, _ = await open_any_store(Config(), place, clock, exclusive=False)
    try:
        changed, record = await store.change(ticket_id, State.REVOKED, expiry=now, now=now)
    finally:
        await store.close()
    if record is None:
        raise StartError("no such ticket was seen", hint="its tombstone may have ended")
    say("forgotten" if changed else f"that ticket is gone already: {record.word}")
    return 0


# The clock


def clock_parser() -> Parser:
    """Return what can be said to `relay-server clock`."""
    parser = Parser(
        prog="relay-server clock",
        description="Say whether the relay believes this machine's clock; exit 1 if it does not. "
        "A clock that jumped deletes nothing until it is set right, until the kernel has called "
        "it synchronized for ten minutes, or until you say `accept`.",
        parents=[common_flags()],
        allow_abbrev=False,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("accept",),
        metavar="accept",
        help="the clock is right as it is now: what is over by it is deleted",
    )
    return parser


def clock(arguments: list[str]) -> int:
    """Say whether the clock is believed, or that it is right."""
    given = clock_parser().parse_args(arguments)
    db = find_database(given.db, given.store, os.environ)
    become_owner(db)
    _must_exist(db)
    now = SystemClock().wall()
    if given.action == "accept":
        _accept_clock(db, now)
        return 0
    doubt = find_doubt(db)
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    if doubt:
        show(f"{stamp}  not believed: {say_doubt(doubt)}")
        return 1
    show(f"{stamp}  believed")
    return 0


def find_doubt(db: Path) -> int:
    """Return by how many seconds the clock is ahead of what a relay on this file believes."""
    seen, doubt = Beside(db).read()
    if not is_running(db) and seen is not None:
        return GuardedClock(SystemClock(), seen=seen, machine=Machine()).doubt
    return doubt


def _accept_clock(db: Path, now: float) -> None:
    beside = Beside(db)
    try:
        if is_running(db):
            beside.ask_to_accept(now)
            say("the relay believes the clock within half a minute")
        else:
            beside.write(Seen(now, Machine().uptime(), Machine().boot()), 0)
            say("the next relay believes the clock")
    except OSError as error:
        raise StartError(
            f"cannot write beside {db}: {error.strerror}", hint="run it as root"
        ) from error


def common_flags() -> Parser:
    """Return the flags that every command has."""
    common = Parser(add_help=False)
    common.add_argument("--db", metavar="FILE", help=f"the relay's database (default {DEFAULT_DB})")
    common.add_argument("--store", metavar="URL", help="the relay's store, instead of --db")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    return common


def _find_store(given: Namespace) -> Path | str:
    place = find_store(given.db, given.store, os.environ)
    if isinstance(place, Path):
        become_owner(place)
    return place


def _must_exist(place: Path | str, *, more: str = "") -> None:
    """Refuse to make a database: no relay would know of what is written there."""
    if isinstance(place, Path) and not place.exists():
        raise StartError(
            f"there is no database {place}",
            hint="--db names the relay's database"
            + (f"; {more}, or --new makes it" if more else ""),
        )
