import pytest

from fcn_tf.models import build_fcn
from fcn_tf.models.margin import margin_px

NARROWEST = {"width": 1 / 64, "head_units": 4}


@pytest.mark.parametrize(
    ("variant", "arguments", "margin"),
    [
        # Up to block 5 a cell sees 2 + 4 + 12 + 24 + 48 px beyond itself, and one cell more for
        # the upsampling: 90 + 32 = 122, in steps of 32. fc6 reaches 3 cells of 32 px further.
        ("fcn32s", {"fc6_kernel": 1}, 128),
        ("fcn32s", {"fc6_kernel": 7}, 224),
        ("fcn8s", {"fc6_kernel": 7}, 224),
        # A dilated network sees the same, and has a cell every 8 px.
        ("fcn32s", {"output_stride": 8}, 224),
        ("fcn_resnet50", {}, None),
    ],
)
def test_the_margin_of_a_tile(variant, arguments, margin):
    assert margin_px(build_fcn(variant, 2, **{**NARROWEST, **arguments})) == margin
