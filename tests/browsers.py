"""What a test needs that opens the page for browsers; where something is missing it is skipped."""

import os
import shutil

import pytest

from fcn_tf.exporting.web import BROWSER_VARIABLE, BROWSERS
from tests.extras import needs_extra

NAMES = [os.environ.get(BROWSER_VARIABLE, ""), *BROWSERS]
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
needs_browser = (
    needs_extra("web", "playwright"),
    pytest.mark.skipif(not BROWSER, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(not shutil.which("npm"), reason="needs npm: apt-get install npm"),
)
