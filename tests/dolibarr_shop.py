"""A source at a fake Dolibarr, at a pace that tests can wait for."""

import asyncio
import contextlib
from dataclasses import replace

from fake_dolibarr import KEY

from e2ee_ticket.sources import Shop
from e2ee_ticket.sources.dolibarr import Dolibarr

BRISK = {"poll": 0.02, "unpaid": 0.1, "part_paid": 0.3, "told": 0.0, "first_wait": 0.02,
         "longest_wait": 0.05}  # fmt: skip


def make(fake, *, pace=None, lang="fr", **settings):
    """A source whose waits are short; `pace` changes some of them."""
    facts = {"url": fake.url, "key": KEY, "company": ["Epicerie du Test", "26000 Valence"]}
    source = Dolibarr("shop", Shop("Epicerie", lang=lang, now=fake.now), **(facts | settings))
    source.pace = replace(source.pace, **(BRISK | (pace or {})))
    return source


@contextlib.asynccontextmanager
async def running(source, keeper, *, begun=True):
    """Run a source; within, it has begun: what is sold from now on is its."""
    task = asyncio.create_task(source.run(keeper))
    try:
        if begun:
            await until(lambda: keeper.troubles, task)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(reached, task=None, seconds=15):
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not reached():
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(0.005)


async def turns(fake, count=3):
    """Wait until the list of sales was asked for a few times more."""
    goal = fake.asked["invoices"] + count
    await until(lambda: fake.asked["invoices"] >= goal)
