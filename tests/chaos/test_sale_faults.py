"""Whole sales in which something goes wrong: nothing is lost, and nobody sees another's code."""

import itertools

import pytest
import stage
from cable import Cable
from screens import Tablet, digest

pytestmark = pytest.mark.browser

PUT = "PUT /v1/t/"
GET = "GET /v1/t/"


@pytest.fixture
def display(till, tablet):
    """A display that is paired with the till under the name `Till 1`."""
    tablet.pair(pairing_link(till))
    tablet.page.wait_for_selector("#idleName:not(:empty)")
    assert tablet.state == "idle"
    return tablet


@pytest.fixture
def line(relay, till):
    """The till's own way to the relay, which a test can hold and cut; phones have another."""
    with Cable(relay.port) as laid:
        till.environment |= {"E2EE_TICKET_RELAY": laid.origin, "E2EE_TICKET_PAGE": relay.origin}
        yield laid


def pairing_link(till):
    return till.run("display", "add", "Till 1", "--link", "--no-wait").stdout.strip()


def sell(till, *options):
    return stage.Sale(till, "--display", "Till 1", "--wait", *options, stage.INVOICE)


def check(sale, saved):
    """A sale that went well in spite of everything."""
    ended, said = sale.end(60)
    assert digest(saved) == digest(stage.INVOICE.read_bytes())
    assert ended == 0, said
    assert "opened" in sale.states
    return said


# The display


@pytest.mark.rule("C24")
def test_the_display_is_reloaded_in_the_middle(till, display, phone):
    with sell(till) as sale:
        code = display.wait_for_qr()
        display.states.clear()
        display.page.reload()

        assert display.wait_for_qr() == code
        assert display.story()[:2] == ["idle", "ticket"]
        phone.open(code).wait("ready")
        saved, _ = phone.save()
        display.wait("thanks")
        check(sale, saved)


@pytest.mark.rule("C22")
def test_the_display_is_hidden_in_the_middle(till, display, phone):
    with sell(till) as sale:
        code = display.wait_for_qr()
        display.hide()
        assert display.qr() is None

        display.show()
        assert display.wait_for_qr() == code
        phone.open(code).wait("ready")
        check(sale, phone.save()[0])


@pytest.mark.rule("C37")
def test_the_display_is_away_during_the_whole_sale(till, display, phone, tmp_path):
    display.close_page()
    picture = tmp_path / "code.png"

    with sell(till, "--png", picture) as sale:
        sale.wait_for_word("the code is shown here instead")
        phone.open(stage.read_qr(picture.read_bytes())).wait("ready")
        check(sale, phone.save()[0])

    assert "shown" not in sale.states


# The relay


def test_the_relay_dies_before_the_upload_has_ended(line, till, relay, display, phone):
    cut = line.cut_request(PUT, 20_000)

    with sell(till) as sale:
        assert cut.met.wait(20)
        relay.kill()
        sale.wait_for_word("relay is away")
        assert "stored" not in sale.states
        relay.start()

        code = display.wait_for_qr(60)
        phone.open(code).wait("ready")
        check(sale, phone.save()[0])


def test_the_relay_dies_after_the_upload(till, relay, display, phone):
    with sell(till) as sale:
        code = display.wait_for_qr()
        sale.wait_for_state("stored")
        relay.restart()

        phone.open(code).wait("ready")
        check(sale, phone.save()[0])


def test_the_relay_dies_between_opened_and_saved(till, relay, display, phone):
    with sell(till) as sale:
        phone.open(display.wait_for_qr()).wait("ready")
        sale.wait_for_state("opened")
        relay.kill()

        saved, _ = phone.save()

        relay.start()
        check(sale, saved)


def test_the_relay_is_away_when_the_sale_begins(till, relay, display, phone, tmp_path):
    picture = tmp_path / "code.png"
    relay.kill()
    display.wait("offline")

    with sell(till, "--png", picture) as sale:
        sale.wait_for_word("relay is away")
        code = stage.read_qr(picture.read_bytes())
        relay.start()

        phone.open(code).wait("ready", seconds=60)
        check(sale, phone.save()[0])


