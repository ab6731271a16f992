"""What a person is told of weights that were copied."""

import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, warm_start
from fcn_tf.models.weights.transfer import Copy, copy_all, shortened, tensors_of

NARROWEST = {"width": 1 / 64, "head_units": 4}


def test_the_line_of_a_warm_start():
    """The example of `warm_start`: 15 convolutions, two score layers and upscore2 are moved."""
    coarser = build_fcn("fcn16s", 3, **NARROWEST)
    transfer = warm_start(build_fcn("fcn8s", 3, **NARROWEST), coarser)
    assert str(transfer) == (
        "35 tensors moved; kept: upscore_pool4, score_pool3, upscore8; left out: upscore16"
    )
    assert transfer.kept == (
        *("upscore_pool4/kernel", "score_pool3/kernel", "score_pool3/bias", "upscore8/kernel"),
    )
    assert transfer.refused == ("upscore16/kernel",)
    assert transfer.moved["score_pool4/bias"] == "score_pool4/bias"
    again = warm_start(build_fcn("fcn16s", 3, **NARROWEST), coarser)
    assert str(again) == "36 tensors moved"


def test_nothing_is_copied_where_one_array_is_broken():
    model = build_fcn("fcn32s", 3, **NARROWEST)
    variables = tensors_of(model)
    whole, broken = variables["fc6/bias"], variables["fc7/bias"]
    copies = {
        "fc6/bias": Copy(whole, np.ones(4), "a"),
        "fc7/bias": Copy(broken, np.array([1, 2, np.inf, 4]), "b"),
    }
    with pytest.raises(InputError, match=r"^there holds NaN or infinity in b\.$"):
        copy_all(model, copies, [], "there")
    assert not whole.numpy().any()


def test_of_many_names_the_first_are_said():
    names = list("hgfedcba")
    assert shortened(names) == "a, b, c, d, e, f, g, h"
    assert shortened([*names, "j", "i"]) == "a, b, c, d, e, f, g, h and 2 more"
    assert shortened(names, limit=2, separator="; ") == "a; b and 6 more"
    assert shortened([]) == "none"
