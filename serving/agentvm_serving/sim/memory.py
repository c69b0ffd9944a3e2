"""The KV cache: blocks of tokens, counted, or shared by what prompts begin with.

As vLLM's block pool: a free block keeps what was in it until it is taken for something
else, the longest unused first, so that a prompt may find its beginning there. Of a
request that ends, the last blocks are taken first. Invariant: free and held
blocks are together all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from agentvm_serving.workload import Call
from agentvm_serving.workload.prefixes import block_keys

from .clients import Asked
from .engine import BLOCK


def blocks_of(tokens: int) -> int:
    """Blocks that so many tokens take."""
    return -(-tokens // BLOCK)


class Block:
    """One block whose contents others may look for."""

    __slots__ = ("key", "users")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.users = 1


class Holding:
    """What one request has of the cache, beside its anonymous blocks."""

    __slots__ = ("keys", "shared")

    def __init__(self, keys: Sequence[Hashable] = ()) -> None:
        self.keys = list(keys)
        """Of its first blocks, those that others, or it itself, may look for."""
        self.shared: list[Block] = []
        """Its first blocks, as far as they have keys and are computed."""


class Counted:
    """A cache that shares nothing: its blocks are only counted."""

    def __init__(self, blocks: int) -> None:
        self.free = blocks

    def holding(self, asked: Asked) -> Holding:
        """What a new request has: nothing as yet."""
        return Holding()

    def known(self, call: Call) -> int:
        """Tokens of a prompt that are in the cache."""
        return 0

    def left(self, holding: Holding, name: str, tokens: int) -> None:
        """A request that will come back gives so many tokens back."""
        self.give(holding, tokens)

    def found(self, holding: Holding, tokens: int) -> Sequence[Block]:
        """The blocks in the cache that a prompt of so many tokens begins with, but for its last token."""
        return ()

    def idle(self, found: Sequence[Block]) -> int:
        """How many of those nobody uses: they are free until somebody does."""
        return 0

    def adopt(self, holding: Holding, found: Sequence[Block]) -> None:
        """Use blocks that were found."""

    def take(self, count: int) -> None:
        """Take free blocks; there must be as many."""
        self.free -= count

    def computed(self, holding: Holding, tokens: int) -> None:
        """So many of a request's tokens are in the cache, or will be with this step."""

    def give(self, holding: Holding, tokens: int) -> None:
        """Give a request's blocks back, which hold so many tokens."""
        self.free += blocks_of(tokens)


class Shared(Counted):
    """A cache in which prompts find what others left there."""

    def __init__(self, blocks: int) -> None:
        super().__init__(blocks)
        self._known: dict[Hashable, list[Block]] = {}
        """Blocks by contents; two that were computed at once may have the same."""
        # Free blocks, the first to be taken first: known ones, and runs of others with their counts.
        self._queue: OrderedDict[object, int] = OrderedDict({object(): blocks})

    def holding(self, asked: Asked) -> Holding:
        call = asked.call
        return Holding(block_keys(call, BLOCK, call.input_tokens + asked.length) if call.prefix else ())

    def known(self, call: Call) -> int:
        keys = block_keys(call, BLOCK, call.input_tokens - 1) if call.prefix else []
        known = next((number for number, key in enumerate(keys) if key not in self._known), len(keys))
        return known * BLOCK

    def left(self, holding: Holding, name: str, tokens: int) -> None:
        holding.keys += [(name, number) for number in range(len(holding.keys), tokens // BLOCK)]
        self.give(holding, tokens)

    def found(self, holding: Holding, tokens: int) -> Sequence[Block]:
        found: list[Block] = []
        for key in holding.keys[: (tokens - 1) // BLOCK]:
            blocks = self._known.get(key)
            if blocks is None:
                break
            found.append(blocks[0])
        return found

    def idle(self, found: Sequence[Block]) -> int:
        return sum(not block.users for block in found)

    def adopt(self, holding: Holding, found: Sequence[Block]) -> None:
        for block in found:
            if not block.users:
                del self._queue[block]
                self.free -= 1
            block.users += 1
        holding.shared.extend(found)

    def take(self, count: int) -> None:
        self.free -= count
        while count:
            first, there = next(iter(self._queue.items()))
            taken = min(count, there)
            count -= taken
            if taken < there:
                self._queue[first] = there - taken
                continue
            del self._queue[first]
            if isinstance(first, Block):
                self._forget(first)

    def computed(self, holding: Holding, tokens: int) -> None:
        shared, full = holding.shared, tokens // BLOCK
        for key in holding.keys[len(shared) : full]:
            block = Block(key)
            self._known.setdefault(key, []).append(block)
            shared.append(block)

    def give(self, holding: Holding, tokens: int) -> None:
        self.computed(holding, tokens)
        shared, full, queue = holding.shared, tokens // BLOCK, self._queue
        self.free += blocks_of(tokens) - len(shared)
        if tokens % BLOCK:  # a block that is not full is of no use to anybody
            run = object()
            queue[run] = 1
            queue.move_to_end(run, last=False)
        if full > len(shared):
            queue[object()] = full - len(shared)
        for block in reversed(shared):
            block.users -= 1
            if not block.users:
                queue[block] = 1
                self.free += 1
        holding.shared = []

    def _forget(self, block: Block) -> None:
        blocks = self._known[block.key]
        blocks.remove(block)
        if not blocks:
            del self._known[block.key]
