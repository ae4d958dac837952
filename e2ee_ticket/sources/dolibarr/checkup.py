"""Testing what is configured against the real Dolibarr, one line for each thing.

Nothing is changed there: whether a PDF could be made is asked for an invoice that does not exist.
Each hint says which box to tick, in the words of Dolibarr's English and French menus.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from e2ee_ticket.errors import SourceError, TicketError
from e2ee_ticket.sources import Finding
from e2ee_ticket.sources.dolibarr import query
from e2ee_ticket.sources.dolibarr.client import Client, DolibarrError
from e2ee_ticket.sources.dolibarr.fields import Members, read_text, read_whole
from e2ee_ticket.sources.dolibarr.rights import RIGHT_12, RIGHT_262

CLOCK_SECONDS: Final = 120
OLDEST_VERSION: Final = 18
_PARTIES: Final = ",".join(map(str, range(1, 301)))
_PROBED_ROWS: Final = (1, 2, 3)
# Where not even one is shown, the first may have been deleted.
_MORE_ROWS: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_NO_INVOICE: Final = "e2ee-ticket-check/e2ee-ticket-check.pdf"


async def is_hidden(client: Client) -> bool:
    """Find out whether there are invoices which the key's user is not shown (right 262).

    Without the right, the list is of the user's own customers only: an empty one, with no word of
    it. Three ways to tell that from a shop that has sold nothing: the user's rights, where the key
    may read them; a list by third parties, which versions 18 to 22 do not cut; and asking for rows
    one by one, where a refusal (403) is another answer than "there is none" (404).

    Raises:
        DolibarrError: Dolibarr does not answer.
    """
    rights = await _rights(client)
    if rights is not None:
        return not _has(rights, "societe", "client", "voir")
    shown = await query.newest_invoice(client)
    if await query.newest_invoice(client, _PARTIES) > shown:
        return True
    for row in _PROBED_ROWS if shown else (*_PROBED_ROWS, *_MORE_ROWS):
        try:
            await client.get(f"invoices/{row}")
        except DolibarrError as error:
            if error.status == 403:
                return True
            if error.status != 404:
                raise
    return False


def finding_of(error: TicketError) -> Finding:
    """Tell of an error as of something that was found."""
    later = isinstance(error, DolibarrError) and error.passing and error.status != 401
    return Finding(ok=False, text=str(error), hint=getattr(error, "hint", None), later=later)


class Checkup:
    """One check of one Dolibarr."""

    def __init__(
        self,
        client: Client,
        *,
        tills: Mapping[str, str],
        pdf: bool,
        builddoc: bool,
        now: Callable[[], float],
        open_http: bool,
        cost: str | None = None,
    ) -> None:
        self._client = client
        self._tills = tills
        self._pdf = pdf
        self._builddoc = builddoc
        self._now = now
        self._open_http = open_http
        self._cost = cost
        self._findings: list[Finding] = []

    async def run(self) -> Sequence[Finding]:
        """Test one thing after the other, and stop where the next would say nothing."""
        if self._open_http:
            self._well(
                "the address is http://: the API key crosses the internet for all to read",
                "give Dolibarr a certificate, and set url to its https:// address",
            )
        try:
            async with self._client.connected():
                await self._run()
        except SourceError as error:
            self._findings.append(finding_of(error))
        return self._findings

    async def _run(self) -> None:
        await self._status()
        await query.newest_invoice(self._client)
        self._well("the key may read invoices (right 11)")
        if await is_hidden(self._client):
            self._ill(*RIGHT_262)
        recent = await query.list_recent(self._client)
        if recent:
            self._well("the key sees TakePOS's sales (right 262)")
        self._judge_tills(recent)
        rights = await _rights(self._client)
        if rights is not None and _is_administrator(rights):
            self._well(
                "the key is an administrator's",
                "make a user of its own for the till, with the rights 11 and 262 only",
            )
        if self._pdf:
            await self._documents(recent)

    async def _status(self) -> None:
        answer = await self._client.get("status")
        success = answer.value.get("success") if isinstance(answer.value, dict) else None
        version = read_text(success, "dolibarr_version") if isinstance(success, dict) else None
        if version is None:
            self._ill("the API answers, but not as Dolibarr's does", "is url Dolibarr's address?")
            return
        version = re.sub(r"[^0-9A-Za-z.+-]", "", version)[:20]
        self._well(f"Dolibarr {version} answers and accepts the key")
        if self._cost is not None:
            self._well(f"a question takes {answer.seconds:.2f} s; {self._cost}")
        major = re.match(r"[0-9]+", version)
        if major is not None and int(major[0]) < OLDEST_VERSION:
            self._well(
                f"Dolibarr {version} is older than those this was tried with",
                f"if something is missing, update to {OLDEST_VERSION} or later",
            )
        locked = read_text(success, "access_locked") if isinstance(success, dict) else None
        if locked not in (None, "0"):
            self._well("Dolibarr is locked for all but one user: somebody maintains it")
        if answer.clock is not None and abs(answer.clock - self._now()) > CLOCK_SECONDS:
            minutes = abs(answer.clock - self._now()) / 60
            self._well(
                f"Dolibarr's clock and this computer's differ by {minutes:.0f} minutes",
                "set both by the network; receipts show Dolibarr's time",
            )

    def _judge_tills(self, recent: Sequence[Members]) -> None:
        if not recent:
            self._well(
                "TakePOS has made no sale that this key sees",
                "if it has, right 262 is missing; otherwise make one sale and check again",
            )
            return
        seen = sorted({read_text(one, "pos_source") or "?" for one in recent})
        if not self._tills:
            self._well(f"TakePOS sells at terminal {', '.join(seen)}; all go to one till")
            return
        for terminal, till in self._tills.items():
            if terminal in seen:
                self._well(f"terminal {terminal} is {till}")
            else:
                self._well(
                    f"terminal {terminal} ({till}) is in none of the last sales",
                    "is it the number that TakePOS shows when the till is opened?",
                )
        others = [terminal for terminal in seen if terminal not in self._tills]
        if others:
            self._well(
                f"sales at terminal {', '.join(others)} are left alone",
                "add it to tills, if customers there are to have tickets",
            )

    async def _documents(self, recent: Sequence[Members]) -> None:
        number = next((found for one in recent if (found := read_text(one, "ref"))), None)
        if number is not None:
            asked = {"modulepart": "facture", "original_file": f"{number}/{number}.pdf"}
            try:
                await self._client.get("documents/download", asked, limit=8 * 1024 * 1024)
            except DolibarrError as error:
                if error.status not in (403, 404):
                    raise
                self._well(
                    "the last sale has no PDF in Dolibarr",
                    "let TakePOS make one, or set builddoc = true; until then receipts are drawn",
                )
            else:
                self._well("Dolibarr has a PDF of the last sale")
        if not self._builddoc:
            return
        made = {"modulepart": "invoice", "original_file": _NO_INVOICE, "doctemplate": "sponge"}
        try:
            await self._client.put("documents/builddoc", made)
        except DolibarrError as error:
            if error.status == 403:
                self._ill(*RIGHT_12)
                return
            if error.status != 404:
                raise
        self._well("the key may have PDFs made (right 12)")

    def _well(self, text: str, hint: str | None = None) -> None:
        self._findings.append(Finding(ok=True, text=text, hint=hint))

    def _ill(self, text: str, hint: str) -> None:
        self._findings.append(Finding(ok=False, text=text, hint=hint))


async def _rights(client: Client) -> Mapping[str, Any] | None:
    """Return the key's user with its rights, where it may read them."""
    try:
        answer = await client.get("users/info", {"includepermissions": "1"})
    except DolibarrError as error:
        if error.status is None or error.passing:
            raise
        return None
    user = answer.value
    usable = isinstance(user, dict) and isinstance(user.get("rights"), dict) and user["rights"]
    return user if usable else None


def _is_administrator(user: Mapping[str, Any]) -> bool:
    return user.get("admin") in (1, "1", True)


def _has(user: Mapping[str, Any], *path: str) -> bool:
    if _is_administrator(user):
        return True
    found: Any = user["rights"]
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return read_whole({"right": found}, "right") == 1
