"""A watched folder: any PDF that appears in it becomes a ticket.

For programs that save or "print to file": CUPS-PDF, Microsoft Print to PDF, a till's export. A
file is taken when it has not changed for a moment and ends as a PDF does. One that never ends so
is taken after a longer quiet time all the same: readers show most of them, and the cashier is told
what seems to be missing. What is no PDF, or too large, goes into the sub-folder `refused`, where
it stays until somebody has looked at it.

What was sent is moved into the sub-folder `sent` and deleted a day later, so that receipts do not
pile up where nobody expects them; or it is deleted at once. Only a sub-folder that this program
made is ever swept. A folder that another program keeps, such as Dolibarr's documents, is only
read: `done = "leave"`, which `recurse` implies; nothing is ever written there. What lay in the
folder before the program was started is not sent, because yesterday's receipts must not come up on
today's display: only what is a little older than a restart is.

Looking is polling: it works on network shares and on every system, and costs nothing to speak of.
"""

import asyncio
import contextlib
import fnmatch
import os
import re
import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from e2ee_ticket.errors import ConfigError, OutboxError, ReceiptError
from e2ee_ticket.pdf.check import (
    RECEIPT_MAX_SIZE,
    check_receipt,
    check_size,
    is_none,
    is_truncated,
)
from e2ee_ticket.protocol.ticket import Ticket, short_name
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop
from e2ee_ticket.sources.facts import issued_at, number_in
from e2ee_ticket.sources.folder_files import (
    MARKER,
    File,
    delete_file,
    list_files,
    make_folder,
    move_file,
    read_file,
    sweep,
)
from e2ee_ticket.sources.settings import read_number, read_switch

IDLE_SECONDS: Final = 0.5
BUSY_SECONDS: Final = 0.15
BUSY_FOR_SECONDS: Final = 60.0
TROUBLE_SECONDS: Final = 2.0
PAUSE_MAX_SECONDS: Final = 5.0
COST_FACTOR: Final = 50.0
"""How many times as long as a look keeps a processor busy the pause after it is."""

_SWEEP_SECONDS: Final = 3600.0
_DAY_SECONDS: Final = 86_400.0
_GRAIN_SECONDS: Final = 2.0  # file systems round times, the coarsest of them to this
_STARTED: Final = "0:0:"  # a cursor that is no file's
_WAYS: Final = ("aside", "delete", "leave")
_DEPTH: Final = 4
"""Of sub-folders; Dolibarr has `facture/REF/REF.pdf`."""


