"""Tickets sealed but not yet delivered: a file that survives a power cut (outbox_schema.sql).

A receipt is kept from the moment it was accepted, an envelope from before its first upload: after
a crash an upload under way can be finished, since a phone may hold the link. The secret is never
here, so what is kept cannot be shown again; "show again" makes a new ticket from the receipt.

Every call is short and durable when it returns. Several processes may use one outbox: a ticket
is claimed by the one that works on it, for a minute at a time.

Times are the wall clock's, because entries outlive the process and the computer's uptime. A
clock may be wrong: an age below zero counts as none and is set right, so that a clock that was
ahead keeps nothing for ever; what looks older than 7 days is not uploaded and is told (R131).
"""

import contextlib
import dataclasses
import hashlib
import importlib.resources
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from e2ee_ticket.errors import DamagedOutboxError, FramingError, HeldOutboxError, OutboxError
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import NAME_LIMIT, TEXT_LIMITS, Ticket
from e2ee_ticket.till.config import make_private_dir
from e2ee_ticket.till.reasons import Reason
from e2ee_ticket.till.states import LET_GO, OVER, EntryState, Outcome, before

FILE_NAME: Final = "outbox.sqlite"
SCHEMA_VERSION: Final = 4
UPLOAD_SECONDS: Final = 7 * 24 * 3600
REVOKE_SECONDS: Final = 8 * 24 * 3600
RECEIPT_SECONDS: Final = 24 * 3600
CLAIM_SECONDS: Final = 60.0
BUSY_SECONDS: Final = 10.0


def _listed(states: Collection[str]) -> str:
    """Write states of ours as SQL lists them."""
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


