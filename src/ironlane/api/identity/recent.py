"""What was found out lately: a bounded memory in which each entry has an end, and each question is asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from ironlane.model.errors import Temporary

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """An answer, and the moment (of the memory's clock) from which on it must not be used."""

    value: T
    until: float


class Recent(Generic[T]):
    """Answers by key.

    Whoever asks for a key that is being looked up waits for that look-up. What cannot be found out (an exception) is
    not kept. `size` is the number of answers at the most: the ones used longest ago are dropped.
    """

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._kept: OrderedDict[bytes, Found[T]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Found[T]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: bytes, look_up: Callable[[], Awaitable[Found[T]]]) -> T:
        """The answer for `key`: the kept one, or what `look_up` says."""
        if self.knows(key):
            self._kept.move_to_end(key)
            return self._kept[key].value
        task = self._asked.get(key)
        if task is None:
            task = asyncio.ensure_future(self._ask(key, look_up))
            self._asked[key] = task
            task.add_done_callback(_heard)
        # A client that goes away must not take the answer from the others who wait for it.
        return (await asyncio.shield(task)).value

    def knows(self, key: bytes) -> bool:
        """Whether there is an answer that still counts."""
        kept = self._kept.get(key)
        return kept is not None and kept.until > self._clock()

    def keep(self, key: bytes, found: Found[T]) -> None:
        """Keep an answer."""
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Keep nothing of what was known; look-ups under way are not kept either."""
        self._kept.clear()
        self._asked.clear()

    async def close(self) -> None:
        """End the look-ups that are under way."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: bytes, look_up: Callable[[], Awaitable[Found[T]]]) -> Found[T]:
        this = asyncio.current_task()
        try:
            found = await look_up()
        except asyncio.CancelledError:
            raise Temporary("the service is stopping") from None
        finally:
            current = self._asked.get(key) is this
            if current:
                del self._asked[key]
        if current:
            self.keep(key, found)
        return found


def _heard(task: asyncio.Task[Found[T]]) -> None:
    """An exception that nobody waits for any more is not worth a word in the log."""
    if not task.cancelled():
        task.exception()
