"""Every rule of the corridor map: the message, its line and column, and what to do."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import document
from schemas.errors import UsageError
from schemas.loader import MAX_PROBLEMS, Problem, check, load_map

MAPS = Path(__file__).resolve().parents[2] / "schemas" / "maps"
HEAD = "corridor: shop\nlabel: {en: Shop, es: Tienda}\n"
GOAL = "  - {name: web.buy, label: {en: Buy, es: Compra}, channel: web, stage: during, goal: true}\n"
SEARCH = "  - {name: web.search, label: {en: Search, es: Busca}, channel: web, stage: before}\n"
#: Lines 1 to 5; what a test adds begins in line 6.
VALID = HEAD + "touchpoints:\n" + GOAL + SEARCH


@pytest.fixture
def problems(tmp_path: Path):
    """Problems of a text, with the path taken off."""

    def of(text: str | bytes) -> list[Problem]:
        file = tmp_path / "map.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = check(file)
        assert all(problem.file == str(file) for problem in found)
        return found

    return of


def places(problems: list[Problem]) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.what) for problem in problems]


@pytest.mark.parametrize("name", ["retail", "olist", "support"])
def test_a_map_we_ship_is_valid(name: str) -> None:
    corridor = load_map(MAPS / f"{name}.yaml")
    assert corridor.corridor == name
    assert corridor.transitions
    assert all(touchpoint.label.en and touchpoint.label.es for touchpoint in corridor.touchpoints)


def test_a_valid_map_is_read_with_its_defaults_and_durations(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(VALID + "defaults: {tolerable_wait: 1.5min, weights: {rating: 5}}\n")
    corridor = load_map(file)
    assert corridor.defaults.tolerable_wait == 90.0
    assert corridor.weights(corridor.touchpoints[0])["rating"] == 5
    assert corridor.weights(corridor.touchpoints[0])["outcome"] == 2


SINGLE_PROBLEMS = {
    "an unknown key at the top": (
        VALID + "segment: []\n",
        (6, 1, "the map has the unknown key `segment`"),
        "did you mean `segments`?",
    ),
    "an unknown key in a touchpoint": (
        VALID + "  - name: a\n    label: {en: a, es: a}\n    chanel: web\n    channel: web\n    stage: after\n",
        (8, 5, "touchpoints[2] has the unknown key `chanel`"),
        "did you mean `channel`?",
    ),
    "an unknown component": (
        VALID + "defaults:\n  weights: {ratings: 3}\n",
        (7, 13, "defaults.weights has the unknown key `ratings`"),
        "did you mean `rating`?",
    ),
    "a missing key": (
        VALID + "  - {name: a, channel: web, stage: after}\n",
        (6, 5, "touchpoints[2] has no `label`"),
        "add `label:`",
    ),
    "a value outside its choices": (
        VALID + "  - {name: a, label: {en: a, es: a}, channel: wep, stage: after}\n",
        (6, 47, "touchpoints[2].channel is `wep`"),
        "did you mean `web`?",
    ),
    "a number where text belongs": (
        VALID + "  - {name: 2026, label: {en: a, es: a}, channel: web, stage: after}\n",
        (6, 12, "touchpoints[2].name is `2026`"),
        "put it in quotes",
    ),
    "a number out of range": (
        VALID + "defaults: {minimum_n: 0}\n",
        (6, 23, "defaults.minimum_n is `0`"),
        "a whole number >= 1",
    ),
    "a target beyond the scale of scores": (
        VALID + "defaults: {target_score: 101}\n",
        (6, 26, "defaults.target_score is `101`"),
        "a number >= 0 and <= 100",
    ),
    "a touchpoint's target below the scale": (
        VALID + "  - {name: a, label: {en: a, es: a}, channel: web, stage: after, target_score: -1}\n",
        (6, 80, "touchpoints[2].target_score is `-1`"),
        "a number >= 0 and <= 100",
    ),
    "a bad duration": (
        VALID + "defaults:\n  patience: 5 minutes\n",
        (7, 13, "defaults.patience is `5 minutes`"),
        "such as 500ms, 8s, 5min, 2h or 3d",
    ),
    "a duration of nothing": (
        VALID + "defaults: {patience: 0s}\n",
        (6, 22, "defaults.patience is `0s`"),
        "above 0",
    ),
    "a list where a mapping belongs": (
        VALID + "defaults: []\n",
        (6, 11, "defaults is a list"),
        "write a mapping",
    ),
    "a mapping where a list belongs": (
        VALID + "transitions: {a: b}\n",
        (6, 14, "transitions is a mapping"),
        "write a list",
    ),
    "no touchpoints at all": (
        HEAD + "touchpoints: []\n",
        (3, 14, "touchpoints is empty"),
        "at least one",
    ),
    "a touchpoint named twice": (
        VALID + SEARCH,
        (6, 12, "duplicate touchpoint `web.search` (first in line 5)"),
        "remove one",
    ),
    "a touchpoint repeated by an alias": (
        HEAD + "touchpoints:\n  - &a" + GOAL[3:] + "  - *a\n",
        (4, 15, "duplicate touchpoint `web.buy` (first in line 4)"),
        "remove one",
    ),
    "a segment named twice": (
        VALID + "segments:\n  - {name: r, label: {en: r, es: r}}\n  - {name: r, label: {en: r, es: r}}\n",
        (8, 12, "duplicate segment `r` (first in line 7)"),
        "remove one",
    ),
    "a segment value given twice": (
        VALID + "segments:\n  - {name: r, label: {en: r, es: r}, values: [a, b, a]}\n",
        (7, 53, "duplicate segment value `a` (first in line 7)"),
        "remove one",
    ),
    "a segment value that is reserved": (
        VALID + "segments:\n  - {name: r, label: {en: r, es: r}, values: [other]}\n",
        (7, 47, "the segment value `other` is reserved"),
        "leave it out",
    ),
    "more segments than fit": (
        VALID + "segments:\n" + "".join(f"  - {{name: s{i}, label: {{en: a, es: a}}}}\n" for i in range(33)),
        (7, 3, "segments has 33 items"),
        "at most 32",
    ),
    "a transition to nowhere": (
        VALID + "transitions:\n  - {from: web.search, to: web.bui}\n  - {from: web.search, to: web.buy}\n",
        (7, 28, "there is no touchpoint `web.bui`"),
        "did you mean `web.buy`?",
    ),
    "a transition given twice": (
        VALID + "transitions:\n  - {from: web.search, to: web.buy}\n  - {from: web.search, to: web.buy}\n",
        (8, 5, "duplicate transition `web.search` to `web.buy` (first in line 7)"),
        "remove one",
    ),
    "no goal": (
        HEAD + "touchpoints:\n" + SEARCH,
        (4, 3, "no touchpoint is a goal"),
        "goal: true",
    ),
    "a goal that nothing leads to": (
        VALID + "transitions:\n  - {from: web.buy, to: web.search}\n",
        (4, 12, "no transition leads to the goal `web.buy`"),
        "add a transition to it",
    ),
    "a goal that only leads to itself": (
        VALID + "transitions:\n  - {from: web.buy, to: web.buy}\n",
        (4, 12, "no transition leads to the goal `web.buy`"),
        "add a transition to it",
    ),
    "a duplicate key": (
        VALID + "corridor: other\n",
        (6, 1, "duplicate key `corridor` (first in line 1)"),
        "remove one",
    ),
    "a key that is no text": (
        VALID + "1: a\n",
        (6, 1, "this key is no text"),
        "in quotes",
    ),
    "a number that is not finite": (
        VALID + "defaults: {promise: {tolerance: .inf}}\n",
        (6, 33, "`.inf` is no finite number"),
        "finite",
    ),
    "a tag of one's own": (
        VALID + "defaults: !python {}\n",
        (6, 11, "the tag `!python` has no meaning here"),
        "remove it",
    ),
    "a tab": (
        VALID + "defaults:\n\tweights: {}\n",
        (7, 1, "YAML syntax: while scanning for the next token found character '\\t' that cannot start any token"),
        "indent with spaces",
    ),
    "a bracket left open": (
        VALID + "defaults: {weights: {\n",
        (7, 1, "YAML syntax: while parsing a flow node expected the node content, but found '<stream end>'"),
        "brackets",
    ),
    "an unknown alias": (
        VALID + "defaults: *base\n",
        (6, 11, "YAML syntax: found undefined alias 'base'"),
        "define the anchor",
    ),
    "two documents": (
        VALID + "---\na: b\n",
        (6, 1, "YAML syntax: expected a single document in the stream but found another document"),
        "one document",
    ),
    "an alias inside what it names": (
        VALID + "transitions: &t [*t]\n",
        (6, 14, "this alias stands inside what it names"),
        "without the alias",
    ),
    "nesting without end": ("[" * 20_000, (1, 1, "nested deeper than 32 levels"), "flatten"),
    "an empty file": ("", (1, 1, "the file is empty"), "retail.yaml"),
    "nothing but a comment": ("# to be written\n", (1, 1, "the file is empty"), "retail.yaml"),
    "a list at the top": ("- a\n", (1, 1, "the map is a list"), "write a mapping"),
    "a control character": (b"corridor: shop\nlabel: \x07\n", (2, 8, "YAML syntax: "), ""),
    "a text that is no UTF-8": (
        "corridor: tienda\nlabel: Compañía".encode("latin-1"),
        (2, 13, "byte 0xf1 is no UTF-8"),
        "UTF-8",
    ),
    "half a character": (
        VALID + 'defaults: "\\ud800"\n',
        (6, 11, "`\\ud800` holds half a character"),
        "the character itself",
    ),
    "a file that is too large": (b"#" * (document.MAX_FILE_BYTES + 1), (1, 1, "the file is larger than 4 MiB"), ""),
}


@pytest.mark.parametrize("case", SINGLE_PROBLEMS)
def test_one_problem_is_one_message_with_its_place_and_remedy(case: str, problems) -> None:
    text, (line, column, what), fix = SINGLE_PROBLEMS[case]
    (problem,) = problems(text)
    assert (problem.line, problem.column) == (line, column)
    assert problem.what.startswith(what)
    assert fix in problem.fix


def test_a_touchpoint_whose_weights_are_all_zero_could_never_have_a_score(problems) -> None:
    zero = "weights: {outcome: 0, promise: 0, rating: 0, sentiment: 0, effort: 0, wait: 0}"
    found = problems(
        VALID + f"  - name: a\n    label: {{en: a, es: a}}\n    channel: web\n    stage: after\n    {zero}\n"
    )
    assert places(found) == [(10, 14, "all weights of touchpoint `a` are 0")]
    found = problems(VALID + f"defaults:\n  {zero}\n")
    assert places(found) == [(7, 12, "the default weights are all 0")]


def test_weights_of_touchpoint_and_defaults_count_together(problems) -> None:
    text = VALID + "  - {name: a, label: {en: a, es: a}, channel: web, stage: after, weights: {wait: 0}}\n"
    text += "defaults: {weights: {outcome: 0, promise: 0, rating: 0, sentiment: 0, effort: 0}}\n"
    assert places(problems(text)) == [(6, 75, "all weights of touchpoint `a` are 0")]


def test_all_problems_come_at_once_in_the_order_of_lines(problems) -> None:
    text = (
        "corridor: shop\nlabel: {en: Shop}\ntouchpoints:\n"
        + "  - {name: a, label: {en: a, es: a}, channel: wep, stage: after, goal: yes}\n"
        + "  - {name: a, label: {en: a, es: a}, channel: web, stage: late, importance: -1}\n"
        + "transitions:\n  - {from: a, to: b}\n"
    )
    found = problems(text)
    assert [problem.line for problem in found] == [2, 4, 4, 5, 5, 5, 7]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (problem,) = check(tmp_path / "none.yaml")
    assert str(problem) == f"{tmp_path / 'none.yaml'}:1:1: there is no such file; check the path"
    (problem,) = check(tmp_path)
    assert "cannot be read" in problem.what


def test_loading_raises_one_error_that_lists_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text("corridor: 1\nlabel: 2\n")
    with pytest.raises(UsageError) as raised:
        load_map(file)
    assert str(raised.value).splitlines() == [
        "the corridor map cannot be used (3 problems):",
        f"  {file}:1:1: the map has no `touchpoints`; add `touchpoints:`, a list",
        f"  {file}:1:11: corridor is `1`; write text: put it in quotes",
        f"  {file}:2:8: label is `2`; write a mapping: `key: value` lines",
    ]


def test_problems_without_end_are_cut(problems) -> None:
    assert len(problems(VALID + "".join(f"key{i}: 1\n" for i in range(500)))) == MAX_PROBLEMS


@pytest.mark.timeout(20)
def test_aliases_that_multiply_do_not_hang(problems) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 25):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    (problem,) = problems(bomb)
    assert problem.what == "aliases make this document larger than 1,000,000 values"


def test_yaml_1_2_knows_no_norwegian_problem(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(
        VALID + "segments:\n  - {name: country, label: {en: c, es: c}, values: [NO, on, yes, 2026-01-01]}\n"
    )
    assert load_map(file).segments[0].values == ("NO", "on", "yes", "2026-01-01")


def test_a_byte_order_mark_is_no_problem(problems) -> None:
    assert problems(b"\xef\xbb\xbf" + VALID.encode()) == []


KEYS = [
    "corridor",
    "label",
    "touchpoints",
    "defaults",
    "segments",
    "transitions",
    "name",
    "weights",
    "goal",
    "en",
    "zz",
]
SCALARS = ["web", "8s", "0", "-1", "1e999", ".nan", "true", "null", "2026-01-01", "!!binary x", "*a", "&a b"]
yaml_ish = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=20,
)
lines = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(KEYS), yaml_ish).map(lambda pair: f"{pair[0]}: {pair[1]}"),
        st.text(alphabet="ab:-#&*!|>{}[]%@`'\"\\,? \t\n0x1_.~<=\u00e9\u0007", max_size=30),
    ),
    max_size=8,
).map("\n".join)


@given(st.one_of(lines.map(str.encode), st.text().map(lambda text: text.encode("utf-8", "replace")), st.binary()))
@example(b'"\\x"')
@example(b'"\\UFFFFFFFF"')
@example(b"%YAML 1.\n---\n")
@example(b"%TAG ! \n---\na")
@example(b"- ? - : -")
@example(b"!<>")
@example(b"- !!int x")
@example(b"a: !!float x\nb: !!bool x")
@example(b"&a {? *a : b}")
def test_no_text_makes_the_loader_raise_anything_but_a_usage_error(tmp_path_factory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    try:
        load_map(file)
    except UsageError as error:
        assert str(file) in str(error)
        found = check(file)
        length = len(data.splitlines()) + 2
        assert found and all(1 <= problem.line <= length and problem.column >= 1 for problem in found)
