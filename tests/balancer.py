"""A balancer in front of servers, as a host would run one: each connection goes to the next."""

import asyncio
import contextlib
import itertools
import threading

CHUNK_SIZE = 64 * 1024


class Balancer:
    """Carries bytes, and lets a test hold everything back, as a cut network does."""

    def __init__(self, addresses):
        self._turns = itertools.cycle(addresses)
        self._loop = asyncio.new_event_loop()
        self._writers = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listening = threading.Event()
        self._thread.start()
        self._listening.wait(10)
        self.origin = f"http://127.0.0.1:{self.port}"

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._passing = asyncio.Event()
        self._passing.set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=512)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _carry(self, reader, writer):
        with contextlib.suppress(OSError):
            back_reader, back_writer = await asyncio.open_connection(*next(self._turns))
            self._writers |= {writer, back_writer}
            try:
                await asyncio.gather(
                    self._pass(reader, back_writer), self._pass(back_reader, writer)
                )
            finally:
                for end in (writer, back_writer):
                    self._writers.discard(end)
                    end.close()

    async def _pass(self, reader, writer):
        try:
            while chunk := await reader.read(CHUNK_SIZE):
                await self._passing.wait()
                writer.write(chunk)
                await writer.drain()
        finally:
            # Whoever hangs up is missed on the other side, too.
            writer.close()

    def hold(self):
        """Carry nothing, and tell nobody."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def release(self):
        self._loop.call_soon_threadsafe(self._passing.set)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