class Folder:
    """A folder that is looked at again and again.

    Args:
        name: the source's name.
        shop: whose receipts they are.
        path: the folder, absolute; `~` is the user's own.
        done: `aside` moves what was sent into a sub-folder, `delete` deletes it, `leave` leaves it
            where it is and writes nothing into the folder.
        recurse: look into sub-folders, too; such a folder is another program's, and left alone.
        aside: that sub-folder's name.
        aside_days: after how many days it is deleted there.
        refused: the sub-folder's name for what is no receipt.
        pattern: which names are looked at; capitals do not matter.
        settle_seconds: how long a file must stay as it is.
        incomplete_seconds: how long one must that does not end as a PDF does.
        late_seconds: how much older than a restart a file may be to be sent still.
        existing: send what lay there before the start, too.
    """

    tills: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        shop: Shop,
        *,
        path: str,
        done: str | None = None,
        recurse: bool = False,
        aside: str = "sent",
        aside_days: float = 1,
        refused: str = "refused",
        pattern: str = "*.pdf",
        settle_seconds: float = 0.3,
        incomplete_seconds: float = 30.0,
        late_seconds: float = 120.0,
        existing: bool = False,
    ) -> None:
        self.name = name
        self._shop = shop
        self._path = _folder("path", path)
        self._recurse = read_switch("recurse", recurse)
        way = _one_of("done", done or ("leave" if self._recurse else "aside"), _WAYS)
        if self._recurse and way != "leave":
            raise ConfigError('with recurse = true, done must be "leave"')
        self._deletes, self._leaves = way == "delete", way == "leave"
        self._aside = _plain("aside", aside)
        self._refused = _plain("refused", refused)
        if self._aside == self._refused:
            raise ConfigError("aside and refused must be two names")
        self._pattern = re.compile(fnmatch.translate(_plain("pattern", pattern)), re.IGNORECASE)
        self._aside_seconds = read_number("aside_days", aside_days, 0, 366) * _DAY_SECONDS
        self._settle_seconds = read_number("settle_seconds", settle_seconds, 0, 60)
        self._incomplete_seconds = read_number("incomplete_seconds", incomplete_seconds, 1, 3600)
        self._late_seconds = read_number("late_seconds", late_seconds, 0, 3600)
        self._existing = read_switch("existing", existing)
        self._accepted: set[File] = set()
        self._forget()
        self._started: float | None = None
        self._active_until = 0.0
        self._swept: float | None = None
        self._trouble: Finding | None = None
        self._notice: Finding | None = None
        self._reported: Finding | None = None
        self._has_reported = False

    def _forget(self) -> None:
        """Begin anew, as after a start: the next look finds what lies there."""
        self._begun = False
        self._waiting: dict[str, tuple[File, float]] = {}
        self._incomplete: set[File] = set()
        self._left: set[File] = set()
        self._found: set[File] = set()

    async def run(self, intake: Intake) -> None:
        """Deliver what appears, until cancelled."""
        self._started = self._shop.now()
        while True:
            pause = await self.look(intake)
            await asyncio.sleep(pause)

    async def look(self, intake: Intake) -> float:
        """Look once, deliver what is ready, and return how long to wait for the next look."""
        now = self._shop.now()
        self._trouble = None
        cost = 0.0
        try:
            files, cost = await asyncio.to_thread(self._list)
        except OSError as error:
            self._forget()
            self._trouble = self._unreadable(error)
        else:
            try:
                await self._deliver(intake, files, now)
            except OutboxError as error:
                self._trouble = Finding(
                    ok=False,
                    text=f"receipts from the folder cannot be kept: {error}",
                    hint="they stay in the folder and are tried again; until then hand out paper",
                )
            await self._sweep(now)
        self._report(intake)
        if self._trouble is not None:
            return TROUBLE_SECONDS
        busy = 0 <= self._active_until - now <= BUSY_FOR_SECONDS
        pause = min(COST_FACTOR * cost, PAUSE_MAX_SECONDS)
        return max(BUSY_SECONDS if busy else IDLE_SECONDS, pause)

    def _list(self) -> tuple[list[File], float]:
        """List the files, and say how many seconds of a processor that took."""
        begun = time.thread_time()
        files = self._list_files()
        return files, time.thread_time() - begun

    def _list_files(self) -> list[File]:
        if self._recurse:
            return list_files(self._path, self._pattern, depth=_DEPTH)
        return list_files(self._path, self._pattern)

    # One look

    async def _deliver(self, intake: Intake, files: list[File], now: float) -> None:
        if not self._begun:
            await self._begin(intake, files, now)
        present = set(files)
        self._left &= present
        self._accepted &= present
        self._found &= present
        self._incomplete &= present
        self._waiting = {
            file.name: waiting
            for file in files
            if (waiting := self._waiting.get(file.name)) is not None and waiting[0] == file
        }
        for file in files:
            if file in self._left:
                continue
            if file in self._accepted:
                await self._let_go(file)
                continue
            _, since = self._waiting.setdefault(file.name, (file, now))
            if since > now:  # the clock was set back
                self._waiting[file.name] = (file, now)
            if file not in self._incomplete:
                self._active_until = now + BUSY_FOR_SECONDS
            if now - since >= self._settle_seconds:
                await self._take(intake, file, now - since)

    async def _begin(self, intake: Intake, files: list[File], now: float) -> None:
        """Leave alone what lay there before, and let go of what was accepted before a crash."""
        cursor = await intake.cursor()
        if cursor is None:
            await intake.keep_cursor(_STARTED)
        if not self._existing:
            late = _GRAIN_SECONDS if cursor is None else max(self._late_seconds, _GRAIN_SECONDS)
            start = now if self._started is None else self._started
            self._left = {file for file in files if file.mtime < start - late} - self._accepted
        self._found = set(files)
        for file in list(self._left):
            if cursor is not None and await asyncio.to_thread(self._is_last, file, cursor):
                self._left.discard(file)
                self._accepted.add(file)
        if self._left and not self._leaves:
            count = len(self._left)
            text = f"{count} older files in the folder are not sent"
            self._notice = Finding(
                ok=False,
                text="1 older file in the folder is not sent" if count == 1 else text,
                hint=f"look into {self._path} and delete what is not needed;"
                " to send one, save it there again",
            )
        self._started = None
        self._begun = True

    def _is_last(self, file: File, cursor: str) -> bool:
        """Tell whether this is the file that was accepted last."""
        if not cursor.startswith(_cursor(file, "")):
            return False
        try:
            data = read_file(self._path, file)
        except OSError:
            return False
        return data is not None and cursor == _cursor(file, file.key(data))

    async def _take(self, intake: Intake, file: File, quiet: float) -> None:
        """Deliver one file, if it is whole.

        Raises:
            OutboxError: it could not be kept; the file stays.
        """
        patient = quiet < self._incomplete_seconds
        if patient and file in self._incomplete:
            return
        if patient and file.size > RECEIPT_MAX_SIZE:
            self._incomplete.add(file)
            return
        try:
            receipt = await asyncio.to_thread(read_file, self._path, file)
        except OSError:  # on Windows also while it is written
            if not patient:
                self._trouble = Finding(
                    ok=False,
                    text="a file in the folder may not be read",
                    hint=f"let this program's user read and change what is in {self._path}",
                )
            return
        if receipt is None:
            self._waiting.pop(file.name, None)
            return
        if patient and is_truncated(receipt) and not is_none(receipt):
            self._incomplete.add(file)
            return
        try:
            check_size(file.size)
            check_receipt(receipt)
            fresh = await intake.accept(self._arrival(file, receipt, quiet))
        except ReceiptError as error:
            await self._refuse(file, error)
            return
        if fresh:
            self._notice = None
        self._accepted.add(file)
        await self._let_go(file)

    def _arrival(self, file: File, receipt: bytes, quiet: float) -> Arrival:
        key = file.key(receipt)
        name = file.shown_name
        ticket = Ticket(
            receipt=receipt,
            name=short_name(name),
            title=self._shop.name,
            number=number_in(name),
            issued=issued_at(min(file.mtime, self._shop.now())),
        )
        now = self._shop.now()
        # What lay there before this began, lies there since it was written.
        was_there = file in self._found
        began = min(file.mtime, now) if was_there else now - quiet
        return Arrival(ticket, key=key, cursor=_cursor(file, key), began=began)

    async def _let_go(self, file: File) -> None:
        """Move aside or delete what was accepted, or leave it where it is."""
        if self._leaves:
            self._left.add(file)
            self._accepted.discard(file)
            self._waiting.pop(file.name, None)
            return
        try:
            if self._deletes:
                await asyncio.to_thread(delete_file, self._path, file)
            else:
                now = self._shop.now()
                await asyncio.to_thread(move_file, self._path, file, self._aside, now)
        except OSError as error:
            self._trouble = Finding(
                ok=False,
                text=f"what was sent cannot be {'deleted' if self._deletes else 'moved aside'}"
                f" ({_reason(error)}); it is not sent again",
                hint=f"let this program's user change {self._path}, and look for a full disk",
            )
            return
        self._accepted.discard(file)
        self._waiting.pop(file.name, None)

    async def _refuse(self, file: File, error: ReceiptError) -> None:
        """Move away what is no receipt; where that fails it stays, and is not looked at again."""
        where = self._path / self._refused
        try:
            if self._leaves:
                self._left.add(file)
                where = self._path
            else:
                now = self._shop.now()
                await asyncio.to_thread(move_file, self._path, file, self._refused, now)
        except OSError:
            self._left.add(file)
            where = self._path
        self._waiting.pop(file.name, None)
        self._notice = Finding(
            ok=False,
            text=f"a file in the folder was refused: {error}",
            hint=f"it lies in {where}; hand out paper for this sale",
        )

    async def _sweep(self, now: float) -> None:
        if (
            self._deletes
            or self._leaves
            or (self._swept is not None and 0 <= now - self._swept < _SWEEP_SECONDS)
        ):
            return
        self._swept = now
        target = self._path / self._aside
        await asyncio.to_thread(sweep, target, self._pattern, now - self._aside_seconds)

    def _report(self, intake: Intake) -> None:
        """Tell what changed: what keeps it from working first, then what somebody should see."""
        finding = self._trouble or self._notice
        if not self._has_reported or finding != self._reported:
            self._reported, self._has_reported = finding, True
            intake.report(finding)

    def _unreadable(self, error: OSError) -> Finding:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return Finding(
                ok=False,
                text=f"{self._path} is not there, or is no folder",
                hint="create it, connect its drive, or correct path",
            )
        return Finding(
            ok=False,
            text=f"{self._path} cannot be read ({_reason(error)})",
            hint="let this program's user read and change it; is its drive connected?",
        )

    # Checking

    async def check(self) -> Sequence[Finding]:
        """See whether receipts can be taken from the folder and moved away."""
        return await asyncio.to_thread(self._check)

    def _check(self) -> Sequence[Finding]:
        try:
            files = self._list_files()
        except OSError as error:
            return [self._unreadable(error)]
        try:
            if not self._leaves:
                self._try_to_move()
        except OSError as error:
            return [
                Finding(
                    ok=False,
                    text=f"files in {self._path} cannot be moved ({_reason(error)})",
                    hint="let this program's user change the folder, and look for a full disk",
                )
            ]
        findings = [Finding(ok=True, text=f"receipts are taken from {self._path}")]
        if os.name == "posix" and self._path.stat().st_mode & stat.S_IWOTH:
            findings.append(
                Finding(
                    ok=True,
                    text="every user of this computer can put receipts there",
                    hint=f"unless they shall: chmod o-w {self._path}",
                )
            )
        if files and not self._existing and not self._leaves:
            findings.append(
                Finding(
                    ok=True,
                    text=f"{len(files)} PDF lie there; what is older than the start is not sent",
                    hint=f"look into {self._path} and delete what is not needed",
                )
            )
        target = self._path / self._aside
        if (
            not self._deletes
            and not self._leaves
            and target.is_dir()
            and not (target / MARKER).exists()
        ):
            findings.append(
                Finding(
                    ok=True,
                    text=f"{target} was there before: what is moved there is not deleted later",
                    hint="choose another name in aside, or delete it from time to time",
                )
            )
        return findings

    def _try_to_move(self) -> None:
        """Move a file of our own.

        Raises:
            OSError: it cannot be made or moved.
        """
        made = self._path / f"{MARKER}-{secrets.token_hex(4)}.tmp"
        moved = made.with_suffix(".moved.tmp")
        try:
            made.touch(exist_ok=False)
            if not self._deletes:
                target = self._path / self._aside
                make_folder(target)
                moved = target / moved.name
            made.rename(moved)
        finally:
            for path in (made, moved):
                with contextlib.suppress(OSError):
                    path.unlink()


def _cursor(file: File, key: str) -> str:
    """Write where we are; the first two numbers spare us reading other files after a restart."""
    return f"{file.mtime_ns}:{file.size}:{key}"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _folder(setting: str, value: object) -> Path:
    if isinstance(value, str) and value and "\0" not in value:
        with contextlib.suppress(RuntimeError):  # there is no such user
            path = Path(value).expanduser()
            if path.is_absolute():
                return path
    raise ConfigError(f"{setting} must be a folder's whole path, such as {Path.home()}")


def _plain(setting: str, value: object) -> str:
    if isinstance(value, str) and value.strip(" .") and not re.search(r"[/\\\0]", value):
        return value
    raise ConfigError(f"{setting} must be a plain name, without a slash")


def _one_of(setting: str, value: object, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise ConfigError(f"{setting} must be one of {', '.join(allowed)}")
