"""An engine's processes pause while they wait for each other."""

from __future__ import annotations

import threading
import time

import pytest
from vllm.distributed.device_communicators import shm_broadcast

from agentvm_serving.vllm import resting


@pytest.fixture
def queue(monkeypatch):
    """Both ends of one of vLLM's queues."""
    monkeypatch.setattr(shm_broadcast, "sched_yield", shm_broadcast.sched_yield)  # restored in the end
    resting.rest()
    writer = shm_broadcast.MessageQueue(1, 1)
    reader = shm_broadcast.MessageQueue.create_from_handle(writer.export_handle(), 0)
    together = threading.Thread(target=writer.wait_until_ready)
    together.start()
    reader.wait_until_ready()
    together.join()
    return writer, reader


def test_who_waits_takes_hardly_any_processor_time(queue):
    """Also right after a message."""
    writer, reader = queue
    writer.enqueue("first")
    assert reader.dequeue(timeout=10) == "first"
    later = threading.Timer(0.5, writer.enqueue, ["second"])
    began = time.process_time()
    later.start()
    assert reader.dequeue(timeout=10) == "second"
    assert time.process_time() - began < 0.25
    later.join()


def test_many_messages_come_in_order(queue):
    """Pauses lose none, more than fit into the queue."""
    writer, reader = queue
    sent = threading.Thread(target=lambda: [writer.enqueue(number) for number in range(100)])
    sent.start()
    assert [reader.dequeue(timeout=10) for _ in range(100)] == list(range(100))
    sent.join()


def test_another_vllm_is_left_as_it_is(monkeypatch, caplog):
    """And that is said."""
    monkeypatch.delattr(shm_broadcast, "sched_yield")
    resting.rest()
    assert "take a core between steps" in caplog.text
