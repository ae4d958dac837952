"""What tests of the console share: a shop with one sale, its time, and whoever came in."""

import pytest
from fake_floor import NOW, FakeFloor, make_sale
from fakes import Clock
from visitor import visiting


@pytest.fixture
def floor():
    return FakeFloor(sales=[make_sale(1)])


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
async def visitor(floor, tmp_path, clock):
    async with visiting(floor, tmp_path, clock) as entered:
        yield entered
