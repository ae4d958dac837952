"""What a relay makes of servers that are not quite what the tests start."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from relay_server.errors import StartError
from relay_server.store.redis import url as redis_url
from relay_server.store.redis.nodes import Nodes


@asynccontextmanager
async def serving(answer):
    """Serve what ``answer`` says to a command and a port, in RESP; hang up when it says nothing."""

    tasks = []

    async def serve(reader, writer):
        tasks.append(asyncio.current_task())
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                await reader.readline()
                words.append((await reader.readline()).strip().decode())
            reply = answer(words, port)
            if not reply:
                break
            writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        nodes = Nodes(redis_url.parse(f"redis://127.0.0.1:{port}"))
        yield nodes
        await nodes.close()
        await asyncio.gather(*tasks)


def bulk(text):
    return f"${len(text)}\r\n{text}\r\n".encode()


@pytest.mark.parametrize("word", ["redis_mode", "server_mode"])
async def test_a_cluster_is_known_by_the_word_of_redis_and_by_that_of_valkey(word):
    def answer(words, port):
        if words[0] == "INFO":
            return bulk(f"# Server\r\nredis_version:7.2.4\r\n{word}:cluster\r\n")
        if words == ["CLUSTER", "INFO"]:
            return bulk("cluster_state:ok\r\n")
        if words == ["CLUSTER", "SLOTS"]:
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % port
        return b"+OK\r\n"

    async with serving(answer) as nodes:
        await nodes.open()

    assert nodes.cluster


async def test_a_redis_that_hangs_up_is_told_from_one_that_is_silent():
    async with serving(lambda *_: b"") as nodes:
        with pytest.raises(StartError, match="hangs up on this machine; see protected-mode"):
            await nodes.open()
