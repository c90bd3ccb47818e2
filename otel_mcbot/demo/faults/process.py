"""The process: a loop that hangs or lags, and memory, files, threads, tasks, CPU and garbage beyond what is healthy."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from loguru import logger

from .tools import beside, every

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

MEMORY = int(2.25 * 2**30)
"""Bytes that are taken."""

SPARE = 256 * 2**20
"""Bytes that must be left for others."""

PAIRS, THREADS, TASKS = 520, 60, 260
"""Pairs of sockets, threads and tasks; all beyond the usual limits of 1,000, 50 and 200."""

AGAIN = "MCBOT_DEMO_RESTARTED"
"""Set in the process that a restart began."""


# -- the loop ------------------------------------------------------------------------------------------------------


class _Stopped(BaseException):
    """A signal came while the loop hung."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGINT get through to a hung loop; what the bot does about them it does right after."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(_Stopped):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def hang(bot: Bot) -> AsyncIterator[None]:
    logger.error("a request without a time-out is made on the event loop")
    with _interruptible():
        time.sleep(bot.fault_seconds)
    yield


@asynccontextmanager
async def lag(bot: Bot) -> AsyncIterator[None]:
    async def block() -> None:
        logger.warning("candles are resampled on the event loop")
        with _interruptible():
            time.sleep(1.6)

    async with beside(every(3.0, block)):
        yield


# -- what a process has --------------------------------------------------------------------------------------------


def memory_left() -> int:
    """Bytes that may still be taken: of the machine, or of the limit that this process is under."""
    import psutil

    left = [psutil.virtual_memory().available]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            root = Path("/sys/fs/cgroup")
            left.append(int((root / limit).read_text()) - int((root / used).read_text()))
    return min(left)


def no_memory() -> str | None:
    """Why the memory cannot be taken, if it cannot."""
    left = memory_left()
    if left >= MEMORY + SPARE:
        return None
    return f"it takes {MEMORY / 2**30:.2f} GiB of memory, and there are {max(0, left - SPARE) / 2**30:.2f} GiB to spare"


def no_files() -> str | None:
    """Why so many files cannot be opened, if they cannot."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * PAIRS + 100
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return None
    return f"it opens {2 * PAIRS:,} files, and {hard:,} are allowed"


@asynccontextmanager
async def memory(bot: Bot) -> AsyncIterator[None]:
    logger.warning("an order book of every symbol is kept for ever")
    held: list[bytearray] = []
    enough = threading.Event()

    def take() -> None:
        for _ in range(MEMORY >> 26):
            if enough.wait(0.01):
                return
            block = bytearray(1 << 26)
            block[::4096] = b"\x01" * (len(block) // 4096)  # a page that was never written to takes no memory
            held.append(block)

    work = asyncio.get_running_loop().run_in_executor(None, take)
    try:
        yield
    finally:
        enough.set()
        await work
        held.clear()


@asynccontextmanager
async def files(bot: Bot) -> AsyncIterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * PAIRS + 200
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(hard, needed), hard)
        )
    logger.warning("sockets are opened and not closed")
    pairs = [socket.socketpair() for _ in range(PAIRS)]
    try:
        yield
    finally:
        for pair in pairs:
            for each in pair:
                each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def threads(bot: Bot) -> AsyncIterator[None]:
    over = threading.Event()
    logger.warning("each request has an executor of its own, and none is shut down")
    for number in range(THREADS):
        threading.Thread(target=over.wait, name=f"executor-{number}", daemon=True).start()
    try:
        yield
    finally:
        over.set()


@asynccontextmanager
async def tasks(bot: Bot) -> AsyncIterator[None]:
    logger.warning("each reconnect leaves its tasks behind")
    left = [asyncio.create_task(asyncio.Event().wait(), name=f"watch-{number}") for number in range(TASKS)]
    try:
        yield
    finally:
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def cpu(bot: Bot) -> AsyncIterator[None]:
    over = threading.Event()
    logger.warning("an optimiser runs in the bot's process")

    def burn() -> None:
        while not over.is_set():  # it lets go of the interpreter: the loop runs on
            hashlib.pbkdf2_hmac("sha256", b"parameters", b"salt", 100_000)

    workers = [threading.Thread(target=burn, name="optimiser", daemon=True) for _ in range(min(2, os.cpu_count() or 1))]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()


@asynccontextmanager
async def garbage(bot: Bot) -> AsyncIterator[None]:
    class Node:
        other: Node

    async def litter() -> None:
        for _ in range(10_000):
            one, two = Node(), Node()
            one.other, two.other = two, one
        gc.collect()

    logger.warning("the order book is a graph of cycles, collected by hand")
    async with beside(every(2.0, litter)):
        yield


# -- the end -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def restart(bot: Bot) -> AsyncIterator[None]:
    if AGAIN not in os.environ:
        logger.error("out of memory; the supervisor starts the bot anew")
        await asyncio.sleep(2.0)  # the line leaves the process before it does
        os.environ[AGAIN] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    yield


@asynccontextmanager
async def kill(bot: Bot) -> AsyncIterator[None]:
    logger.error("the kernel takes the process that uses most memory")
    await asyncio.sleep(2.0)
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(128 + signal.SIGKILL)  # the first process of a container cannot be killed from inside
    yield
