"""The browser in which a page is verified: Chromium, or one that is made of it."""

from __future__ import annotations

import os
import shutil

from fcn_tf.errors import InputError

PROGRAMS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge"),
)
VARIABLE = "CHROME_BIN"  # as other tools call it


def find_browser() -> str:
    """The path of the program that `CHROME_BIN` names, or else of the first that is on the PATH.

    Raises:
        InputError: there is none.
    """
    named = os.environ.get(VARIABLE)
    found = next(filter(None, map(shutil.which, [named] if named else PROGRAMS)), None)
    if found is None:
        raise InputError(
            "The web page is verified in Chromium, Chrome or Edge before it gets its name, and "
            f"{f'{VARIABLE}={named} is no program' if named else 'none was found'}: "
            f"install one (apt-get install chromium), or set {VARIABLE} to its program."
        )
    return found
