"""The source: asks Dolibarr for new sales, the more often the busier, or when it is told of one."""

import asyncio
import contextlib
import hashlib
import logging
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from e2ee_ticket.errors import OutboxError, ReceiptError, SourceError
from e2ee_ticket.sources import Arrival, Finding, Intake, Shop
from e2ee_ticket.sources.dolibarr import query, webhook
from e2ee_ticket.sources.dolibarr.checkup import (
    Checkup,
    finding_of,
    is_hidden,
)
from e2ee_ticket.sources.dolibarr.client import Client, DolibarrError
from e2ee_ticket.sources.dolibarr.fields import Members, read_whole
from e2ee_ticket.sources.dolibarr.ledger import RECENT, SIFT_AT, Ledger
from e2ee_ticket.sources.dolibarr.rights import RIGHT_262, UNSEEN
from e2ee_ticket.sources.dolibarr.settings import (
    is_open_http,
    read_ca_file,
    read_currency,
    read_key,
    read_lines,
    read_receipt_kind,
    read_template,
    read_tills,
    read_url,
    read_webhook,
)
from e2ee_ticket.sources.dolibarr.tickets import Tickets, draft, read_invoice
from e2ee_ticket.sources.settings import read_number, read_switch

_LOG: Final = logging.getLogger(__name__)
_RANDOM: Final = random.SystemRandom()
_ATTEMPTS: Final = 3
_NUMBER_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the source waits for what, in seconds.

    Attributes:
        poll: between two questions while the shop sells; for so long after a sale as `busy`, only
            `busy_poll`, because the next customer is likely to stand there.
        quiet: after so long without a sale, it asks every `quiet_poll`; and after `still`, only
            every `still_poll`.
        unpaid: a sale without a payment is waited for so long, and then delivered as it is: the
            till stores the sale and its payment together, and one that has none is on credit.
        part_paid: a sale that is being paid in parts is waited for longer; the cashier is at it.
        late: a sale that may be older than this when it is found is marked late.
        told: between a webhook's call and the question, so that Dolibarr can end its transaction.
        slow: an answer that takes longer is told as a trouble.
        first_wait: after a failure; it doubles up to `longest_wait`.
        watch: between two looks whether invoices can still be seen.
    """

    poll: float = 2.0
    busy: float = 600.0
    busy_poll: float = 0.7
    quiet: float = 1800.0
    quiet_poll: float = 5.0
    still: float = 7200.0
    still_poll: float = 10.0
    unpaid: float = 3.0
    part_paid: float = 20.0
    late: float = 60.0
    told: float = 0.15
    slow: float = 5.0
    first_wait: float = 2.0
    longest_wait: float = 60.0
    watch: float = 60.0

    @property
    def told_cost(self) -> str:
        """What asking costs, as a check says it."""
        busy = min(self.busy_poll, self.poll)
        return (
            f"it is asked every {busy:g} s for {self.busy / 60:.0f} minutes after a sale, then"
            f" every {self.poll:g} s, and every {max(self.still_poll, self.poll):g} s when nothing"
            f" was sold for {self.still / 3600:.0f} hours"
        )


class Dolibarr:
    """The sales of one Dolibarr's TakePOS, for one till or for several.

    `tills` names a till for each TakePOS terminal's number; without it, all sales are the source's
    only till's. `receipt` is `drawn` (an 80 mm receipt, made here) or `pdf` (the invoice that
    Dolibarr made, byte for byte). `webhook_port` is where a webhook is listened at, if one is.
    """

    def __init__(
        self,
        name: str,
        shop: Shop,
        *,
        url: str,
        key: str | None = None,
        key_file: str | None = None,
        tills: Mapping[str, str] | None = None,
        receipt: Literal["drawn", "pdf"] = "drawn",
        poll_seconds: float = 2,
        builddoc: bool = False,
        template: str = "sponge",
        company: Sequence[str] = (),
        company_details: Sequence[str] = (),
        currency: str | None = None,
        ca_file: str | None = None,
        webhook: str | None = None,
        webhook_secret: str | None = None,
        webhook_secret_file: str | None = None,
    ) -> None:
        self.name = name
        self._shop = shop
        self._url = read_url(url)
        self._client = Client(self._url, read_key(key, key_file), trusted=read_ca_file(ca_file))
        self._tills = read_tills(tills)
        self.tills: Sequence[str] = tuple(dict.fromkeys(self._tills.values()))
        self._receipt = read_receipt_kind(receipt)
        self._builddoc = read_switch("builddoc", builddoc)
        template = read_template(template)
        self._tickets = Tickets(
            self._client,
            name,
            shop,
            pdf=self._receipt == "pdf",
            template=template if self._builddoc else None,
            company=read_lines(company, "company"),
            details=read_lines(company_details, "company_details"),
            currency=read_currency(currency),
        )
        self._webhook = read_webhook(webhook, webhook_secret, webhook_secret_file)
        self.pace = Pace(poll=read_number("poll_seconds", poll_seconds, 1, 60))
        self._place = hashlib.sha256(self._url.encode()).hexdigest()[:8]
        self._told = asyncio.Event()
        self._ledger: Ledger | None = None
        self._found: tuple[int, Sequence[int]] | None = None
        self._kept: str | None = None
        self._seen: dict[int, tuple[float, bool]] = {}
        self._attempts: dict[int, int] = {}
        self._sift_at = SIFT_AT
        self._last_answer: tuple[float, float] | None = None
        self._last_sale = 0.0
        self._has_sold = False
        self._last_watch = 0.0
        self._trouble: Finding | None = None
        self._given_up: Finding | None = None
        self.webhook_port: int | None = None

    def __repr__(self) -> str:
        return f"Dolibarr({self.name!r})"

    async def run(self, intake: Intake) -> None:
        """Deliver sales until cancelled."""
        told = asyncio.create_task(self._listen(intake)) if self._webhook else None
        self._last_sale = time.monotonic()
        self._last_answer = None
        self._ledger = None
        self._seen.clear()
        failures = 0
        intake_told = False
        try:
            async with self._client.connected():
                while True:
                    trouble: Finding | None
                    try:
                        slow = await self._turn(intake)
                    except (SourceError, OutboxError) as error:
                        failures += 1
                        wait = self._wait_after(error, failures)
                        trouble = finding_of(error)
                    else:
                        failures = 0
                        wait = self._wait()
                        trouble = slow or self._given_up
                    if trouble != self._trouble or not intake_told:
                        self._trouble, intake_told = trouble, True
                        intake.report(trouble)
                        if trouble is not None:
                            _LOG.warning("source %s: %s", self.name, trouble.text)
                    await self._nap(wait, wakes=failures == 0)
        finally:
            if told is not None:
                told.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await told

    async def check(self) -> Sequence[Finding]:
        """Test address, key, rights, tills and PDFs against the real Dolibarr; change nothing."""
        checkup = Checkup(
            self._client,
            tills=self._tills,
            pdf=self._receipt == "pdf",
            builddoc=self._builddoc,
            now=self._shop.now,
            open_http=is_open_http(self._url),
            cost=self.pace.told_cost,
        )
        findings = list(await checkup.run())
        if self._webhook is not None and self.webhook_port is None:
            findings.append(await webhook.check_listening(*self._webhook))
        return findings

    async def look_up(self, number: str, intake: Intake, till: str | None = None) -> None:
        """Find a validated invoice by the number on it, and hand it over as a new one.

        Raises:
            SourceError: there is none of this number, it is a draft, or Dolibarr does not answer.
        """
        wanted = number.strip()
        if not 0 < len(wanted) <= _NUMBER_LIMIT or not wanted.isprintable():
            raise SourceError("this is no invoice number", "type it as it is printed")
        if wanted.upper().startswith("(PROV"):
            raise draft()
        async with self._client.connected():
            try:
                invoice = await self._find_by_number(wanted)
            except DolibarrError as error:
                raise _not_found(error) from error
            if (read_whole(invoice, "status") or read_whole(invoice, "statut") or 0) < 1:
                raise draft()
            row = read_whole(invoice, "id")
            if row is None:
                raise SourceError("Dolibarr's answer holds no invoice")
            ticket, ours, told = await self._tickets.make(row, invoice)
        key = f"{row}/{secrets.token_hex(8)}"
        arrival = Arrival(ticket, till=till, ours=ours, key=key, remarks=told)
        try:
            await intake.accept(arrival)
        except ReceiptError as error:
            raise SourceError(f"the invoice's PDF cannot be sent: {error}") from error

    async def _find_by_number(self, number: str) -> Members:
        """Find an invoice; by a filter where a web server might take its slash for a folder's.

        Raises:
            DolibarrError: there is none, or no answer.
        """
        if "/" in number and query.is_plain(number):
            row = await query.row_of(self._client, number)
            answer = await self._client.get(f"invoices/{row}")
        else:
            answer = await self._client.get(f"invoices/ref/{quote(number, safe='')}")
        return read_invoice(answer.value)

    # One turn: ask, wait for what is not paid yet, deliver.

    async def _turn(self, intake: Intake) -> Finding | None:
        """Ask once, and deliver what is due; return a trouble that is no failure."""
        ledger = self._ledger
        if ledger is None:
            ledger = self._ledger = await self._begin(intake)
        began = time.monotonic()
        sales = await query.list_sales(self._client, ledger.newest, ledger.open)
        seconds = time.monotonic() - began
        if ledger.newest == 0 and len(sales) > _ATTEMPTS:
            # All of a sudden there is a past, which was hidden before: it is nobody's sale now.
            self._found = None
            self._ledger = await self._fresh(intake)
            return None
        away = self._was_away()
        if away and len(sales) == query.PAGE:
            # Their customers have gone: enough of them is enough. The console has the rest.
            ledger.pass_over(min(sale.row for sale in sales) - 1)
            _LOG.warning("source %s: only the newest sales made meanwhile are taken", self.name)
        failed = None
        for sale in sorted(sales, key=lambda sale: sale.row):
            if ledger.expects(sale.row):
                failed = await self._consider(sale, ledger, intake, late=away) or failed
        self._last_answer = self._now()
        await self._tidy(ledger, intake)
        await self._watch(ledger)
        if failed is not None:
            raise failed
        if seconds > self.pace.slow:
            return Finding(
                ok=False,
                text=f"Dolibarr answers slowly ({seconds:.0f} s)",
                hint="receipts come late; is its server overloaded, or the network slow?",
            )
        return None

    async def _begin(self, intake: Intake) -> Ledger:
        """Go on where it was left; at the very first start, with what is sold from now on.

        "Now" is the first answer of Dolibarr: what is sold while the outbox cannot be read, or the
        beginning not be kept, is this till's already.
        """
        newest = await query.newest_sale(self._client)
        try:
            kept = await intake.cursor()
        except OutboxError:
            if self._found is None:
                self._found = newest, await query.list_drafts(self._client)
            raise
        ledger = Ledger.from_cursor(kept, self._place)
        # A newest sale below the kept one is another, or an older, database: what the cursor says
        # of it means nothing.
        if ledger is None or newest < ledger.newest:
            return await self._fresh(intake)
        self._found = None
        self._kept = kept
        return ledger

    async def _fresh(self, intake: Intake) -> Ledger:
        newest = await query.newest_sale(self._client)
        if newest == 0 and await is_hidden(self._client):
            raise SourceError(*RIGHT_262)
        found, drafts = self._found or (newest, await query.list_drafts(self._client))
        ledger = self._ledger = Ledger(secrets.token_hex(4), min(found, newest), drafts)
        self._found = None
        self._last_answer = self._now()
        await self._keep(ledger, intake)
        return ledger

    async def _consider(
        self, sale: query.Sale, ledger: Ledger, intake: Intake, *, late: bool
    ) -> DolibarrError | None:
        """Deliver a sale, or leave it open, or note that it is none of ours.

        Returns what Dolibarr failed with, where the sale is to be tried again after the others.
        """
        now = time.monotonic()
        since, late = self._seen.setdefault(sale.row, (now, late))
        if sale.abandoned or (self._tills and sale.till not in self._tills):
            self._settle(sale.row, ledger)
            return None
        if not sale.final:
            return None
        patience = self.pace.part_paid if sale.part_paid else self.pace.unpaid
        if not sale.paid and now - since < patience:
            ledger.leave_open(sale.row)
            return None
        try:
            await self._deliver(sale, ledger, intake, late=late or now - since > self.pace.late)
        except DolibarrError as error:
            if error.status is None or error.status in (401, 429):
                raise
            if error.passing and now - since < self.pace.late:
                return error
            self._failed(sale.row, ledger, error)
        except (SourceError, ReceiptError) as error:
            self._failed(sale.row, ledger, error)
        else:
            self._settle(sale.row, ledger)
            self._last_sale, self._has_sold = now, True
            self._given_up = None
        return None

    async def _deliver(
        self, sale: query.Sale, ledger: Ledger, intake: Intake, *, late: bool
    ) -> None:
        ticket, ours, told = await self._tickets.make(sale.row)
        settled = ledger.copy()
        settled.settle(sale.row)
        arrival = Arrival(
            ticket,
            till=self._tills.get(sale.till),
            ours=ours,
            key=f"{ledger.series}-{sale.row}",
            cursor=settled.to_cursor(self._place),
            late=late,
            remarks=told,
        )
        if await intake.accept(arrival):
            self._kept = arrival.cursor

    def _failed(self, row: int, ledger: Ledger, error: Exception) -> None:
        """Try a sale that cannot be read a few times, and then say so, not to stop the others."""
        ledger.leave_open(row)
        self._attempts[row] = self._attempts.get(row, 0) + 1
        if self._attempts[row] < _ATTEMPTS:
            return
        self._settle(row, ledger)
        self._given_up = Finding(
            ok=False,
            text=f"a sale could not be made a ticket: {error}",
            hint="print it on paper; its number can be tried again in the console",
        )

    def _settle(self, row: int, ledger: Ledger) -> None:
        ledger.settle(row)
        self._seen.pop(row, None)
        self._attempts.pop(row, None)

    async def _tidy(self, ledger: Ledger, intake: Intake) -> None:
        """Keep where it is, and forget of the open rows those that are no sales."""
        if len(ledger.open) > self._sift_at:
            drafts = await query.list_drafts(self._client, ledger.open)
            if len(drafts) < query.DRAFTS_MAX:
                ledger.sift([*drafts, *self._seen])
            self._sift_at = max(SIFT_AT, len(ledger.open) + RECENT)
        self._seen = {row: seen for row, seen in self._seen.items() if ledger.expects(row)}
        await self._keep(ledger, intake)

    async def _keep(self, ledger: Ledger, intake: Intake) -> None:
        cursor = ledger.to_cursor(self._place)
        if cursor != self._kept:
            await intake.keep_cursor(cursor)
            self._kept = cursor

    async def _watch(self, ledger: Ledger) -> None:
        """See now and then whether invoices are still seen: a right taken away is silent."""
        now = time.monotonic()
        if now - self._last_watch < self.pace.watch:
            return
        if ledger.newest and await query.newest_sale(self._client) < ledger.newest:
            raise SourceError(*UNSEEN)
        self._last_watch = now

    # Time.

    def _now(self) -> tuple[float, float]:
        return time.monotonic(), self._shop.now()

    def _was_away(self) -> bool:
        """Tell whether so long has passed since the last answer that a sale may be an old one."""
        if self._last_answer is None:
            return True
        # Both clocks: the one that never jumps stands still while the computer sleeps.
        passed = (now - then for now, then in zip(self._now(), self._last_answer, strict=True))
        return max(passed) > max(self.pace.late, 3 * self.pace.still_poll)

    def _wait(self) -> float:
        idle = time.monotonic() - self._last_sale
        wait = self.pace.poll
        if idle < self.pace.busy and self._has_sold:
            wait = min(wait, self.pace.busy_poll)
        if idle > self.pace.still:
            wait = max(wait, self.pace.still_poll)
        elif idle > self.pace.quiet:
            wait = max(wait, self.pace.quiet_poll)
        return min(wait, self.pace.unpaid) if self._seen else wait

    def _wait_after(self, error: Exception, failures: int) -> float:
        wait = self.pace.first_wait * 2.0 ** min(failures - 1, 10)
        if isinstance(error, DolibarrError) and error.status in (401, 403):
            wait = self.pace.longest_wait  # somebody must do something; Dolibarr counts the tries
        wait = min(wait, self.pace.longest_wait) * (1 + _RANDOM.random()) / 2
        return max(wait, getattr(error, "wait_seconds", 0.0))

    async def _nap(self, seconds: float, *, wakes: bool) -> None:
        """Wait, or until a webhook's call; where Dolibarr fails, no call shortens the wait."""
        if not wakes:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
                await asyncio.sleep(self.pace.told)
        self._told.clear()

    # The webhook.

    async def _listen(self, intake: Intake) -> None:
        """Listen for calls; without them, sales come a second later, so it is tried for ever."""
        assert self._webhook is not None  # noqa: S101 - started only with one
        address, secret = self._webhook
        warned = False
        while True:
            try:
                async with webhook.listening(address, secret, self._paid, intake.refuse) as port:
                    self.webhook_port = port
                    await asyncio.Event().wait()
            except SourceError as error:
                if not warned:
                    _LOG.warning("source %s: %s", self.name, error)
                warned = True
            finally:
                self.webhook_port = None
            await asyncio.sleep(self.pace.longest_wait)

    def _paid(self, row: int | None) -> None:
        if row is None or self._ledger is None or self._ledger.expects(row):
            self._told.set()
            self._last_sale = time.monotonic()


def _not_found(error: DolibarrError) -> SourceError:
    if error.status == 404:
        return SourceError("there is no invoice of this number", "type it as it is printed")
    if error.status == 403:
        return SourceError(
            "the user of the API key may not see this invoice",
            "it needs the rights 11 and 262; the check of this source says which is missing",
        )
    return error
