"""The till's client and the relay, each written from spec/relay.md alone."""

import asyncio

import pytest
import relay_fakes
import relays

from e2ee_ticket.client import Hellos, RelayClient, RelayInfo, TicketState
from e2ee_ticket.errors import (
    AbsentError,
    BusyError,
    GoneError,
    PermitError,
    RefusedError,
    SupersededError,
    TakenError,
    TokenError,
    UnpairedError,
)
from e2ee_ticket.protocol import channel
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.protocol.envelope import SIZES, seal
from e2ee_ticket.protocol.link import Link
from e2ee_ticket.protocol.secret import Secret
from e2ee_ticket.protocol.ticket import Ticket
from relay_server.config import DAY, Config

TICKET = Ticket(receipt=b"%PDF-1.7\n%%EOF\n", title="Shop", total="1,00 €")
SECRET = Secret(bytes(range(32)))
P, WTOK = PairingSecret(bytes(range(32))), WriteToken(bytes(32))
OTHER = bytes([1]) * 32
HELLO = bytes(range(80))


@pytest.fixture
async def client(relay):
    async with RelayClient(relay.call.origin, permit=relay.call.permit) as client:
        yield client


@pytest.fixture
async def paired(client):
    await client.register(P.cid, channel.registration(P, WTOK))
    return client


async def test_a_ticket_goes_there_and_back(client):
    link = await client.send(TICKET)

    assert await client.fetch(Link.parse(link.reveal())) == TICKET


async def test_the_largest_envelope_goes_there_and_back(client):
    ticket = Ticket(receipt=bytes(SIZES[-1] - 1000))

    assert await client.fetch(await client.send(ticket)) == ticket


async def test_a_life_from_stored_to_received(client):
    token = SECRET.token()
    sealed = seal(TICKET, SECRET)

    stored = await client.put(SECRET.id, sealed, ttl=3 * DAY)
    again = await client.put(SECRET.id, sealed)
    await client.mark(SECRET.id, token, "opened")
    opened = await client.state(SECRET.id, token)
    await client.mark(SECRET.id, token, "received")
    received = await client.state(SECRET.id, token, since="opened", wait=20)

    assert stored == again == TicketState("stored", 3 * DAY)
    assert opened == TicketState("opened", DAY)
    assert received == TicketState("received", 15 * 60)


async def test_a_change_ends_the_wait_for_it(client):
    await client.put(SECRET.id, seal(TICKET, SECRET))
    waiting = asyncio.ensure_future(
        client.state(SECRET.id, SECRET.token(), since="stored", wait=25)
    )

    await client.mark(SECRET.id, SECRET.token(), "opened")

    assert (await waiting).state == "opened"


async def test_a_revoked_ticket_is_gone(client):
    await client.put(SECRET.id, seal(TICKET, SECRET))
    await client.mark(SECRET.id, SECRET.token(), "revoked")

    for ask in (
        client.get(SECRET.id),
        client.put(SECRET.id, seal(TICKET, SECRET)),
        client.mark(SECRET.id, SECRET.token(), "opened"),
    ):
        with pytest.raises(GoneError) as caught:
            await ask
        assert caught.value.reason == "revoked"
    assert await client.state(SECRET.id, SECRET.token()) == TicketState("revoked", 0)


async def test_what_is_wrong_has_its_name(client):
    await client.put(SECRET.id, seal(TICKET, SECRET))

    with pytest.raises(TakenError):
        await client.put(SECRET.id, seal(Ticket(receipt=b"%PDF-another"), SECRET))
    with pytest.raises(AbsentError):
        await client.get("0" * 32)
    with pytest.raises(TokenError):
        await client.mark(SECRET.id, OTHER, "opened")
    with pytest.raises(TokenError):
        await client.state(SECRET.id, OTHER)
    with pytest.raises(RefusedError, match="bad-length"):
        await client.put(SECRET.id, b"short")
    with pytest.raises(RefusedError, match="bad-ttl"):
        await client.put(SECRET.id, seal(TICKET, SECRET), ttl=59)


