"""Coverage-guided fuzzing of what the till's sources, child and files bring: `make soak`.

    python tests/soak/fuzz_till.py TARGET [libFuzzer options, such as -max_total_time=600]

Every target turns bytes into a value or a TicketError; anything else is a finding. The targets run
without a fuzzer, too: tests/properties/test_corpus.py gives them what is kept in tests/corpus.
"""

import contextlib
import io
import json
import sqlite3
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import PIL.Image
from fuzzing import instrumented, run

with instrumented("e2ee_ticket"):
    from e2ee_ticket.errors import TicketError
    from e2ee_ticket.pdf import printed
    from e2ee_ticket.pdf.inspect import NO_FINDING, Findings, take_findings
    from e2ee_ticket.protocol import primitives
    from e2ee_ticket.sources import escpos, escpos_jobs, ipp_message, print_stream, takepos_html
    from e2ee_ticket.sources.dolibarr import receipt, tickets, webhook
    from e2ee_ticket.till import bundle, config, sqlite_rows

DATA = Path(__file__).resolve().parents[1] / "data"
PASSPHRASE = "four words are enough"
COSTS = bundle._COSTS.pack(1, 8192, bytes(16))


def jobs_of(*chunks):
    """Return the jobs that a stream is cut into, and whether it was too large."""
    splitter, jobs = escpos_jobs.Splitter(), []
    try:
        for chunk in chunks:
            jobs += [one for one in splitter.feed(chunk) if isinstance(one, escpos_jobs.Job)]
        last = splitter.end()
    except TicketError:
        return jobs, True
    return jobs + ([last] if last else []), False


def fuzz_escpos(data):
    """A stream is cut into the same jobs wherever its chunks end; each of them can be drawn."""
    jobs, _ = jobs_of(data)
    middle = len(data) // 2
    assert jobs_of(data[:middle], data[middle:])[0] == jobs
    for job in jobs:
        escpos.decode(job.data)


def taken(*chunks):
    """Return what a connection to port 9100 is taken for: jobs, and how it ended."""
    stream, jobs = print_stream.PrintStream(), []
    try:
        for chunk in chunks:
            for one in stream.feed(chunk):  # one by one: what follows a job may be refused
                jobs += [one] if isinstance(one, escpos_jobs.Job) else []
        last = stream.end()
    except TicketError as error:
        return jobs, type(error).__name__
    return jobs + ([last] if last else []), ""


def fuzz_stream(data):
    """What a connection begins with, and PJL: the same wherever the chunks end."""
    middle = len(data) // 2
    assert taken(data) == taken(data[:middle], data[middle:])
    assert taken(data[:200]) == taken(*(data[at : at + 1] for at in range(len(data[:200]))))


def fuzz_printed(data):
    """Pictures and raster pages, as the child reads them; few dots, so that many are tried."""
    few = mock.patch.multiple(printed, PIXELS_MAX=40_000, ALL_PIXELS_MAX=80_000)
    with few, contextlib.suppress(printed.Unreadable):
        assert printed.to_pdf(data, 100_000).startswith(b"%PDF-")


def fuzz_rows(data):
    """A damaged outbox and its log: what is read is no more than they are."""
    for pages in (sqlite_rows._Pages(data, b""), sqlite_rows._Pages(b"", data)):
        found, size = sqlite_rows.Found(), 0
        for number in range(1, min(pages.count, 64) + 1):
            for row in sqlite_rows._leaf(pages, number, found):
                size += sum(len(one) for one in row.values if isinstance(one, str | bytes))
        assert size <= 2 * len(data)


def fuzz_ipp(data):
    message, at = ipp_message.read_message(data)
    assert 0 < at <= len(data)
    again, _ = ipp_message.read_message(message.to_bytes())
    assert (again.code, again.request_id) == (message.code, message.request_id)


def fuzz_html(data):
    page = takepos_html.read_page(data.decode("utf-8", "replace"))
    assert page.roll.items


def fuzz_dolibarr(data):
    """What the REST API answers, parsed as the client parses it."""
    with contextlib.suppress(ValueError, RecursionError, webhook._OtherCall):
        webhook._read_row(data)
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return
    invoice = tickets.read_invoice(told)
    shop = receipt.company_of(invoice.get("company")) or receipt.Shop("Shop")
    receipt.currency_code(invoice.get("company"))
    names = {"LIQ": "cash"}
    read = receipt.read_receipt(invoice, invoice.get("payments"), shop, "fr", names, own="EUR")
    assert isinstance(read.issued, datetime)
    read.issued.astimezone(UTC)


def fuzz_child(data):
    """What a child says that a PDF has taken over, read as the till reads it."""
    told, _, _ = data.partition(b"\n")
    try:
        found = take_findings(json.loads(told), b"%PDF-1.7\n%%EOF\n")
    except NO_FINDING:
        return
    assert isinstance(found, Findings)
    assert all(text.isprintable() for text in (*found.remarks(), *found.embedded_files))


