"""Sales of Dolibarr's TakePOS, and any of its invoices, read over its REST API.

`source.py` asks for what is new, `ledger.py` knows what was had, `client.py` speaks HTTP,
`receipt.py` turns an invoice into an 80 mm receipt, `checkup.py` tests the settings, and
`webhook.py` is an accelerator. Nothing is ever written to Dolibarr but a PDF that it lacks, and
that only where `builddoc` is set.
"""

from e2ee_ticket.sources.dolibarr.company import read_company
from e2ee_ticket.sources.dolibarr.source import Dolibarr
from e2ee_ticket.sources.dolibarr.webhook import new_webhook_secret

__all__ = ["Dolibarr", "new_webhook_secret", "read_company"]
