"""Making a ticket of an invoice: with the PDF that Dolibarr made, or with one drawn here."""

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Mapping
from typing import Final

from e2ee_ticket.errors import SourceError
from e2ee_ticket.pdf import draw, letters
from e2ee_ticket.pdf.check import check_receipt
from e2ee_ticket.pdf.money import format_money
from e2ee_ticket.pdf.words import words_of_receipt
from e2ee_ticket.protocol.ticket import Ticket
from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.dolibarr.client import Client, DolibarrError
from e2ee_ticket.sources.dolibarr.fields import Members, objects, read_text
from e2ee_ticket.sources.dolibarr.receipt import (
    company_of,
    currency_code,
    invoice_number,
    invoice_time,
    invoice_total,
    payment_codes,
    read_receipt,
)
from e2ee_ticket.sources.dolibarr.words import word
from e2ee_ticket.sources.facts import file_name

_LOG: Final = logging.getLogger(__name__)
_PDF_ANSWER_MAX_SIZE: Final = 8 * 1024 * 1024
_COUNTRIES: Final = {"fr": "fr_FR", "en": "en_GB", "de": "de_DE", "it": "it_IT", "es": "es_ES"}


class Tickets:
    """How one source makes its tickets.

    `template` is what Dolibarr is to make a PDF with that it lacks; None where it must not, and
    the receipt is drawn instead. `company` is who sells, where the owner has said it; `currency`
    is what Dolibarr keeps its books in, for invoices that do not say it and where it does not.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        shop: Shop,
        *,
        pdf: bool,
        template: str | None,
        company: tuple[str, ...],
        details: tuple[str, ...],
        currency: str | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._shop = shop
        self._pdf = pdf
        self._template = template
        self._company = draw.Shop(company[0], company[1:], details) if company else None
        self._details = details
        self._currency = currency
        self._own: tuple[object] | None = None
        self._payment_names: dict[str, str] | None = None

    async def make(
        self, row: int, invoice: Members | None = None
    ) -> tuple[Ticket, bool, tuple[str, ...]]:
        """Return the ticket, whether its PDF was drawn here, and remarks on what was drawn.

        Raises:
            DolibarrError: Dolibarr does not answer, or refuses.
            SourceError, ReceiptError: what it answers is not an invoice, a draft, or no PDF.
        """
        if invoice is None:
            invoice = read_invoice((await self._client.get(f"invoices/{row}")).value)
        number = invoice_number(invoice)
        if number.startswith("(PROV"):
            raise draft()
        payments = await self._payments(row)
        pdf = await self._fetch_pdf(invoice, number) if self._pdf else None
        ours = pdf is None
        remarks: tuple[str, ...] = ()
        words = None
        company = await self._company_shop()
        own = currency_code(await self._own_company()) or self._currency
        if pdf is None:
            names = await self._names(payments)
            receipt = read_receipt(invoice, payments, company, self._shop.lang, names, own=own)
            remarks = letters.remarks_on(draw.texts_of(receipt))
            pdf = await asyncio.to_thread(_draw, receipt)
            words = words_of_receipt(receipt)
        total, currency = invoice_total(invoice, own)
        ticket = Ticket(
            receipt=pdf,
            name=file_name(number),
            title=company.name[:200],
            total=format_money(total, currency, self._shop.lang)[:64],
            number=number,
            issued=invoice_time(invoice, payments).isoformat(),
            lang=self._shop.lang,
            lines=words,
        )
        return ticket, ours, remarks

    async def _payments(self, row: int) -> object:
        try:
            return (await self._client.get(f"invoices/{row}/payments")).value
        except DolibarrError as error:
            if error.status in (404, 405):  # none yet
                return []
            raise

    async def _fetch_pdf(self, invoice: Members, number: str) -> bytes | None:
        """Return the invoice as Dolibarr made it; None where there is no PDF of it."""
        path = _document(invoice, number)
        asked = {"modulepart": "facture", "original_file": path}
        try:
            answer = await self._client.get("documents/download", asked, limit=_PDF_ANSWER_MAX_SIZE)
        except DolibarrError as error:
            if error.status != 404:
                raise
            if self._template is None:
                return None
            try:
                answer = await self._client.put(
                    "documents/builddoc",
                    {
                        "modulepart": "invoice",
                        "original_file": path,
                        "doctemplate": self._template,
                        "langcode": _langcode(self._shop.lang),
                    },
                    limit=_PDF_ANSWER_MAX_SIZE,
                )
            except DolibarrError as refusal:
                if refusal.status in (403, 404, 500):  # no right 12, no such template: draw it
                    _LOG.warning("Dolibarr made no PDF of an invoice; it is drawn instead")
                    return None
                raise
        return _read_pdf(answer.value)

    async def _company_shop(self) -> draw.Shop:
        """Return who sells: as configured, or as Dolibarr says where this key may ask."""
        if self._company is None:
            found = company_of(await self._own_company())
            found = found or draw.Shop(self._shop.name or self._name)
            details = self._details or found.details
            self._company = draw.Shop(found.name, found.address, details)
        return self._company

    async def _own_company(self) -> object:
        """Return what Dolibarr says of its own company; asked once, None where it may not be."""
        if self._own is None:
            try:
                self._own = ((await self._client.get("setup/company")).value,)
            except DolibarrError as error:
                if error.status is None:
                    raise
                self._own = (None,)
        return self._own[0]

    async def _names(self, payments: object) -> Mapping[str, str]:
        """Return the names of ways to pay that only this Dolibarr knows."""
        unknown = [code for code in payment_codes(payments) if word(code, "en") is None]
        if unknown and self._payment_names is None:
            try:
                answer = await self._client.get("setup/dictionary/payment_types")
            except DolibarrError as error:
                if error.status is None:
                    raise
                self._payment_names = {}
            else:
                pairs = (
                    (read_text(one, "code"), read_text(one, "label"))
                    for one in objects(answer.value)
                )
                self._payment_names = {code: label for code, label in pairs if code and label}
        return self._payment_names or {}


def _draw(receipt: draw.Receipt) -> bytes:
    try:
        return draw.draw_receipt(receipt)
    except Exception as error:  # whatever the drawing library cannot set, the till goes on
        raise SourceError("an invoice cannot be drawn as a receipt") from error


def read_invoice(value: object) -> Members:
    """Return an invoice.

    Raises:
        SourceError: it is none.
    """
    if not isinstance(value, dict):
        raise SourceError("Dolibarr's answer holds no invoice")
    return value


def _document(invoice: Members, number: str) -> str:
    """Return where Dolibarr keeps the PDF, below its folder of invoices."""
    known = read_text(invoice, "last_main_doc") or ""
    match = re.fullmatch(r"facture/([^/<>|\\]{1,100}/[^/<>|\\]{1,100}\.pdf)", known)
    if match is not None and ".." not in known:
        return match[1]
    folder = re.sub(r'[<>/\\?*|":\x00-\x1f]', "_", number)  # as Dolibarr cleans a file's name
    return f"{folder}/{folder}.pdf"


def _read_pdf(value: object) -> bytes:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, str):
        raise SourceError("Dolibarr's answer holds no document")
    try:
        pdf = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise SourceError("Dolibarr's document is damaged") from None
    check_receipt(pdf)
    return pdf


def _langcode(lang: str) -> str:
    base, _, country = lang.partition("-")
    if len(country) == 2:
        return f"{base.lower()}_{country.upper()}"
    return _COUNTRIES.get(base.lower(), "")


def draft() -> SourceError:
    """Say that an invoice is none yet."""
    return SourceError(
        "this invoice is a draft", "validate it in Dolibarr first; then it has its number"
    )
