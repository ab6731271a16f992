"""Signals that come while a run has something to save."""

import signal
import threading

import pytest

from fcn_tf.training.stopping import StopSignals, handlers


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Ctrl-C raises KeyboardInterrupt, and SIGTERM does nothing."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, ignored)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ignored(number, frame):
    pass


def test_the_first_signal_is_noted_and_obeyed_later():
    with StopSignals() as signals:
        assert signals.number is None
        signal.raise_signal(signal.SIGINT)
        assert signals.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signals.obey()
    assert handlers() == {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: ignored,
    }


def test_sigterm_is_obeyed_as_sigterm():
    came = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert (signals.number, came) == (signal.SIGTERM, [])
    signals.obey()
    assert came == [signal.SIGTERM]


def test_a_second_signal_acts_at_once():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signals.number == signal.SIGTERM


def test_without_a_signal_nothing_is_obeyed():
    with StopSignals() as signals:
        assert handlers()[signal.SIGTERM] is not ignored
        signals.obey()
        assert handlers()[signal.SIGTERM] is ignored
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_signals_did_before_is_restored():
    before = handlers()
    with StopSignals():
        assert handlers() != before
    assert handlers() == before


def test_a_signal_that_is_ignored_stays_ignored():
    """nohup, and a shell that starts a command in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.number is None
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_another_thread_sets_no_handler():
    found = []

    def run():
        with StopSignals():
            found.append(handlers())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [{}]
    assert set(handlers()) == {signal.SIGINT, signal.SIGTERM}
