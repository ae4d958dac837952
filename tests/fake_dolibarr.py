"""A Dolibarr with TakePOS, as far as its REST API shows it: its samples in tests/data, its ways.

In a test: `async with FakeDolibarr() as fake: fake.sell(...)`. For a program of its own:
`with FakeDolibarr().in_thread() as fake:`. By hand: `python tests/fake_dolibarr.py`.

It is as silent as the real one: without right 262 the list of invoices is empty, with status 200.
"""

import argparse
import asyncio
import base64
import contextlib
import copy
import gzip
import itertools
import json
import re
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from email.utils import formatdate
from pathlib import Path

from aiohttp import web

DATA = Path(__file__).parent / "data"
INVOICE = json.loads((DATA / "dolibarr_invoice.json").read_text("utf-8"))
PAYMENTS = json.loads((DATA / "dolibarr_payments.json").read_text("utf-8"))
PDF = (DATA / "dolibarr_takepos_invoice.pdf").read_bytes()
CALLS = [
    json.loads(line)["body"]
    for line in (DATA / "webhook_v22_validate_payed.jsonl").read_text("utf-8").splitlines()
]
"""What a webhook is sent: a validation, then a payment."""

KEY = "canary0dolapikey0Zq81"
READ, WRITE, ALL_PARTIES = 11, 12, 262
CASHIER = 1  # the only third party: TakePOS's generic customer

_CRITERION = re.compile(r"\(([a-zA-Z0-9_.]+):([<>!=insotlke]+):([^()]+)\)", re.IGNORECASE)
_COLUMNS = {"t.rowid": "id", "t.module_source": "module_source", "t.pos_source": "pos_source",
            "t.fk_statut": "statut", "t.type": "type", "t.ref": "ref"}  # fmt: skip
_DATABASE = (
    "DolibarrHasDetectedError.<br>\nInformationToHelpDiagnose:<br>\n"
    "<b>Message:</b> host=127.0.0.1, port=3306, user=someone, databasename=shop<br>\n"
)
_MAINTENANCE = "<!DOCTYPE html><html><body><h1>Site en maintenance</h1></body></html>"
_LOGIN = "<!DOCTYPE html><html><head><title>Login</title></head><form action=index.php>"
_API_OFF = (
    "Warning, the module <b>Api</b> is not active.<br><br>"
    "To activate modules, go on setup Area (Home->Setup->Modules)."
)


class Refusal(Exception):  # noqa: N818 - as Restler's RestException
    def __init__(self, status, message=""):
        super().__init__(message)
        self.status, self.message = status, message


def _money(amount):
    return f"{Decimal(amount).quantize(Decimal('0.01'), ROUND_HALF_UP)}000000"


