"""The bar of what is counted."""

import io
import re

from fcn_tf.progress import bar_interval_s, with_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_counts_up_to_the_number_that_there_are(monkeypatch):
    """Three of four images, on standard output; the items are passed on."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    bar = with_progress(iter("abc"), 4, "image")
    assert list(bar) == ["a", "b", "c"]
    last = terminal.getvalue().split("\r")[-1]
    assert re.search(r"75%\|.*\| 3/4 \[.*images/s\]", last), last


def test_how_often_a_bar_moves(monkeypatch):
    """In a terminal 20 times a second; in a log file a line every half minute."""
    monkeypatch.setattr("sys.stdout", Terminal())
    assert bar_interval_s() == 0.05
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert bar_interval_s() == 30
    bar = with_progress(range(3), 3, "image")
    assert bar.mininterval == 30
    bar.close()