@pytest.mark.parametrize("size", [SIZES[0], SIZES[-1]])
async def test_a_permit_is_missed_however_large_the_envelope_is(relay, size):
    origin = relay.call.origin
    async with RelayClient(origin) as without, RelayClient(origin, permit="x" * 43) as wrong:
        with pytest.raises(PermitError, match="none is set"):
            await without.put(SECRET.id, bytes(size))
        with pytest.raises(PermitError, match="does not take this permit"):
            await wrong.put(SECRET.id, bytes(size))


async def upload_for_ever(client):
    while True:
        await client.put(SECRET.id, seal(TICKET, SECRET))


async def test_an_open_relay_asks_for_no_permit_but_for_patience(sqlite_store, clock):
    config = Config(open=True, sweep_seconds=10**9)
    async with (
        relays.serve(config, sqlite_store, clock) as relay,
        RelayClient(relay.call.origin) as client,
    ):
        assert (await client.info()).mode == "open"
        await client.put(SECRET.id, seal(TICKET, SECRET))
        with pytest.raises(BusyError) as caught:
            await upload_for_ever(client)

    assert caught.value.retry_after > 0


async def test_a_relay_tells_about_itself(client):
    assert await client.info() == RelayInfo(1, "closed", 4194304, 259200, 604800)


async def test_a_permit_is_tried_and_nothing_is_stored(relay, client):
    await client.try_permit()
    async with RelayClient(relay.call.origin, permit="x" * 43) as other:
        with pytest.raises(PermitError):
            await other.try_permit()

    with pytest.raises(AbsentError):
        await client.get("0" * 32)


async def test_a_hello_is_answered_once(relay, paired):
    token = WTOK.reveal()
    display = relay.call.start("POST", f"/v1/c/{P.cid}/hello", P.read_token() + HELLO)

    none = await paired.hellos(P.cid, token)
    seen = none if none.hellos else await paired.hellos(P.cid, token, held=none.etag)
    hid = channel.hello_id(HELLO)
    first = await paired.answer(P.cid, token, hid, b"s" * 512)
    again = await paired.answer(P.cid, token, hid, b"s" * 512)

    assert isinstance(seen, Hellos)
    assert seen.hellos == (HELLO,)
    assert (await display).body == b"s" * 512
    assert first is True
    assert again is True


async def test_a_hello_that_is_not_there_gets_no_answer(paired):
    assert await paired.answer(P.cid, WTOK.reveal(), "0" * 32, b"s" * 512) is False


async def test_nothing_new_is_none(paired):
    held = await paired.hellos(P.cid, WTOK.reveal())

    assert await paired.hellos(P.cid, WTOK.reveal(), held=held.etag, wait=0) is None


async def test_a_newer_till_ends_an_older_one(relay, paired):
    held = await paired.hellos(P.cid, WTOK.reveal())
    older = asyncio.ensure_future(paired.hellos(P.cid, WTOK.reveal(), held=held.etag))
    await relay_fakes.until(lambda: relay.waiting.requests == 1)

    await paired.hellos(P.cid, WTOK.reveal(), held=held.etag, wait=0)

    with pytest.raises(SupersededError):
        await older


async def test_a_channel_is_unpaired_for_good(paired):
    with pytest.raises(TokenError):
        await paired.unpair(P.cid, OTHER)

    await paired.unpair(P.cid, WTOK.reveal())
    await paired.unpair(P.cid, WTOK.reveal())

    with pytest.raises(UnpairedError):
        await paired.hellos(P.cid, WTOK.reveal())
    with pytest.raises(UnpairedError):
        await paired.answer(P.cid, WTOK.reveal(), "0" * 32, b"s" * 512)
    with pytest.raises(UnpairedError):
        await paired.register(P.cid, channel.registration(P, WTOK))


async def test_a_channel_that_nobody_registered_is_absent(client):
    with pytest.raises(AbsentError):
        await client.hellos(P.cid, WTOK.reveal())
    with pytest.raises(AbsentError):
        await client.answer(P.cid, WTOK.reveal(), "0" * 32, b"s" * 512)


async def test_other_hashes_do_not_take_a_channel(paired):
    await paired.register(P.cid, channel.registration(P, WTOK))

    with pytest.raises(TakenError):
        await paired.register(P.cid, channel.registration(P, WriteToken(OTHER)))