def fuzz_toml(data):
    config.judge(data, Path("/nowhere/e2ee-ticket.toml"), {})


def fuzz_export(data):
    """An exported configuration: any bytes, and any bytes sealed as one."""
    header = bundle.MAGIC + COSTS
    key = bundle._key(PASSPHRASE, header)
    sealed = header + primitives.aead_seal(key, bytes(primitives.NONCE_SIZE), header, data)
    for candidate in (data, bundle.MAGIC + data, sealed):
        # Whatever costs a file names are within limits; this one asks for the least.
        if candidate is not sealed and len(candidate) >= len(header) + primitives.TAG_SIZE:
            continue
        try:
            bundle.unseal(candidate, PASSPHRASE)
        except TicketError:
            continue


TARGETS = {
    name.removeprefix("fuzz_"): function
    for name, function in list(globals().items())
    if name.startswith("fuzz_")
}


def small_database():
    """Return a database of small pages, with a row that needs more than one, and an index."""
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        made.executescript(
            "PRAGMA page_size = 512;"
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB, d REAL);"
            "CREATE INDEX i ON t (b, d); INSERT INTO t VALUES (1, 'x', zeroblob(900), 0.5);"
            "INSERT INTO t VALUES (70000, 'y', x'00ff', 1e9)"
        )
        return made.serialize()


def recorded(name):
    for line in (DATA / name).read_text("utf-8").splitlines():
        body = json.loads(line)["body"]
        yield body.encode("utf-8", "surrogateescape")


def small_raster():
    """Return a page of dots as Apple's devices print it, one of PWG Raster, and a picture."""
    head = bytes((8, 0)) + bytes(10) + struct.pack(">3I", 4, 3, 203) + bytes(8)
    yield b"UNIRAST\0" + (1).to_bytes(4) + head + b"\x00\x01\x00\x01\xff" * 3
    page = bytearray(1796)
    struct.pack_into(">2I", page, 276, 203, 203)
    struct.pack_into(">6I", page, 372, 16, 4, 0, 1, 1, 2)
    struct.pack_into(">2I", page, 396, 0, 3)
    yield b"RaS2" + bytes(page) + b"\x03\x01\x55"
    picture = io.BytesIO()
    PIL.Image.new("L", (8, 8)).save(picture, "PNG")
    yield picture.getvalue()


def small_streams():
    mark, pdf = b"\x1b%-12345X", b"%PDF-1.7\n%%EOF\n"
    yield mark + b"@PJL JOB\r\n" + pdf + mark + mark + b"@PJL EOJ\r\n" + mark
    yield b"\x1b@\x1bt\x13Total 12,50\n\x1dV\x00" * 2
    yield b"POST OFFICE\nTotal 5\n"


def seeds(target):
    """Start from what tills, servers and this program really sent and wrote."""
    made = {"printed": small_raster, "stream": small_streams, "rows": lambda: [small_database()]}
    if target in made:
        yield from made[target]()
    elif target == "escpos":
        yield (DATA / "takepos_receiptprinter_9100.bin").read_bytes()[:4000]
    elif target == "html":
        yield from (body[:4000] for body in recorded("takepos_connector_html.jsonl"))
    elif target == "dolibarr":
        invoice = json.loads((DATA / "dolibarr_invoice.json").read_text("utf-8"))
        payments = json.loads((DATA / "dolibarr_payments.json").read_text("utf-8"))
        keep = ("ref", "date", "datec", "total_ttc", "multicurrency_code", "type", "status")
        small = {name: invoice[name] for name in keep if name in invoice}
        small |= {"lines": invoice.get("lines", [])[:1], "payments": payments}
        yield json.dumps(small).encode()
    elif target == "child":
        told = {"pages": 1, "undrawn": None, "external_hosts": ["a.example"]}
        empty = {"encrypted": False, "signed": False, "pdfa": "3B", "embedded_files": []}
        counts = (
            "scripts",
            "launch_actions",
            "other_actions",
            "external_resources",
            "hidden_links",
        )
        yield json.dumps(told | empty | dict.fromkeys(counts, 0)).encode() + b"\n\x89PNG"
    elif target == "toml":
        yield (
            b'relay = "https://r.example"\nshop = "B"\npermit = "' + b"a" * 43 + b'"\n'
            b'[[till]]\nname = "1"\n[[source]]\nkind = "folder"\nfolder = "/x"\n[console]\n'
        )
    elif target == "export":
        yield json.dumps({"version": 1, "config": "a = 1", "displays": None, "files": {}}).encode()
    elif target == "ipp":
        operation, tags = b"\x01\x01\x00\x0b\x00\x00\x00\x01", b"\x01\x47\x00\x12attributes-charset"
        yield (
            operation + tags + b"\x00\x05utf-8\x48\x00\x1battributes-natural-language\x00\x02en\x03"
        )


if __name__ == "__main__":
    run(sys.argv, TARGETS, seeds, ignored=TicketError)
