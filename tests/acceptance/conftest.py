"""Chromium, as the tests of the page have it."""

from tests.browser.conftest import browser, open_page

__all__ = ["browser", "open_page"]
