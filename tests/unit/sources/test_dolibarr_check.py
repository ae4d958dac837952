"""What the check finds, and whether its hints say what to tick."""

import asyncio
import ssl
import subprocess

import pytest
from aiohttp import web
from dolibarr_shop import make
from fake_dolibarr import ALL_PARTIES, READ, WRITE, FakeDolibarr

from e2ee_ticket.sources.dolibarr.certificate import unknown_certificate
from e2ee_ticket.sources.dolibarr.client import Client, DolibarrError
from e2ee_ticket.sources.dolibarr.settings import read_ca_file


@pytest.fixture
async def fake():
    async with FakeDolibarr() as fake:
        yield fake


async def ills(source):
    return [finding for finding in await source.check() if not finding.ok]


async def texts(source):
    return " · ".join(finding.text for finding in await source.check())


async def test_all_is_well(fake):
    fake.sell()

    findings = await make(fake).check()

    assert all(finding.ok and finding.hint is None for finding in findings)
    assert "Dolibarr 20.0.2 answers" in findings[0].text


async def test_the_check_changes_nothing(fake):
    fake.rights.add(WRITE)
    fake.sell()
    before = repr((fake.invoices, fake.documents))

    await make(fake, receipt="pdf", builddoc=True).check()

    assert repr((fake.invoices, fake.documents)) == before
    assert fake.built == []


async def test_a_wrong_key(fake):
    [finding] = await ills(make(fake, key="wrong"))

    assert "does not accept the API key" in finding.text
    assert "Clé pour l'API" in finding.hint
    assert not finding.later


async def test_right_11(fake):
    fake.rights.clear()

    [finding] = await ills(make(fake))

    assert "right 11 is missing" in finding.text
    assert "Read customer invoices" in finding.hint
    assert "Consulter les factures clients" in finding.hint


@pytest.mark.parametrize("sees_itself", [True, False])
@pytest.mark.parametrize("nothing_is_404", [True, False])
async def test_right_262_is_missed_though_the_list_is_silent(fake, sees_itself, nothing_is_404):
    fake.sell()
    fake.rights.discard(ALL_PARTIES)
    fake.sees_itself, fake.nothing_is_404 = sees_itself, nothing_is_404

    [finding] = await ills(make(fake))

    assert "right 262 is missing" in finding.text
    assert "Extend access to all third parties" in finding.hint
    assert "Étendre l'accès à tous les tiers" in finding.hint


async def test_right_262_is_missed_where_a_list_by_third_parties_is_cut_too(fake):
    fake.sell()
    fake.rights.discard(ALL_PARTIES)
    fake.invoices[1]["socid"] = "5000"  # of a third party that is not asked for

    [finding] = await ills(make(fake))

    assert "right 262 is missing" in finding.text


@pytest.mark.parametrize("sees_itself", [True, False])
async def test_a_shop_that_has_sold_nothing_is_not_taken_for_a_missing_right(fake, sees_itself):
    fake.sees_itself = sees_itself

    assert await ills(make(fake)) == []
    assert "no sale" in await texts(make(fake))


async def test_right_12_is_wanted_only_where_pdfs_are_to_be_made(fake):
    fake.sell()

    assert await ills(make(fake, receipt="pdf")) == []
    [finding] = await ills(make(fake, receipt="pdf", builddoc=True))
    fake.rights.add(WRITE)

    assert await ills(make(fake, receipt="pdf", builddoc=True)) == []
    assert "right 12 is missing" in finding.text
    assert "Créer/modifier les factures clients" in finding.hint


async def test_a_sale_without_a_pdf_is_told(fake):
    fake.sell(pdf=False)

    assert "the last sale has no PDF" in await texts(make(fake, receipt="pdf"))


async def test_terminals_that_no_till_is_named_for(fake):
    fake.sell(terminal="1")
    fake.sell(terminal="3")

    said = await texts(make(fake, tills={"1": "Till 1", "2": "Till 2"}))

    assert "terminal 1 is Till 1" in said
    assert "terminal 2 (Till 2) is in none of the last sales" in said
    assert "sales at terminal 3 are left alone" in said
    assert "TakePOS sells at terminal 1, 3; all go to one till" in await texts(make(fake))


