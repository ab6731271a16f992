"""The checks and their messages, and what kind of error each is."""

import pytest

from fcn_tf.errors import InputError, RunError, check, check_names


def test_a_value_is_refused_with_what_came_and_what_is_allowed():
    check(True, "opacity", 2, "between 0 and 1")
    with pytest.raises(InputError, match=r"^opacity='2': it must be between 0 and 1\.$"):
        check(False, "opacity", "2", "between 0 and 1")


def test_names_are_some_of_those_allowed():
    allowed = ["png", "overlay", "npy"]
    check_names("format", ["npy", "png"], allowed)
    check_names("format", iter(["png"]), allowed)
    for names, shown in ([["png", "jpg"], "png,jpg"], [["jpg"], "jpg"], [[], ""]):
        message = rf"^format='{shown}': it must be some of png,overlay,npy\.$"
        with pytest.raises(InputError, match=message):
            check_names("format", names, allowed)


def test_callers_may_catch_the_builtin_kinds():
    assert issubclass(InputError, ValueError)
    assert issubclass(RunError, RuntimeError)
