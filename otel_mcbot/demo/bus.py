"""The bot's event bus: one queue, one consumer task, handlers by event type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from loguru import logger

from .events import DROPPABLE, Event, EventType

Handler = Callable[[Any], Awaitable[None]]


@dataclass(slots=True)
class BusMetrics:
    """What the bus counts since it was made; ``max_queue_depth`` is the deepest that the queue ever was."""

    events_published: int = 0
    events_dispatched: int = 0
    events_dropped: int = 0
    handler_errors: int = 0
    max_queue_depth: int = 0

    def snapshot(self) -> dict[str, int]:
        return asdict(self)


class EventBus:
    """Publishes to handlers one event at a time, in order.

    A full queue drops events of :data:`~otel_mcbot.demo.events.DROPPABLE` types; publishing any other waits for room,
    unless a handler does it, which would wait for itself. A handler that fails is counted and logged and stops nobody
    else.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self.metrics = BusMetrics()
        self.capacity = capacity
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._handlers: dict[EventType, list[Handler]] = {}
        self._consumer: asyncio.Task[None] | None = None

    @property
    def queue_size(self) -> int:
        """Events that wait."""
        return self._queue.qsize()

    def subscribe(self, event_type: EventType, handler: Handler) -> None:
        self._handlers.setdefault(event_type, []).append(handler)

    def unsubscribe(self, event_type: EventType, handler: Handler) -> None:
        self._handlers[event_type].remove(handler)

    async def publish(self, event: Event) -> None:
        if self.queue_size >= self.capacity:
            if event.event_type in DROPPABLE:
                self.metrics.events_dropped += 1
                return
            while self.queue_size >= self.capacity and asyncio.current_task() is not self._consumer:
                self._taken.clear()
                await self._taken.wait()
        self._queue.put_nowait(event)
        self.metrics.events_published += 1
        self.metrics.max_queue_depth = max(self.metrics.max_queue_depth, self.queue_size)

    def start(self) -> None:
        self._consumer = asyncio.create_task(self._consume(), name="bus")

    async def drained(self) -> None:
        """Waits until every event so far went through its handlers."""
        await self._queue.join()

    async def stop(self) -> None:
        if self._consumer is not None:
            self._consumer.cancel()
            await asyncio.gather(self._consumer, return_exceptions=True)

    async def _consume(self) -> None:
        while True:
            event = await self._queue.get()
            self._taken.set()
            for handler in tuple(self._handlers.get(event.event_type, ())):
                try:
                    await handler(event)
                except Exception:
                    self.metrics.handler_errors += 1
                    logger.exception(
                        "Handler error: {} on {}", getattr(handler, "__qualname__", handler), event.event_type
                    )
            self.metrics.events_dispatched += 1
            self._queue.task_done()
