"""What Kafka says while its brokers come and go is no answer, and no reason to end."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas import topics
from streams.runtime import clients
from streams.runtime.local import LocalKafka
from streams.runtime.patience import CHANGING, patiently
from streams.runtime.settings import load_settings

PLACE = TopicPartition(topics.EVENTS.name, 0)


class Asked:
    """A Kafka that answers with these errors first, and remembers how long each question might take."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.given: list[float] = []

    def __call__(self, left: float) -> str:
        self.given.append(left)
        if self._codes:
            raise KafkaException(KafkaError(self._codes.pop(0)))
        return "answer"


def test_it_asks_again_while_the_cluster_changes_with_the_time_that_is_left() -> None:
    asked = Asked(KafkaError.NOT_COORDINATOR, KafkaError._UNKNOWN_PARTITION)
    assert patiently(asked, 30.0) == "answer"
    assert 30.0 >= asked.given[0] > asked.given[1] > asked.given[2] > 0.0


def test_without_an_end_it_asks_without_one() -> None:
    asked = Asked(KafkaError.NOT_LEADER_FOR_PARTITION)
    assert patiently(asked, -1) == "answer"
    assert asked.given == [-1, -1]


def test_librdkafka_itself_calls_none_of_it_retriable() -> None:
    assert not any(KafkaError(code).retriable() for code in CHANGING), "is CHANGING still needed?"


def test_what_is_an_answer_is_raised_at_once() -> None:
    asked = Asked(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        patiently(asked, 30.0)
    assert len(asked.given) == 1


def test_what_does_not_end_in_time_is_raised() -> None:
    asked = Asked(*[KafkaError.NOT_COORDINATOR] * 1_000)
    with pytest.raises(KafkaException, match="NOT_COORDINATOR"):
        patiently(asked, 0.3)
    assert 2 <= len(asked.given) <= 4


@pytest.mark.slow
def test_a_reader_has_its_answers_while_the_broker_is_restarted(local_kafka: LocalKafka) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap)
    committed, bounds = (clients.consumer(settings, "patient", log_level=0) for _ in range(2))
    committed.commit(offsets=[TopicPartition(PLACE.topic, PLACE.partition, 7)], asynchronous=False)
    enough = threading.Event()

    def ask() -> Iterator[tuple[int, int, int]]:
        while not enough.is_set():
            (place,) = committed.committed([PLACE], timeout=60)
            yield (place.offset, *bounds.get_watermark_offsets(PLACE, timeout=60))

    with ThreadPoolExecutor() as pool:
        answers = pool.submit(lambda: Counter(ask()))
        # The broker lives as long as the thread that started it.
        local_kafka.restart()
        # It answers already, while coordinator and leaders are still being found.
        enough.wait(3)
        enough.set()
        assert set(answers.result(120)) == {(7, 0, 0)}
    committed.close()
    bounds.close()
