"""Charts over time."""

from console.curves import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Value, chart


def test_an_unknown_value_leaves_a_gap_in_line_and_band() -> None:
    values = [Value(0, 50, 40, 60), Value(10, 60, 50, 70), Value(20, None), Value(30, 70, 60, 80)]
    drawn = chart(values, 100, (0, 100), lambda at, span: f"{at:g}/{span:g}")
    assert drawn is not None
    assert drawn.line.count("M") == drawn.band.count("M") == 2
    assert [dot.number for dot in drawn.dots] == [0, 1, 3]
    assert drawn.across[0].text == "0/30"
    assert drawn.across[-1].at == WIDTH - RIGHT


def test_values_stand_where_the_axes_say_and_never_outside() -> None:
    drawn = chart([Value(0, 0), Value(1, 1), Value(2, 7)], 1, (0, 1), lambda at, span: "")
    assert drawn is not None
    low, high = drawn.up[0].at, drawn.up[1].at
    assert [dot.y for dot in drawn.dots] == [low, high, high]
    assert drawn.dots[0].x == LEFT and high == TOP and low < HEIGHT


def test_a_mark_outside_the_time_shown_is_left_out() -> None:
    drawn = chart([Value(10, 1), Value(20, 1)], 1, (), lambda at, span: "", [(5, "before"), (15, "within")])
    assert drawn is not None
    assert [mark.text for mark in drawn.marks] == ["within"]


def test_one_value_is_drawn_and_none_is_not() -> None:
    assert chart([Value(10, 1)], 1, (), lambda at, span: "") is not None
    assert chart([Value(10, None)], 1, (), lambda at, span: "") is None
    assert chart([], 1, (), lambda at, span: "") is None