class FakeDolibarr:
    """One shop. What is public is there to be changed while it runs."""

    def __init__(self, *, rights=(READ, ALL_PARTIES), version="20.0.2", key=KEY, now=time.time):
        self.rights = set(rights)
        self.version = version
        self.key = key
        self.now = now
        self.nothing_is_404 = False  # as older versions answer
        self.sees_itself = False  # the key's user may read its own card
        self.admin = False
        self.company = None  # what setup/company says; None: not this user's to ask
        self.locked = "0"
        self.clock_offset = 0.0
        self.delay = 0.0
        self.trouble = None  # one of the _trouble_... below
        self.trouble_paths = ""  # only for paths that match this
        self.asked = Counter()
        self.queries = []
        self.at_once, self.at_once_max = 0, 0
        self.invoices = {}
        self.payments = {}
        self.documents = {}
        self.hidden = set()  # rows that another transaction has not stored yet
        self.built = []
        self._rows = itertools.count(1)
        self._numbers = itertools.count(1)
        self._runner = None
        self.url = None

    # What happens in the shop.

    def draft(self, *, terminal="1", source="takepos"):
        """The first article is scanned: the row has its number from now on."""
        row = next(self._rows)
        invoice = copy.deepcopy(INVOICE)
        invoice |= {
            "id": str(row), "ref": f"(PROV-POS{terminal}-0)", "statut": "0", "status": "0",
            "paye": "0", "module_source": source, "pos_source": terminal, "last_main_doc": None,
            "socid": str(CASHIER), "sumpayed": None, "remaintopay": invoice["total_ttc"],
            "date_creation": int(self.now()), "datem": int(self.now()),
            "date": int(self.now()) // 86400 * 86400,
        }  # fmt: skip
        invoice["online_payment_url"] = None
        self.invoices[row] = invoice
        self.payments[row] = []
        return row

    def sell(
        self,
        lines=None,
        *,
        row=None,
        terminal="1",
        pay="LIQ",
        paid=None,
        kind=0,
        pdf=True,
        source="takepos",
    ):
        """A sale is validated and, unless `pay` is None, paid; its row is returned.

        `lines` are (label, quantity, gross amount, rate); without them it is the sample's sale.
        """
        row = self.draft(terminal=terminal, source=source) if row is None else row
        invoice = self.invoices[row]
        if lines is not None:
            self._fill(invoice, lines)
        letter = "AV" if kind == 2 else f"TC{terminal}-"
        invoice["ref"] = f"{letter}2611-{next(self._numbers):04}"
        invoice |= {"statut": "1", "status": "1", "type": str(kind)}
        invoice["remaintopay"] = invoice["total_ttc"]
        if pdf and kind != 2:
            self._store(invoice, PDF)
        if pay is not None:
            self.pay(row, paid or invoice["total_ttc"], pay)
        return row

    def pay(self, row, amount, code="LIQ"):
        invoice = self.invoices[row]
        payment = copy.deepcopy(PAYMENTS[0])
        when = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        payment |= {"amount": _money(amount), "type": code, "date": when, "num": invoice["ref"]}
        self.payments[row].append(payment)
        total = sum(Decimal(one["amount"]) for one in self.payments[row])
        invoice["sumpayed"] = _money(total)
        due = Decimal(invoice["total_ttc"]) - total
        invoice["remaintopay"] = str(due.normalize()) if due else "0"
        if not due:
            invoice |= {"paye": "1", "statut": "2", "status": "2"}

    def abandon(self, row):
        self.invoices[row] |= {"statut": "3", "status": "3"}

    def restore(self, newest):
        """The database is put back from a backup: what came after `newest` has never been."""
        for row in [row for row in self.invoices if row > newest]:
            del self.invoices[row]
        self._rows = itertools.count(newest + 1)

    def ref(self, row):
        return self.invoices[row]["ref"]

    def _store(self, invoice, pdf):
        ref = invoice["ref"]
        self.documents[f"{ref}/{ref}.pdf"] = pdf
        invoice["last_main_doc"] = f"facture/{ref}/{ref}.pdf"

    def _fill(self, invoice, lines):
        made = []
        for label, quantity, gross, rate in lines:
            line = copy.deepcopy(INVOICE["lines"][0])
            net = Decimal(gross) / (1 + Decimal(rate) / 100)
            net = net.quantize(Decimal("0.01"), ROUND_HALF_UP)
            for prefix in ("", "multicurrency_"):
                line[f"{prefix}total_ht"] = _money(net)
                line[f"{prefix}total_tva"] = _money(Decimal(gross) - net)
                line[f"{prefix}total_ttc"] = _money(gross)
            line |= {"product_label": label, "libelle": label, "qty": quantity,
                     "tva_tx": f"{Decimal(rate):.4f}"}  # fmt: skip
            made.append(line)
        invoice["lines"] = made
        for part in ("ht", "tva", "ttc"):
            total = _money(sum(Decimal(line[f"total_{part}"]) for line in made))
            invoice[f"total_{part}"] = invoice[f"multicurrency_total_{part}"] = total

    # What the API says of it.

    def _list(self, query):
        self._need(READ)
        found = [one for row, one in self.invoices.items() if row not in self.hidden]
        parties = query.get("thirdparty_ids", "")
        if parties:
            found = [one for one in found if one["socid"] in parties.split(",")]
        elif ALL_PARTIES not in self.rights:
            found = []
        filters = query.get("sqlfilters", "")
        found = [one for one in found if _matches(filters, one)]
        found.sort(key=lambda one: int(one["id"]), reverse=query.get("sortorder") == "DESC")
        found = found[: int(query.get("limit", "100"))]
        if not found and self.nothing_is_404:
            raise Refusal(404, "Not Found: No invoice found")
        names = [name for name in query.get("properties", "").split(",") if name]
        if names:
            return [{name: one[name] for name in names if name in one} for one in found]
        return found

    def _one(self, invoice):
        self._need(READ)
        if invoice is None or int(invoice["id"]) in self.hidden:
            raise Refusal(404, "Not Found: Invoice not found")
        if ALL_PARTIES not in self.rights:
            raise Refusal(403, "Forbidden: Access not allowed for login till")
        return invoice

    def _download(self, query):
        self._need(READ)
        if query.get("modulepart") != "facture" or ".." in query.get("original_file", ".."):
            raise Refusal(403)
        return self._document(query["original_file"])

    def _document(self, path):
        if path not in self.documents:
            raise Refusal(404, "Not Found: File not found")
        pdf = self.documents[path]
        return {"filename": path.partition("/")[2], "content-type": "application/pdf",
                "filesize": len(pdf), "content": base64.b64encode(pdf).decode(),
                "encoding": "base64"}  # fmt: skip

    def _build(self, asked):
        self._need(WRITE)
        path = asked["original_file"]
        ref = path.partition("/")[2].removesuffix(".pdf")
        invoice = next((one for one in self.invoices.values() if one["ref"] == ref), None)
        if invoice is None:
            raise Refusal(404, "Not Found: Invoice not found")
        self.built.append(asked)
        self._store(invoice, PDF)
        return self._document(path) | {"langcode": asked["langcode"], "template": "sponge"}

    def _user(self, query):
        if not (self.sees_itself or self.admin):
            raise Refusal(403, "Forbidden: Not allowed")
        rights = {"facture": {}, "societe": {"client": {}}}
        if READ in self.rights:
            rights["facture"]["lire"] = 1
        if WRITE in self.rights:
            rights["facture"]["creer"] = 1
        if ALL_PARTIES in self.rights:
            rights["societe"]["client"]["voir"] = 1
        asked = query.get("includepermissions") == "1"
        return {"id": "2", "login": "till", "admin": "1" if self.admin else "0",
                "rights": rights if asked else None}  # fmt: skip

    def _need(self, right):
        if right not in self.rights and not self.admin:
            raise Refusal(403, "Forbidden")

    def _route(self, path, query, body):
        numbered = re.fullmatch(r"invoices/([0-9]+)(/payments)?", path)
        if numbered:
            row = int(numbered[1])
            invoice = self._one(self.invoices.get(row))
            return self.payments[row] if numbered[2] else invoice
        if path.startswith("invoices/ref/"):
            wanted = path.removeprefix("invoices/ref/")
            rows = self.invoices.values()
            return self._one(next((one for one in rows if one["ref"] == wanted), None))
        if path == "setup/company":
            if self.company is None:
                raise Refusal(403, "Forbidden: Error API open to admin users only")
            return self.company
        simple = {
            "status": lambda: {"success": {"code": 200, "dolibarr_version": self.version,
                                           "access_locked": self.locked}},
            "invoices": lambda: self._list(query),
            "documents/download": lambda: self._download(query),
            "documents/builddoc": lambda: self._build(body),
            "users/info": lambda: self._user(query),
            "setup/dictionary/payment_types": lambda: [
                {"id": "53", "code": "TR", "label": "Titre restaurant", "type": "2"}
            ],
        }  # fmt: skip
        if path not in simple:
            raise Refusal(404, "Not Found")
        return simple[path]()

    # HTTP.

    async def _answer(self, request):
        path = request.path.partition("/api/index.php/")[2]
        self.asked[path] += 1
        self.queries.append((path, dict(request.query)))
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.trouble and re.search(self.trouble_paths, path):
                made = await getattr(self, f"_trouble_{self.trouble}")(request)
                if made is not None:
                    return made
            return await self._api(request, path)
        finally:
            self.at_once -= 1

    async def _api(self, request, path):
        status, value = 200, None
        try:
            if "api_key" in request.query or "DOLAPIKEY" in request.query:
                raise AssertionError("a key in an address ends in logs")
            if request.headers.get("DOLAPIKEY") != self.key:
                raise Refusal(401, "Unauthorized: Error user not valid (conf->entity=1)")
            body = await request.json() if request.method == "PUT" else None
            value = self._route(path, request.query, body)
        except Refusal as refusal:
            status = refusal.status
            value = {"error": {"code": status, "message": refusal.message}}
        date = formatdate(self.now() + self.clock_offset, usegmt=True)
        return web.json_response(value, status=status, headers={"Date": date})

    async def _trouble_maintenance(self, _):
        return web.Response(text=_MAINTENANCE, content_type="text/html", status=503)

    async def _trouble_login(self, _):
        return web.Response(text=_LOGIN, content_type="text/html")

    async def _trouble_database(self, _):
        return web.Response(text=_DATABASE, content_type="text/html", status=202)

    async def _trouble_api_off(self, _):
        return web.Response(text=_API_OFF, content_type="text/html")

    async def _trouble_address(self, _):
        text = "APIs are not allowed from the IP 203.0.113.9"
        return web.Response(text=text, content_type="text/html", status=503)

    async def _trouble_rule(self, _):
        text = "The API with endpoint /x is forbidden by config API_ENDPOINT_RULES"
        return web.Response(text=text, content_type="text/html", status=501)

    async def _trouble_inside(self, _):
        message = "Internal Server Error: SELECT secret FROM llx_facture"
        return web.json_response({"error": {"code": 500, "message": message}}, status=500)

    async def _trouble_often(self, _):
        refusal = {"error": {"code": 429}}
        return web.json_response(refusal, status=429, headers={"Retry-After": "7"})

    async def _trouble_packed(self, _):
        """Answer with what is a thousand times as long when it is unpacked."""
        body = gzip.compress(b"[" + b" " * 3_000_000 + b"]")
        headers = {"Content-Encoding": "gzip"}
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _trouble_half(self, _):
        return web.Response(text='[{"id":"1","ref":', content_type="application/json")

    async def _trouble_number(self, _):
        return web.json_response(42)

    async def _trouble_deep(self, _):
        return web.Response(text="[" * 200_000, content_type="application/json")

    async def _trouble_huge(self, _):
        return web.Response(body=b" " * (9 * 1024 * 1024), content_type="application/json")

    async def _trouble_away(self, request):
        raise web.HTTPFound(f"http://localhost:{request.url.port}/stolen?from=1")

    async def _trouble_cut(self, request):
        request.transport.abort()

    async def _trouble_silent(self, _):
        await asyncio.Event().wait()

    async def _trouble_none(self, _):
        return web.Response(text="Not here", content_type="text/html", status=404)

    async def _elsewhere(self, request):
        self.asked["elsewhere"] += 1
        self.queries.append((request.path, dict(request.headers)))
        return web.Response(text=_LOGIN, content_type="text/html", status=404)

    async def start(self, port=0):
        app = web.Application()
        app.router.add_route("*", "/api/index.php/{path:.*}", self._answer)
        app.router.add_route("*", "/dolibarr/api/index.php/{path:.*}", self._answer)
        app.router.add_route("*", "/{path:.*}", self._elsewhere)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self):
        await self._runner.cleanup()

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        await self.stop()

    @contextlib.contextmanager
    def in_thread(self):
        """Run beside a program that has no loop, or another one."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


def _matches(filters, invoice):
    """Judge a filter as Dolibarr's universal search syntax does, and refuse what it refuses."""
    if not filters:
        return True
    verdict = _CRITERION.sub(lambda match: _judge(match, invoice), filters)
    if re.fullmatch(r"(?:[()01 ]|and|or)*", verdict) is None:
        raise Refusal(400, "Bad Request: Error when validating parameter sqlfilters")
    return bool(eval(verdict, {"__builtins__": {}}))  # noqa: S307 - only 0, 1, and, or, ( )


def _judge(match, invoice):
    column, operator, value = match[1], match[2].lower(), match[3]
    if column not in _COLUMNS:
        raise Refusal(503, "Service Unavailable: Error when retrieve invoice list : Unknown column")
    actual = invoice[_COLUMNS[column]] or ""
    if operator == "in":
        return str(int(actual in [one.strip("'") for one in value.split(",")]))
    if value.startswith("'"):
        return str(int({"=": actual == value.strip("'")}[operator]))
    one, other = float(actual or 0), float(value)
    return str(int({"=": one == other, ">": one > other, "<": one < other}[operator]))


async def _main():
    parser = argparse.ArgumentParser(description="A Dolibarr to try a till with")
    parser.add_argument("--port", type=int, default=8680)
    parser.add_argument("--every", type=float, default=15, help="seconds between two sales")
    options = parser.parse_args()
    fake = await FakeDolibarr().start(options.port)
    print(f"{fake.url}  DOLAPIKEY: {fake.key}", flush=True)  # noqa: T201
    while True:
        await asyncio.sleep(options.every)
        print("sold", fake.ref(fake.sell()), flush=True)  # noqa: T201


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
