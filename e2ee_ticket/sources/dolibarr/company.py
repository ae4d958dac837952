"""Asking Dolibarr once who sells, so that nobody need type it."""

from e2ee_ticket.errors import SourceError
from e2ee_ticket.pdf.draw import Shop
from e2ee_ticket.sources.dolibarr.client import Client
from e2ee_ticket.sources.dolibarr.receipt import company_of
from e2ee_ticket.sources.dolibarr.settings import read_key, read_url


async def read_company(url: str, key: str) -> Shop | None:
    """Return Dolibarr's own company; None where this key may not ask, or nothing answers.

    Raises:
        ConfigError: an address or a key that cannot be.
    """
    client = Client(read_url(url), read_key(key, None), timeout_seconds=10)
    try:
        answer = await client.get("setup/company")
    except SourceError:
        return None
    return company_of(answer.value)
