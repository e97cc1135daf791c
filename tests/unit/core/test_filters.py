"""List filters: every text becomes the tree that AIP-160 says, or is refused with the place and the way out."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.core.expressions import DEEPEST_NESTING, And, Not, Or
from trainyard.core.filter_tree import (
    Filter,
    LabelHas,
    LabelIs,
    NameIs,
    NameLike,
    StateIs,
    TimeHas,
    TimeIs,
    matches,
    name_like,
)
from trainyard.core.filters import LONGEST_FILTER, MOST_COMPARISONS, parse_filter
from trainyard.core.jobs import Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState

FAILED, SUCCEEDED, X, Y, Z = StateIs(5), StateIs(4), NameIs("x"), NameIs("y"), NameIs("z")
DAY_US = 1621296000000000

READ: dict[str, Filter | None] = {
    "": None,
    " \t\n": None,
    # The service's own examples.
    'state="JOB_STATE_SUCCEEDED" AND displayName:"my_job_*"': And((SUCCEEDED, NameLike(("my_job_", "")))),
    'state!="JOB_STATE_FAILED" OR displayName="my_job"': Or((Not(FAILED), NameIs("my_job"))),
    'NOT displayName="my_job"': Not(NameIs("my_job")),
    'createTime>"2021-05-18T00:00:00Z"': TimeIs("create_time", ">", DAY_US),
    "labels.keyA=valueA": LabelIs("keyA", "valueA"),
    "labels.keyB:*": LabelHas("keyB"),
    # Precedence.
    "display_name=x OR display_name=y AND display_name=z": And((Or((X, Y)), Z)),
    "display_name=x AND display_name=y OR display_name=z": And((X, Or((Y, Z)))),
    "display_name=x display_name=y OR display_name=z": And((X, Or((Y, Z)))),
    "(display_name=x AND display_name=y) OR display_name=z": Or((And((X, Y)), Z)),
    "NOT display_name=x OR -display_name=y": Or((Not(X), Not(Y))),
    "-(display_name=x display_name=y)": Not(And((X, Y))),
    "NOT(display_name=x)": Not(X),
    "(display_name=x)AND(display_name=y)": And((X, Y)),
    "((display_name=x))": X,
    # Values.
    'display_name = "x"': X,
    "display_name='x'": X,
    r'display_name="a\"b\\c\*"': NameIs('a"b\\c*'),
    'display_name="a*"': NameIs("a*"),
    "display_name:x": X,
    r'display_name:"x\**"': NameLike(("x*", "")),
    "display_name:*b*": NameLike(("", "b", "")),
    'display_name="AND"': NameIs("AND"),
    "display_name=ANDROID": NameIs("ANDROID"),
    "display_name=my-job.v1/2": NameIs("my-job.v1/2"),
    'display_name=""': NameIs(""),
    'display_name="naïve 🚂"': NameIs("naïve 🚂"),
    "state=JOB_STATE_PARTIALLY_SUCCEEDED": StateIs(11),
    # Labels.
    "labels:k": LabelHas("k"),
    "labels.k:v": LabelIs("k", "v"),
    "labels.k!=v": Not(LabelIs("k", "v")),
    'labels."a.b"=v': LabelIs("a.b", "v"),
    'labels.k=""': LabelIs("k", ""),
    "labels.NOT=OR": LabelIs("NOT", "OR"),
    # Times.
    "create_time>2021-05-18T00:00:00Z": TimeIs("create_time", ">", DAY_US),
    'update_time<="2021-05-18T02:00:00+02:00"': TimeIs("update_time", "<=", DAY_US),
    'start_time>="2021-05-17T22:30:00.000001-01:30"': TimeIs("start_time", ">=", DAY_US + 1),
    'end_time="2021-05-18t00:00:00.5z"': TimeIs("end_time", "=", DAY_US + 500_000),
    'endTime!="2021-05-18T00:00:00Z"': Not(TimeIs("end_time", "=", DAY_US)),
    "endTime:*": TimeHas("end_time"),
    'createTime="2021-05-18T00:00:00.000000001Z"': Or(()),
    'createTime<"2021-05-18T00:00:00.000000001Z"': TimeIs("create_time", "<=", DAY_US),
    'createTime>="2021-05-18T00:00:00.000000001Z"': TimeIs("create_time", ">", DAY_US),
    'createTime<="2021-05-18T00:00:00.000000001Z"': TimeIs("create_time", "<=", DAY_US),
    'createTime>"0001-01-01T00:00:00+23:59"': TimeIs("create_time", ">", -62135683140000000),
}

REFUSED = {
    "nope=1": ("position 1", 'Field "nope" is not filterable; use display_name, state, create_time'),
    "display_name.x=1": ("position 1", "not filterable"),
    'display_name="x': ("position 14", "never closed"),
    'display_name="x\\': ("position 14", "never closed"),
    "(display_name=x": ("position 1", "never closed"),
    "display_name=x)": ("position 15", "never opened"),
    "()": ("position 2", "a comparison is expected"),
    "foo": ("position 1", 'display_name:"*foo*"'),
    "display_name=x and display_name=y": ("position 16", "in capitals"),
    "display_name=x AND": ("position 19", "a comparison is expected"),
    "AND display_name=x": ("position 1", "AND, OR and NOT"),
    "NOT NOT display_name=x": ("position 5", "AND, OR and NOT"),
    "display_name=": ("position 14", "a value is expected"),
    "display_name>a": ("position 13", "=, != and : only"),
    "state=RUNNING": ("position 7", "JOB_STATE_RUNNING"),
    "state:JOB_STATE_RUNNING": ("position 7", "JOB_STATE_RUNNING"),
    "state<JOB_STATE_RUNNING": ("position 6", "=, != and : only"),
    "labels.k>v": ("position 9", "=, != and : only"),
    "labels.k:v*": ("position 10", "labels know ="),
    "labels.a.b=c": ("position 1", "needs quotes"),
    "labels=k": ("position 1", "name the label"),
    "labels:*": ("position 1", "name the label"),
    "create_time>yesterday": ("position 13", "RFC 3339"),
    'create_time>"2021-02-30T00:00:00Z"': ("position 13", "RFC 3339"),
    'create_time>"2021-02-03T00:00:00+24:00"': ("position 13", "RFC 3339"),
    'create_time>"2021-02-03"': ("position 13", "RFC 3339"),
    'create_time:"2021-02-03T00:00:00Z"': ("position 12", "asked for with :*"),
    "(" * (DEEPEST_NESTING + 1): ("position", "nested deeper"),
    "labels:k " * (MOST_COMPARISONS + 1): ("position", "more than"),
    "x" * (LONGEST_FILTER + 1): ("", "characters"),
    "display_name=\ud800": ("", "Unicode"),
}


@pytest.mark.parametrize(("text", "tree"), READ.items())
def test_a_filter_becomes_its_tree(text: str, tree: Filter | None) -> None:
    """Grammar, precedence, quoting and both spellings of fields, as AIP-160 has them."""
    assert parse_filter(text) == tree


@pytest.mark.parametrize(("text", "said"), REFUSED.items(), ids=[text[:20] for text in REFUSED])
def test_what_is_no_filter_is_refused_with_the_way_out(text: str, said: tuple[str, str]) -> None:
    """InvalidArgument on the field `filter`, naming the position and what is allowed."""
    with pytest.raises(InvalidArgument) as refused:
        parse_filter(text)
    assert all(part in refused.value.message for part in said)
    assert [violation.field for violation in refused.value.violations] == ["filter"]


WORDS = [
    "AND",
    "OR",
    "NOT",
    "-",
    "(",
    ")",
    "=",
    "!=",
    ":",
    "<=",
    ">",
    "*",
    ".",
    '"',
    "'",
    "\\",
    " ",
    "labels",
    "state",
    "display_name",
    "createTime",
    "JOB_STATE_FAILED",
    "2021-05-18T00:00:00Z",
    "x",
    "é",
    "\x00",
    "\ud800",
    ",",
]


@given(st.text() | st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
@example("\x1cdisplay_name=x")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Never another error, and what is read can be asked of a job."""
    try:
        tree = parse_filter(text)
    except InvalidArgument:
        return
    if tree is not None:
        assert matches(tree, a_job()) in (True, False)


