"""Names as they are shown: nothing obeyed, nothing cut off without a trace, none like another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkqueue.names import printable, shortened


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("GSM8K, 中文 ½", "GSM8K, 中文 ½"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb", r"a\nb"),
        ("abc\u202edef", r"abc\u202edef"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(
    st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=30, unique_by=printable),
    st.integers(12, 40),
)
def test_short_names_fit_and_differ(names: list[str], width: int) -> None:
    short = shortened(names, width)
    assert all(len(name) <= width and name.isprintable() for name in short)
    assert len(set(short)) == len(names)


def test_a_family_of_long_names_stays_apart() -> None:
    stem = "a long question about the history of queues, number "
    short = shortened([f"{stem}{k} of all twelve of them" for k in range(12)], 20)
    assert len(set(short)) == 12
    assert short[2] == "a long q…of them (3)"
    assert shortened(["short", "name"], 20) == ("short", "name")
