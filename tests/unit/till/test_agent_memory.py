"""What a sale leaves behind in memory once the console lists it no more: nothing."""

import pytest
from fakes import settle
from shop import Shop


@pytest.fixture
async def shop(tmp_path):
    made = Shop(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_a_sale_that_is_listed_no_more_is_not_followed_and_not_kept_in_memory(shop):
    async with shop.tablet():
        number = await shop.sell()
        await shop.phone(number, "opened")
        await shop.sell()
        record, desk = shop.agent._records[number], shop.agent._desks["Till 1"]
        assert record.ticket is not None

        desk.forget(record)
        await settle()
        before = shop.relay.calls["state"]
        await shop.clock.leap(24 * 3600, 600)

    assert record.ticket is None
    assert number not in desk._following
    assert number not in desk._forgetting
    asked = shop.relay.calls["state"] - before
    following = sum(len(tasks) for tasks in desk._following.values())
    assert following == 1  # the sale that is listed
    assert asked > 0
