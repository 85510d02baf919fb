"""Repairs of the theme's markup."""

import pytest

from thinkqueue.book.accessible import accessible


@pytest.mark.parametrize(
    ("fault", "mended"),
    [
        ('<summary aria-label="Toggle hidden content">Show</summary>', "<summary>Show</summary>"),
        (
            '<button class="btn search-button-field" title="Search" aria-label="Search" id="b">',
            '<button class="btn search-button-field" title="Search" id="b">',
        ),
        (
            '<i class="theme-switch fa-solid" data-mode="dark"  title="Dark"></i>',
            '<i class="theme-switch fa-solid" data-mode="dark" aria-hidden="true"></i>',
        ),
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        (
            '<button aria-label="Search" class="other">',
            '<button aria-label="Search" class="other">',
        ),
    ],
)
def test_a_page_is_mended_where_it_is_at_fault(fault: str, mended: str) -> None:
    assert accessible(f"<p>a</p>{fault}<p>b</p>") == f"<p>a</p>{mended}<p>b</p>"