# MIGRATIONS[n] turns version n + 1 into version n + 2.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    ALTER TABLE receipts ADD COLUMN source TEXT NOT NULL DEFAULT '';
    ALTER TABLE receipts ADD COLUMN source_key TEXT;
    ALTER TABLE receipts ADD COLUMN paper BLOB;
    ALTER TABLE receipts ADD COLUMN outcome TEXT CHECK (outcome IN
        ('opened', 'received', 'revoked', 'expired', 'failed', 'paper', 'reported'));
    CREATE UNIQUE INDEX receipts_come_once ON receipts (source, source_key);
    CREATE TABLE cursors (source TEXT PRIMARY KEY, cursor TEXT NOT NULL) STRICT;
    """,
    """
    ALTER TABLE tickets ADD COLUMN uploaded_at REAL;
    CREATE TABLE showings (
        receipt_number INTEGER NOT NULL REFERENCES receipts ON DELETE CASCADE,
        place TEXT NOT NULL, shown_from REAL NOT NULL, shown_until REAL
    ) STRICT;
    CREATE INDEX showings_of_a_receipt ON showings (receipt_number);
    CREATE TABLE reasons (
        receipt_number INTEGER NOT NULL REFERENCES receipts ON DELETE CASCADE,
        reason TEXT NOT NULL, detail TEXT, hint TEXT, since REAL NOT NULL, until REAL,
        PRIMARY KEY (receipt_number, reason)
    ) STRICT;
    CREATE TABLE refusals (
        refusal_number INTEGER PRIMARY KEY AUTOINCREMENT,
        refused_at REAL NOT NULL, till TEXT NOT NULL, source TEXT NOT NULL, fields TEXT,
        digest TEXT NOT NULL UNIQUE, why TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE receipts ADD COLUMN beside BLOB;
    """,
)


@dataclass(frozen=True, slots=True)
class Swept:
    """What went undelivered: tickets that no upload reached, receipts that had no ticket."""

    not_uploaded: tuple["Entry", ...]
    not_shown: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Showing:
    """One time that a sale's code could be seen: where, and from when until when.

    `place` is a display's name, and empty for the till's own screen. `until` is None while it is
    on, and for one that was on when the process ended.
    """

    place: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """One open reason of a sale: what was said with it, what to do, and since when it is open."""

    reason: Reason
    detail: str | None
    hint: str | None
    since: float


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a sale beside its tickets."""

    showings: tuple[Showing, ...] = ()
    reasons: tuple[Open, ...] = ()


@dataclass(frozen=True, slots=True)
class SaleChange:
    """What is to be written down of a sale: showings that began, or have ended since."""

    opened: tuple[Open, ...] = ()
    ended: tuple[Reason, ...] = ()
    showings: tuple[Showing, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A receipt that was not accepted; `facts` is what is known of it, without its bytes."""

    digest: str
    at: float
    till: str
    source: str
    facts: Ticket | None = field(repr=False)
    why: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """One receipt of the outbox, without its bytes.

    `ticket` holds the facts known of it and an empty receipt; None once it was let go.
    """

    number: int
    till: str
    source: str
    accepted_at: float
    outcome: str | None
    ticket: Ticket | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One ticket of the outbox, without its bytes."""

    id: str
    receipt_number: int
    till: str
    state: str
    sealed_at: float
    keep_seconds: int | None
    tried: bool
    revoke: bool
    claimed: bool
    token: bytes = field(repr=False)


class Outbox:
    """The outbox of one state directory."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], float],
        *,
        owner: str = "",
        migrations: Sequence[str] = MIGRATIONS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open the file, or make it; the agent is the owner `agent-`, any other has no name.

        `busy_seconds` is how long a call waits for another program that writes; all that waits
        with it stands still.

        Raises:
            OutboxError: it cannot be opened, or a newer version of this program made it.
        """
        self._now = now
        self._owner = owner + secrets.token_hex(8)
        self._lock = threading.Lock()
        make_private_dir(path.parent)
        with _translated():
            # Made before SQLite would, so that nobody else can ever read it or its WAL.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(
                path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            # A damaged text is no reason to read nothing at all.
            self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
            try:
                self._prepare(migrations)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, migrations: Sequence[str]) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "foreign_keys = ON",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        with self._transaction() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            newest = SCHEMA_VERSION + len(migrations) - len(MIGRATIONS)
            if version > newest:
                raise OutboxError("the outbox was made by a newer version of this program")
            if version == 0:
                schema = importlib.resources.files(__package__).joinpath("outbox_schema.sql")
                _execute_all(execute, schema.read_text(encoding="utf-8"))
                version = SCHEMA_VERSION
            for script in migrations[version - 1 :]:
                _execute_all(execute, script)
            execute(f"PRAGMA user_version = {newest:d}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what this process has claimed, and close the file."""
        with self._lock, contextlib.closing(self._connection), contextlib.suppress(sqlite3.Error):
            self._connection.execute(
                "UPDATE tickets SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = ?",
                (self._owner,),
            )
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def probe(self) -> None:
        """Find out whether something could be kept now.

        Raises:
            OutboxError: it could not.
        """
        with self._transaction() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            execute(f"PRAGMA user_version = {version:d}")

    # Receipts

    def accept(
        self,
        ticket: Ticket,
        till: str,
        *,
        source: str = "",
        key: str | None = None,
        cursor: str | None = None,
        paper: bytes | None = None,
        reason: Reason | None = None,
    ) -> int | None:
        """Keep a receipt; once this returns, a power cut does not lose it, nor why it is held.

        Returns its number; None where a receipt of this source and key was accepted before.
        """
        digest = None if key is None else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
        with self._transaction() as execute:
            if cursor is not None:
                _keep_cursor(execute, source, cursor)
            done = execute(
                "INSERT INTO receipts (till, accepted_at, fields, receipt, source, source_key,"
                " paper, beside) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (source, source_key) DO NOTHING",
                (
                    *(till, self._now(), _fields(ticket), ticket.receipt, source, digest, paper),
                    _beside(ticket),
                ),
            )
            if done.rowcount != 1 or done.lastrowid is None:
                return None
            if reason is not None:
                _open_reason(execute, done.lastrowid, Open(reason, None, None, self._now()))
            return done.lastrowid

    def receipt(self, number: int) -> Ticket | None:
        """Return a receipt as it was accepted, or None if it was let go."""
        with self._reading() as execute:
            row = execute(
                "SELECT fields, receipt, beside FROM receipts WHERE receipt_number = ?", (number,)
            ).fetchone()
        if row is None or row["receipt"] is None:
            return None
        return _with_beside(_ticket(row["fields"], row["receipt"]), row["beside"])

    def paper(self, number: int) -> bytes | None:
        """Return what a receipt printer would have got, or None: nothing, or let go."""
        with self._reading() as execute:
            row = execute(
                "SELECT paper FROM receipts WHERE receipt_number = ?", (number,)
            ).fetchone()
        return None if row is None else row["paper"]

    def accepted(self) -> list[Accepted]:
        """Return every receipt, oldest first."""
        with self._reading() as execute:
            rows = execute(
                "SELECT receipt_number, till, source, accepted_at, outcome, fields FROM receipts"
                " ORDER BY receipt_number"
            ).fetchall()
        return [
            Accepted(
                number=row["receipt_number"],
                till=row["till"],
                source=row["source"],
                accepted_at=row["accepted_at"],
                outcome=row["outcome"],
                ticket=None if row["fields"] is None else _ticket(row["fields"]),
            )
            for row in rows
        ]

    def settle(self, number: int, outcome: str) -> str | None:
        """Write down how a receipt ended and let it go; return the outcome that stands."""
        with self._transaction() as execute:
            _settle(execute, number, outcome)
            row = execute(
                "SELECT outcome FROM receipts WHERE receipt_number = ?", (number,)
            ).fetchone()
        self._checkpoint()
        return None if row is None else row["outcome"]

    def cursor(self, source: str) -> str | None:
        """Return where a source goes on."""
        with self._reading() as execute:
            row = execute("SELECT cursor FROM cursors WHERE source = ?", (source,)).fetchone()
        return None if row is None else row["cursor"]

    def keep_cursor(self, source: str, cursor: str) -> None:
        """Keep where a source goes on."""
        with self._transaction() as execute:
            _keep_cursor(execute, source, cursor)

    def unsealed(self) -> list[int]:
        """Number the receipts that were accepted and have no ticket: a crash came in between."""
        with self._reading() as execute:
            rows = execute(
                "SELECT receipt_number FROM receipts WHERE receipt IS NOT NULL AND NOT EXISTS"
                " (SELECT 1 FROM tickets WHERE tickets.receipt_number = receipts.receipt_number)"
                " ORDER BY receipt_number"
            ).fetchall()
        return [row["receipt_number"] for row in rows]

    # What happened to a sale

    def change_sale(self, number: int, change: SaleChange) -> None:
        """Write down what happened to a sale, in one step; of one that was dropped nothing."""
        now = self._now()
        with self._transaction() as execute:
            known = execute("SELECT 1 FROM receipts WHERE receipt_number = ?", (number,)).fetchone()
            if known is None:
                return
            for told in change.opened:
                _open_reason(execute, number, told)
            for reason in change.ended:
                execute(
                    "UPDATE reasons SET until = ?"
                    " WHERE receipt_number = ? AND reason = ? AND until IS NULL",
                    (now, number, reason),
                )
            for showing in change.showings:
                done = execute(
                    "UPDATE showings SET shown_until = ?"
                    " WHERE receipt_number = ? AND place = ? AND shown_from = ?",
                    (showing.until, number, showing.place, showing.since),
                )
                if done.rowcount == 0:
                    execute(
                        "INSERT INTO showings VALUES (?, ?, ?, ?)",
                        (number, showing.place, showing.since, showing.until),
                    )

    def histories(self) -> dict[int, History]:
        """Return what happened to every sale that anything happened to."""
        with self._reading() as execute:
            shown = execute(
                "SELECT receipt_number, place, shown_from, shown_until FROM showings ORDER BY rowid"
            ).fetchall()
            told = execute(
                "SELECT receipt_number, reason, detail, hint, since FROM reasons"
                " WHERE until IS NULL ORDER BY since, rowid"
            ).fetchall()
        showings: dict[int, list[Showing]] = {}
        for row in shown:
            showing = Showing(row["place"], row["shown_from"], row["shown_until"])
            showings.setdefault(row["receipt_number"], []).append(showing)
        reasons: dict[int, list[Open]] = {}
        for row in told:
            if row["reason"] in frozenset(Reason):  # a newer program's word is not ours to say
                each = Open(Reason(row["reason"]), row["detail"], row["hint"], row["since"])
                reasons.setdefault(row["receipt_number"], []).append(each)
        return {
            number: History(tuple(showings.get(number, ())), tuple(reasons.get(number, ())))
            for number in showings.keys() | reasons.keys()
        }

    def refuse(self, refused: Refused) -> None:
        """Keep that a receipt was not accepted, each once however often it comes."""
        with self._transaction() as execute:
            execute(
                "INSERT INTO refusals (refused_at, till, source, fields, digest, why)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET why = excluded.why",
                (
                    refused.at,
                    refused.till,
                    refused.source,
                    None if refused.facts is None else _fields(refused.facts),
                    refused.digest,
                    refused.why,
                ),
            )

    def refused(self) -> list[Refused]:
        """Return the receipts that were not accepted and that nobody has seen to, oldest first."""
        with self._reading() as execute:
            rows = execute(
                "SELECT digest, refused_at, till, source, fields, why FROM refusals"
                " ORDER BY refusal_number"
            ).fetchall()
        return [
            Refused(
                digest=row["digest"],
                at=row["refused_at"],
                till=row["till"],
                source=row["source"],
                facts=None if row["fields"] is None else _ticket(row["fields"]),
                why=row["why"],
            )
            for row in rows
        ]

    def refusals_seen(self, digests: Collection[str]) -> None:
        """Drop refusals: somebody has seen to them, or the receipts were accepted later."""
        with self._transaction() as execute:
            for digest in digests:
                execute("DELETE FROM refusals WHERE digest = ?", (digest,))

    # Tickets

    def keep(self, number: int, secret: Secret, envelope: bytes, keep_seconds: int | None) -> None:
        """Keep a sealed ticket, claimed by this process; of the secret only id and token."""
        now = self._now()
        with self._transaction() as execute:
            execute(
                "INSERT INTO tickets (id, receipt_number, envelope, token, keep_seconds,"
                " sealed_at, state, claimed_by, claimed_until)"
                " VALUES (?, ?, ?, ?, ?, ?, 'sealed', ?, ?)",
                (
                    secret.id,
                    number,
                    envelope,
                    secret.token(),
                    keep_seconds,
                    now,
                    self._owner,
                    now + CLAIM_SECONDS,
                ),
            )

    def replace(self, ticket_id: str, envelope: bytes) -> bool:
        """Keep another envelope of a ticket, if none has left this computer (T17); tell whether."""
        with self._transaction() as execute:
            cursor = execute(
                "UPDATE tickets SET envelope = ? WHERE id = ? AND NOT tried", (envelope, ticket_id)
            )
            return cursor.rowcount == 1

    def envelope(self, ticket_id: str) -> bytes | None:
        """Return a ticket's envelope, or None once it is no longer kept."""
        with self._reading() as execute:
            row = execute("SELECT envelope FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
        return None if row is None else row["envelope"]

    def tried(self, ticket_id: str) -> str | None:
        """Write down that an upload begins: from now on its outcome may be unknown (R130).

        Returns the ticket's state; what is over must not be uploaded, and is not written down.
        """
        with self._transaction() as execute:
            execute(
                f"UPDATE tickets SET tried = 1 WHERE id = ? AND NOT {_IS_OVER}",  # noqa: S608 - ours
                (ticket_id,),
            )
            row = execute("SELECT state FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
        return None if row is None else row["state"]

    def withdraw(self, ticket_id: str) -> bool:
        """Revoke a ticket that has never left this computer; tell whether it is so.

        It is not known of one that another process is at.
        """
        now = self._now()
        with self._transaction() as execute:
            cursor = execute(
                "UPDATE tickets SET state = 'revoked'"  # noqa: S608 - ours
                f" WHERE id = :id AND state = 'sealed' AND NOT tried AND {_IS_FREE}",
                {"id": ticket_id, "owner": self._owner, "until": now + CLAIM_SECONDS, "now": now},
            )
            withdrawn = cursor.rowcount == 1
            if withdrawn:
                _settle_receipt_of(execute, ticket_id, "revoked")
        if withdrawn:
            self._checkpoint()
        return withdrawn

    def note(self, ticket_id: str, state: str) -> None:
        """Write down a ticket's state, and let go of what is no longer needed."""
        with self._transaction() as execute:
            execute(
                "UPDATE tickets SET state = :state, tried = 1, uploaded_at = CASE"  # noqa: S608 - ours
                " WHEN :state = 'failed' OR state <> 'sealed' THEN uploaded_at ELSE :now END"
                f" WHERE id = :id AND state IN {_listed(before(EntryState(state)))}",
                {"state": state, "now": self._now(), "id": ticket_id},
            )
            if state in LET_GO:
                _settle_receipt_of(execute, ticket_id, state)
            dropped = execute(
                "UPDATE tickets SET envelope = NULL"  # noqa: S608 - ours
                " WHERE id = ? AND envelope IS NOT NULL"
                f" AND (state = 'failed' OR state <> 'sealed' AND {_IS_LET_GO})",
                (ticket_id,),
            )
        if state in LET_GO or dropped.rowcount:
            self._checkpoint()

    def want_revoked(self, ticket_id: str) -> None:
        """Write down that the cashier revokes a ticket, whatever happens to this process."""
        with self._transaction() as execute:
            execute("UPDATE tickets SET revoke = 1 WHERE id = ?", (ticket_id,))

    def entries(self) -> list[Entry]:
        """Return every ticket, oldest first."""
        with self._reading() as execute:
            rows = execute(f"{_ENTRY} ORDER BY sealed_at, tickets.rowid").fetchall()
        return [self._entry(row) for row in rows]

    def find(self, prefix: str) -> list[Entry]:
        """Return the tickets whose id begins so."""
        return [entry for entry in self.entries() if entry.id.startswith(prefix)]

    def unfinished(self) -> list[Entry]:
        """Return what is still to be uploaded or revoked, oldest first."""
        return [
            entry
            for entry in self.entries()
            if entry.state == "sealed" or (entry.revoke and entry.state not in OVER)
        ]

    def claim(self, ticket_id: str) -> bool:
        """Take a ticket for this process, or take it for longer; tell whether it is ours now."""
        now = self._now()
        with self._transaction() as execute:
            cursor = execute(
                "UPDATE tickets SET claimed_by = :owner, claimed_until = :until"  # noqa: S608 - ours
                f" WHERE id = :id AND {_IS_FREE}",
                {
                    "owner": self._owner,
                    "until": now + CLAIM_SECONDS,
                    "now": now,
                    "id": ticket_id,
                },
            )
            return cursor.rowcount == 1

    def reclaim(self) -> None:
        """Take back what an agent that died had claimed; there is one agent at a time (lock.py)."""
        with self._transaction() as execute:
            execute(
                "UPDATE tickets SET claimed_by = NULL, claimed_until = NULL"
                " WHERE claimed_by LIKE 'agent-%'"
            )

    def release(self, ticket_id: str) -> None:
        """Leave a ticket to whoever claims it next."""
        with self._transaction() as execute:
            execute(
                "UPDATE tickets SET claimed_by = NULL, claimed_until = NULL"
                " WHERE id = ? AND claimed_by = ?",
                (ticket_id, self._owner),
            )

    def too_old(self, entry: Entry) -> bool:
        """Whether an envelope must not be uploaded any more (R131)."""
        return self._now() - entry.sealed_at > UPLOAD_SECONDS

    def sweep(self) -> Swept:
        """Drop what is over its time, and return what was never delivered: it must be told.

        Receipts go a day after they were accepted, whole entries 7 days after they were sealed; a
        wish to revoke stays a day longer (R132). What is left of a receipt, 8 days, is that it was.
        """
        now = self._now()
        with self._transaction() as execute:
            # The clock went back: age from now on, rather than never.
            execute("UPDATE tickets SET sealed_at = :now WHERE sealed_at > :now + 60", {"now": now})
            execute(
                "UPDATE receipts SET accepted_at = :now WHERE accepted_at > :now + 60", {"now": now}
            )
            ends = (now - UPLOAD_SECONDS, now - REVOKE_SECONDS)
            rows = execute(f"{_ENTRY} WHERE {_OVER_ITS_TIME}", ends).fetchall()
            dropped = [self._entry(row) for row in rows]
            for entry in dropped:
                outcome = "reported" if entry.state == "sealed" else "expired"
                _settle(execute, entry.receipt_number, outcome)
            execute(f"DELETE FROM tickets WHERE {_OVER_ITS_TIME}", ends)  # noqa: S608 - ours
            old = execute(
                f"SELECT receipt_number, outcome IS NULL AND NOT {_ON_ITS_WAY} AS undelivered"  # noqa: S608 - ours
                " FROM receipts WHERE receipt IS NOT NULL AND accepted_at < ?",
                (now - RECEIPT_SECONDS,),
            ).fetchall()
            for row in old:
                if row["undelivered"]:
                    _settle(execute, row["receipt_number"], "reported")
                _let_go(execute, row["receipt_number"])
            execute(
                "UPDATE refusals SET fields = NULL WHERE refused_at < ?", (now - RECEIPT_SECONDS,)
            )
            execute(
                "DELETE FROM receipts WHERE receipt IS NULL AND accepted_at < ? AND NOT EXISTS"
                " (SELECT 1 FROM tickets WHERE tickets.receipt_number = receipts.receipt_number)",
                (now - REVOKE_SECONDS,),
            )
        if dropped or old:
            self._checkpoint()
        return Swept(
            not_uploaded=tuple(entry for entry in dropped if entry.state == "sealed"),
            not_shown=tuple(row["receipt_number"] for row in old if row["undelivered"]),
        )

    def _entry(self, row: sqlite3.Row) -> Entry:
        now = self._now()
        until = row["claimed_until"]
        claimed = (
            row["claimed_by"] not in (None, self._owner)
            and until is not None
            and now < until <= now + CLAIM_SECONDS
        )
        return Entry(
            id=row["id"],
            receipt_number=row["receipt_number"],
            till=row["till"],
            state=row["state"],
            sealed_at=row["sealed_at"],
            keep_seconds=row["keep_seconds"],
            tried=bool(row["tried"]),
            revoke=bool(row["revoke"]),
            claimed=claimed,
            token=row["token"],
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Read as of one moment, whoever is writing."""
        with self._lock, _translated():
            self._connection.execute("BEGIN")
            try:
                yield self._connection.execute
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Run statements as one: all of them durable at the end, or none."""
        with self._lock, _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise

    def _checkpoint(self) -> None:
        """Bring the overwriting into the file and empty the log, where the bytes also were."""
        with self._lock, contextlib.suppress(sqlite3.Error):  # another process reads: next time
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_ENTRY: Final = (
    "SELECT tickets.id, tickets.receipt_number, till, state, sealed_at, keep_seconds, tried,"
    " revoke, claimed_by, claimed_until, token"
    " FROM tickets JOIN receipts USING (receipt_number)"
)

_ON_ITS_WAY: Final = (
    "EXISTS (SELECT 1 FROM tickets WHERE tickets.receipt_number = receipts.receipt_number"
    " AND state <> 'failed')"
)

_IS_OVER: Final = f"(state IN {_listed(OVER)})"

_OVER_ITS_TIME: Final = f"sealed_at < ? AND (sealed_at < ? OR NOT revoke OR {_IS_OVER})"

# A claim that ends later than any claim made now could is a wrong clock's.
_IS_FREE: Final = (
    "(claimed_by IS NULL OR claimed_by = :owner OR claimed_until <= :now OR claimed_until > :until)"
)

_IS_LET_GO: Final = (
    "EXISTS (SELECT 1 FROM receipts WHERE receipts.receipt_number = tickets.receipt_number"
    " AND receipt IS NULL)"
)


def _fields(ticket: Ticket) -> str:
    fields = {name: getattr(ticket, name) for name in (*TEXT_LIMITS, "name")}
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def _ticket(fields: str | None, receipt: bytes = b"") -> Ticket:
    """Return a receipt with what is known of it; a fact that damage has made none is left out."""
    try:
        told = json.loads(fields or "{}")
    except (ValueError, RecursionError):
        told = None
    known = told if isinstance(told, dict) else {}
    limits = (*TEXT_LIMITS.items(), ("name", NAME_LIMIT))
    texts = {name: known[name] for name, limit in limits if _is_text(known.get(name), limit)}
    return Ticket(receipt=receipt, **texts)


def _is_text(value: object, limit: int) -> bool:
    if not isinstance(value, str) or len(value) > limit:
        return False
    return value.encode("utf-8", "ignore").decode("utf-8") == value  # no half of a character


def _beside(ticket: Ticket) -> bytes | None:
    """Write what a ticket holds beside its receipt and its facts, as a ticket without them."""
    if ticket.lines is None and ticket.preview is None and not ticket.data:
        return None
    return Ticket(
        receipt=b"",
        preview=ticket.preview,
        lines=ticket.lines,
        preview_is_rest=ticket.preview_is_rest,
        data=ticket.data,
    ).to_bytes()


def _with_beside(ticket: Ticket, beside: bytes | None) -> Ticket:
    """Give a ticket back what it held; a receipt whose text is damaged is still a receipt."""
    if beside is None:
        return ticket
    with contextlib.suppress(FramingError):
        kept = Ticket.from_bytes(beside)
        return dataclasses.replace(
            ticket,
            preview=kept.preview,
            lines=kept.lines,
            preview_is_rest=kept.preview_is_rest,
            data=kept.data,
        )
    return ticket


def _open_reason(execute: Callable[..., sqlite3.Cursor], number: int, told: Open) -> None:
    execute(
        "INSERT INTO reasons (receipt_number, reason, detail, hint, since) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (receipt_number, reason) DO UPDATE SET detail = excluded.detail,"
        " hint = excluded.hint, since = excluded.since, until = NULL",
        (number, told.reason, told.detail, told.hint, told.since),
    )


def _keep_cursor(execute: Callable[..., sqlite3.Cursor], source: str, cursor: str) -> None:
    execute(
        "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET cursor = ?",
        (source, cursor, cursor),
    )


def _settle(execute: Callable[..., sqlite3.Cursor], number: int, outcome: str) -> None:
    """The first end stands, but for what states.py lets follow it."""
    execute(
        "UPDATE receipts SET outcome = ? WHERE receipt_number = ?"  # noqa: S608 - ours
        f" AND (outcome IS NULL OR outcome IN {_listed(before(Outcome(outcome)))})",
        (outcome, number),
    )
    _let_go(execute, number)


def _settle_receipt_of(
    execute: Callable[..., sqlite3.Cursor], ticket_id: str, outcome: str
) -> None:
    row = execute("SELECT receipt_number FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
    if row is not None:
        _settle(execute, row["receipt_number"], outcome)


def _let_go(execute: Callable[..., sqlite3.Cursor], number: int) -> None:
    """Overwrite a receipt, and its envelopes that the relay has."""
    execute(
        "UPDATE receipts SET fields = NULL, receipt = NULL, paper = NULL, beside = NULL"
        " WHERE receipt_number = ?",
        (number,),
    )
    execute(
        "UPDATE tickets SET envelope = NULL WHERE receipt_number = ? AND state <> 'sealed'",
        (number,),
    )


def _execute_all(execute: Callable[..., sqlite3.Cursor], script: str) -> None:
    """Execute a script inside the open transaction; `executescript` would commit it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            execute(statement)
            statement = ""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        sentence = _SENTENCES.get(code, "the outbox cannot be used")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise HeldOutboxError(sentence) from error
        raise OutboxError(sentence) from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise DamagedOutboxError(DAMAGED) from error
        raise OutboxError("the outbox cannot be used") from error
    except sqlite3.Error as error:
        raise OutboxError("the outbox cannot be used") from error
    except OSError as error:
        raise OutboxError("the outbox cannot be opened") from error


DAMAGED: Final = "the outbox is damaged; the agent sets it aside and begins a new one"

_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "this computer's disk is full",
    sqlite3.SQLITE_READONLY: "the outbox cannot be written",
    sqlite3.SQLITE_CANTOPEN: "the outbox cannot be opened",
    sqlite3.SQLITE_BUSY: "another program holds the outbox",
    sqlite3.SQLITE_IOERR: "the disk does not take the outbox",
}