async def test_terminals_that_all_have_a_till(fake):
    fake.sell(terminal="1")

    assert "left alone" not in await texts(make(fake, tills={"1": "Till 1"}))


async def test_an_administrators_key_is_too_mighty(fake):
    fake.admin = True
    fake.sell()

    assert "administrator" in await texts(make(fake))
    assert await ills(make(fake)) == []


async def test_a_clock_that_is_wrong(fake):
    fake.clock_offset = 3600

    assert "differ by 60 minutes" in await texts(make(fake))


async def test_an_old_version_and_a_locked_one(fake):
    fake.version, fake.locked = "17.0.1", "admin"

    said = await texts(make(fake))

    assert "older than" in said
    assert "locked for all but one user" in said


@pytest.mark.parametrize(
    ("trouble", "said", "later"),
    [
        ("maintenance", "maintained", True),
        ("login", "a web page answers", True),
        ("api_off", "REST API is switched off", True),
        ("none", "no Dolibarr at this address", True),
        ("rule", "forbids", False),
        ("number", "switched off", True),
    ],
)
async def test_an_address_that_is_not_dolibarrs_api(fake, trouble, said, later):
    fake.trouble = trouble

    [finding] = await ills(make(fake))

    assert said in finding.text
    assert finding.hint
    assert finding.later == later


async def test_php_that_writes_warnings(fake):
    async def warn(_):
        text = '<br />\n<b>Warning</b>:  Undefined variable<br />\n{"success":{}}'
        return web.Response(text=text, content_type="text/html")

    fake._trouble_warn, fake.trouble = warn, "warn"

    [finding] = await ills(make(fake))

    assert "PHP warnings" in finding.text
    assert "display_errors" in finding.hint


async def test_another_api_is_not_dolibarrs(fake):
    async def other(_):
        return web.json_response({"hello": "world"})

    fake._trouble_other, fake.trouble = other, "other"

    assert "not as Dolibarr's does" in (await ills(make(fake)))[0].text


async def test_https_where_the_server_has_none(fake):
    [finding] = await ills(make(fake, url=fake.url.replace("http", "https")))

    assert "no encrypted connection" in finding.text
    assert "http://" in finding.hint


async def test_nothing_there():
    fake = FakeDolibarr()
    fake.url = "http://127.0.0.1:9"

    [finding] = await ills(make(fake))

    assert "nothing answers" in finding.text
    assert finding.later


async def test_an_unencrypted_address_on_the_internet_is_warned_of(fake):
    findings = await make(fake, url="http://e2ee-ticket.invalid/dolibarr").check()

    assert "for all to read" in findings[0].text
    assert "name is not found" in findings[1].text


async def test_a_webhook_that_cannot_listen(fake):
    secret = "canary-webhook-secret-0123"
    port = fake.url.rpartition(":")[2]

    [finding] = await ills(make(fake, webhook=f"127.0.0.1:{port}", webhook_secret=secret))

    assert "cannot be listened at" in finding.text


@pytest.fixture
def certificate(tmp_path):
    """A server's TLS with a certificate that nobody has signed."""
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-days", "2", "-keyout", files[0], "-out", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


async def test_a_certificate_of_ones_own_is_trusted_where_its_file_is_named(certificate, tmp_path):
    asked = []
    runner = web.AppRunner(web.Application(middlewares=[_noting(asked)]))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"

    trusted = read_ca_file(str(tmp_path / "cert.pem"))
    with pytest.raises(DolibarrError, match="no Dolibarr at this address"):
        await Client(url, "canary", trusted=trusted).get("status")

    await runner.cleanup()
    assert asked