JOB_US = 1_700_000_000_000_000


def a_job(state: JobState = JobState.RUNNING) -> Job:
    return Job(
        JobName(Scope("1", "l"), "customJobs", 5),
        JOB_US,
        "train bert",
        {"env": "prod", "empty": ""},
        b"",
        Status(state, JOB_US + 2, JOB_US + 1),
    )


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('display_name="train bert"', True),
        ('display_name="Train bert"', False),
        ('display_name:"train*"', True),
        ('display_name:"*bert"', True),
        ('display_name:"*n b*"', True),
        ('display_name:"train"', False),
        ("state=JOB_STATE_RUNNING", True),
        ("state!=JOB_STATE_RUNNING", False),
        ("state=JOB_STATE_PAUSED", False),
        ("labels.env=prod", True),
        ("labels.env=dev", False),
        ("labels.none=prod", False),
        ("labels.none!=prod", True),
        ("labels.empty:*", True),
        ("labels.none:*", False),
        ("start_time:*", True),
        ("end_time:*", False),
        ('end_time<"2999-01-01T00:00:00Z"', False),
        ('NOT end_time<"2999-01-01T00:00:00Z"', True),
        ('create_time="2023-11-14T22:13:20Z"', True),
        ('create_time<"2023-11-14T22:13:20Z"', False),
        ('create_time<="2023-11-14T22:13:20Z"', True),
        ('create_time>="2023-11-14T22:13:20Z"', True),
        ('update_time>"2023-11-14T22:13:20.000001Z"', True),
        ('start_time>"2023-11-14T22:13:20.000001Z"', False),
        ("state=JOB_STATE_FAILED OR labels.env=prod AND display_name:*bert", True),
    ],
)
def test_the_predicate_says_what_the_filter_means(text: str, holds: bool) -> None:
    """One job, each kind of comparison, both ways."""
    tree = parse_filter(text)
    assert tree is not None
    assert matches(tree, a_job()) is holds


@pytest.mark.parametrize(
    ("name", "pattern", "holds"),
    [
        ("abc", "*", True),
        ("", "*", True),
        ("abc", "a*c", True),
        ("a", "a*a", False),
        ("aa", "a*a", True),
        ("abcabc", "*b*b*", True),
        ("abc", "*b*b*", False),
        ("ab", "a*b*b", False),
        ("abab", "a*ba*b", True),
    ],
)
def test_pieces_of_a_name_may_not_overlap(name: str, pattern: str, holds: bool) -> None:
    """Each star stands for anything, nothing included, but no character serves twice."""
    assert name_like(name, tuple(pattern.split("*"))) is holds
