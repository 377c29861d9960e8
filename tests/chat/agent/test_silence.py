import asyncio

import pytest

from chat.agent.silence import until_silent


async def pieces(*pauses_s):
    for pause_s in pauses_s:
        await asyncio.sleep(pause_s)
        yield pause_s


async def test_what_comes_in_time_is_passed_on():
    read = [p async for p in until_silent(pieces(0, 0.01, 0), 5, total_limit_s=5)]
    assert read == [0, 0.01, 0]


@pytest.mark.parametrize(("limit_s", "total_limit_s"), [(0.05, 5), (5, 0.05)])
async def test_a_silence_ends_a_stream_and_so_does_the_end_of_its_time(limit_s, total_limit_s):
    stream = until_silent(pieces(0, 60), limit_s, total_limit_s=total_limit_s)
    assert await anext(stream) == 0
    with pytest.raises(TimeoutError):
        await anext(stream)


async def test_a_stream_that_never_pauses_ends_with_its_time_too():
    with pytest.raises(TimeoutError):
        async for _ in until_silent(pieces(*[0.01] * 10_000), 5, total_limit_s=0.1):
            pass


async def test_a_reader_that_takes_its_time_is_no_silence():
    read = []
    async for piece in until_silent(pieces(0, 0, 0), 0.05, total_limit_s=5):
        await asyncio.sleep(0.1)
        read.append(piece)
    assert read == [0, 0, 0]


async def test_a_cancel_stays_a_cancel():
    async def read():
        async for _ in until_silent(pieces(60), 60, total_limit_s=60):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