async def test_a_certificate_that_nobody_knows_is_shown_by_its_fingerprint(certificate, tmp_path):
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/dolibarr"

    found = await asyncio.to_thread(unknown_certificate, url)
    plain = await asyncio.to_thread(unknown_certificate, url.replace("https", "http"))
    nobody = await asyncio.to_thread(unknown_certificate, "https://127.0.0.1:9")

    await runner.cleanup()
    pem = (tmp_path / "cert.pem").read_text(encoding="ascii")
    told = await asyncio.to_thread(
        subprocess.run,
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", tmp_path / "cert.pem"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert found.pem.split() == pem.split()
    assert told.stdout.strip().endswith(found.fingerprint)
    assert plain is None
    assert nobody is None


async def test_a_certificate_that_nobody_knows_is_refused(certificate):
    asked = []
    runner = web.AppRunner(web.Application(middlewares=[_noting(asked)]))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"

    with pytest.raises(DolibarrError, match="certificate is not valid") as caught:
        await Client(url, "canary").get("status")
    with pytest.raises(DolibarrError, match=r"no encrypted|broke") as plain:
        await Client(url.replace("https", "http"), "canary").get("status")

    await runner.cleanup()
    assert "clock" in caught.value.hint
    assert plain.value.hint
    assert asked == []


def _noting(asked):
    @web.middleware
    async def note(request, handler):
        asked.append(request.path)
        return await handler(request)

    return note


@pytest.mark.parametrize(
    "path", ["invoices/1$", "users/info", "documents/download", "documents/builddoc", "invoices$"]
)
async def test_a_failure_in_the_middle_is_one_line(fake, path):
    fake.rights.add(WRITE)
    if path != "invoices/1$":
        fake.sell()
    fake.trouble, fake.trouble_paths = "inside", path

    findings = await make(fake, receipt="pdf", builddoc=True).check()

    assert "failed inside" in findings[-1].text
    assert findings[-1].later


async def test_a_shop_without_sales_has_no_pdf_to_look_at(fake):
    assert "PDF" not in await texts(make(fake, receipt="pdf"))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, '{"dolibarr": NaN}', "switched off"),
        (200, "<html>" + "x" * 3000, "a web page answers"),
        (200, "x" * 3000, "a web page answers"),
        (418, '{"error": {}}', r"refuses our request \(418\)"),
        (401, "<html>Basic</html>", r"web server before Dolibarr refuses us \(401\)"),
        (403, "", r"web server before Dolibarr refuses us \(403\)"),
        (500, "", r"server failed \(500\)"),
        (504, "<html>", r"maintained or overloaded \(504\)"),
        (302, "", "the address leads on, where"),
    ],
)
async def test_what_an_answer_means(fake, status, body, said):
    async def answer(_):
        return web.Response(status=status, text=body, headers={"Date": "yesterday"})

    fake._trouble_answer, fake.trouble = answer, "answer"

    with pytest.raises(DolibarrError, match=said):
        await Client(fake.url, fake.key).get("status")


async def test_a_clock_that_cannot_be_read_is_none(fake):
    async def answer(_):
        return web.json_response({}, headers={"Date": "yesterday"})

    fake._trouble_answer, fake.trouble = answer, "answer"

    assert (await Client(fake.url, fake.key).get("status")).clock is None


async def test_only_json_objects_and_lists_are_answers(fake):
    fake.trouble = "number"

    with pytest.raises(DolibarrError):
        await Client(fake.url, fake.key).get("status")


async def test_an_error_with_status_200_is_an_error(fake):
    async def error(_):
        return web.json_response({"error": {"code": 500}})

    fake._trouble_error, fake.trouble = error, "error"

    with pytest.raises(DolibarrError, match="refuses our request"):
        await Client(fake.url, fake.key).get("status")


async def test_retry_after_is_believed_within_reason(fake):
    async def often(_):
        return web.json_response({}, status=429, headers={"Retry-After": "9999999"})

    fake._trouble_often, fake.trouble = often, "often"

    with pytest.raises(DolibarrError) as caught:
        await Client(fake.url, fake.key).get("status")

    assert caught.value.wait_seconds == 600


async def test_a_folder_in_the_address(fake):
    assert await ills(make(fake, url=f"{fake.url}/dolibarr/")) == []


async def test_read_right_alone_is_enough_for_a_receipt_that_is_drawn(fake):
    fake.sell()

    assert fake.rights == {READ, ALL_PARTIES}
    assert await ills(make(fake)) == []