def test_the_phone_waits_while_the_till_has_no_network(till, line, phone, tmp_path):
    picture = tmp_path / "code.png"
    away = line.answer("", b"", times=10**6)

    with stage.Sale(till, "--wait", "--png", picture, stage.INVOICE) as sale:
        sale.wait_for_word("relay is away")
        phone.open(stage.read_qr(picture.read_bytes())).wait("waiting")
        away.release()

        phone.wait("ready", seconds=60)
        check(sale, phone.save()[0])


def test_a_sale_that_is_given_up_without_a_relay_is_delivered_later(till, relay, phone, tmp_path):
    picture = tmp_path / "code.png"
    relay.kill()
    with stage.Sale(till, "--png", picture, stage.INVOICE) as sale:
        sale.wait_for_word("relay is away")
        ended, said = sale.stop()
    relay.start()

    till.run("outbox", "flush")

    assert ended == 130
    assert "kept in the outbox" in said
    phone.open(stage.read_qr(picture.read_bytes())).wait("ready")
    assert digest(phone.save()[0]) == digest(stage.INVOICE.read_bytes())


# The phone


def test_the_phone_is_faster_than_the_upload(till, line, display, phone):
    held = line.hold(PUT)

    with sell(till) as sale:
        code = display.wait_for_qr()
        assert held.met.wait(20)
        phone.open(code).wait("waiting")
        assert "stored" not in sale.states
        held.release()

        phone.wait("ready")
        check(sale, phone.save()[0])


def test_the_phones_download_is_cut_several_times(till, display, phone, cable):
    cuts = [cable.cut_answer(GET, after) for after in (9_000, 1, 0)]

    with sell(till) as sale:
        code = display.wait_for_qr()
        sale.wait_for_state("stored")
        phone.open(cable.origin + "/#" + code.partition("#")[2]).wait("ready", seconds=40)
        check(sale, phone.save()[0])

    assert all(cut.met.is_set() for cut in cuts)


def test_the_phones_word_that_it_has_it_is_lost_once(till, display, phone, cable):
    lost = cable.answer("POST /v1/t/", b"", times=2)

    with sell(till) as sale:
        code = display.wait_for_qr()
        sale.wait_for_state("stored")
        phone.open(cable.origin + "/#" + code.partition("#")[2]).wait("ready")
        check(sale, phone.save()[0])

    assert lost.met.is_set()


# Two customers


def test_nobody_sees_the_code_of_another_customer(till, display):
    seen = []
    with sell(till, "--total", "1,00 €") as first:
        seen.append(display.wait_for_qr())
        first.wait_for_state("shown")

        with sell(till, "--total", "2,00 €") as second:
            display.states.clear()
            while "shown" not in second.states:
                seen.append(display.qr())
            seen.extend(display.qr() for _ in range(5))
            story = display.story()
            total = display.text("#total")
            first.wait_for_word("another till drives this display now")
            second.stop()
        first.stop()

    codes = [code for code, _ in itertools.groupby(seen) if code]
    assert len(codes) == 2  # never the first again, after the second
    assert story[-2:] == ["idle", "ticket"]  # idle is between them
    assert total == "2,00 €"


def test_the_code_of_a_till_that_died_is_not_shown_to_the_next_customer(till, display, phone):
    with sell(till, "--total", "1,00 €") as first:
        old = display.wait_for_qr()
        first.process.kill()
        first.process.wait()
    display.states.clear()
    display.page.reload()

    with sell(till, "--total", "2,00 €") as second:
        code = display.wait_for_qr()
        phone.open(code).wait("ready")
        check(second, phone.save()[0])

    assert code != old
    assert display.story()[:2] == ["idle", "ticket"]


@pytest.mark.rule("C34")
@pytest.mark.rule("C35")
def test_a_second_screen_on_the_pairing_link_sees_no_ticket(till, screen, tmp_path):
    link = pairing_link(till)
    tablet, thief = screen(Tablet), screen(Tablet)
    for one in (tablet, thief):
        one.pair(link).wait("idle")
    picture = tmp_path / "code.png"

    with sell(till, "--png", picture) as sale:
        sale.wait_for_word("the code is shown here instead")
        sale.wait_for_word("another screen is listening on this display's channel", seconds=60)
        assert "ticket" not in tablet.states + thief.states

        thief.close()
        assert tablet.wait_for_qr(40) == stage.read_qr(picture.read_bytes())
        sale.wait_for_state("shown")
        sale.stop()
