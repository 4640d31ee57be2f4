"""A dictionary of two generations: nothing in use is let go, everything idle leaves, a little at a time."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from streams.model.generations import Generations


class GenerationsMachine(RuleBasedStateMachine):
    """Compared with a plain dictionary and the number of ages since each key's last use."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.generations: Generations[int, list[int]] = Generations()
        self.kept: dict[int, list[int]] = {}
        self.idle: dict[int, int] = {}

    @rule(target=keys, key=st.integers(0, 30))
    def put(self, key: int) -> int:
        if self.generations.get(key) is None:
            self.generations.young[key] = self.kept[key] = [key]
        self.idle[key] = 0
        return key

    @rule(key=keys)
    def use(self, key: int) -> None:
        assert self.generations.get(key) is self.kept.get(key)
        if key in self.kept:
            self.idle[key] = 0

    @rule(steps=st.integers(1, 5))
    def age(self, steps: int) -> None:
        if self.generations.age(steps):
            for key in self.idle:
                self.idle[key] += 1

    @rule()
    def leave(self) -> None:
        for key, value in self.generations.leave():
            assert value is self.kept.pop(key)
            assert self.idle.pop(key) >= 1

    @invariant()
    def holds_what_was_not_let_go(self) -> None:
        assert len(self.generations) == len(self.kept)
        assert sorted(value[0] for value in self.generations) == sorted(self.kept)


TestGenerations = GenerationsMachine.TestCase


@given(st.integers(1, 200), st.integers(1, 30))
def test_everything_idle_leaves_in_as_many_steps_as_said(count: int, steps: int) -> None:
    generations: Generations[int, str] = Generations()
    for key in range(count):
        generations.young[key] = "value"
    assert generations.leave() == []
    assert generations.age(steps)
    left = [generations.leave() for _ in range(steps)]
    assert sum(map(len, left)) == count and len(generations) == 0
    assert max(map(len, left)) <= -(-count // steps)


def test_an_older_generation_leaves_before_the_next_one_ages() -> None:
    generations: Generations[int, str] = Generations()
    generations.young.update({1: "a", 2: "b"})
    assert generations.age(2)
    generations.young[3] = "c"
    assert not generations.age(2)
    assert generations.leave() == [(1, "a")]
    assert generations.leave() == [(2, "b")]
    assert generations.age(1)
    assert generations.leave() == [(3, "c")]


def test_what_is_used_again_does_not_leave() -> None:
    generations: Generations[int, str] = Generations()
    generations.young.update({1: "a", 2: "b"})
    assert generations.age(1)
    assert generations.get(1) == "a"
    assert generations.leave() == [(2, "b")]
    assert generations.get(1) == "a" and generations.get(2) is None
