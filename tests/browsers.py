"""What a test needs that opens the page for browsers; where something is missing it is skipped."""

import shutil

import pytest

from fcn_tf.errors import InputError
from fcn_tf.exporting.browser import find_browser
from tests.extras import needs_extra

try:
    BROWSER = find_browser()
except InputError:
    BROWSER = ""
needs_browser = (
    needs_extra("web", "playwright"),
    pytest.mark.skipif(not BROWSER, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(not shutil.which("npm"), reason="needs npm: apt-get install npm"),
)
