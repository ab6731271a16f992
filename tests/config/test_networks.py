"""The numbers of the networks as their authors publish them, and what combines; no TensorFlow."""

from dataclasses import replace

import numpy as np
import pytest

from fcn_tf.config.networks import (
    CAFFE_MEAN_BGR,
    FIRST,
    FROM_MINUS_1_TO_1,
    GEOMETRIES,
    IMAGENET_RGB,
    LAST,
    MIDDLE,
    NETWORK_KEYS,
    TRUNKS,
    VARIANTS,
    VGG_MEAN_BGR,
    WHOLE_NETWORKS,
    NetworkArguments,
    application_trunk,
    check_network,
    published_stride,
    trunks_of,
    unused_settings,
)
from fcn_tf.errors import InputError

PLAIN = NetworkArguments(
    variant="fcn8s",
    trunk="vgg16",
    width=1.0,
    head_units=4096,
    fc6_kernel=7,
    dropout=0.5,
    upsampling="learned",
)


def test_the_variants_are_those_of_the_authors():
    """Their factors and crops (deploy.prototxt of each), and of their skips the scales too."""
    numbers = {
        name: (
            (spec.factor, spec.caffe_crop_px),
            *((skip.endpoint, skip.scale, skip.caffe_crop_px) for skip in spec.skips),
        )
        for name, spec in VARIANTS.items()
    }
    assert numbers == {
        "fcn32s": ((32, 19),),
        "fcn16s": ((16, 27), ("pool4", 1, 5)),
        "fcn8s": ((8, 31), ("pool4", 1, 5), ("pool3", 1, 9)),
        "fcn8s_atonce": ((8, 31), ("pool4", 0.01, 5), ("pool3", 0.0001, 9)),
    }


def test_the_trunks_are_as_deep_and_as_wide_as_published():
    """VGG's 16 and 19 layers less the three of the classifier; ResNet's 50 and 101 less it.

    A block of ResNet has three convolutions, and one stands before the first.
    """
    widths = (64, 128, 256, 512, 512)
    for name, depths in (("vgg16", (2, 2, 3, 3, 3)), ("vgg19", (2, 2, 4, 4, 4))):
        assert TRUNKS[name].options["blocks"] == tuple(zip(depths, widths, strict=True))
        assert sum(depths) + 3 == int(name.removeprefix("vgg"))


def test_torchvisions_networks_are_as_published():
    # Output stride and dropout, from their definitions.
    published = {n: s for n, s in WHOLE_NETWORKS.items() if s.build == "torchvision"}
    assert {name: (s.output_strides, s.dropout) for name, s in published.items()} == {
        "fcn_resnet50": ((8, 16), 0.1),
        "fcn_resnet101": ((8, 16), 0.1),
        "deeplabv3_resnet50": ((8, 16), 0.5),
        "deeplabv3_resnet101": ((8, 16), 0.5),
        "deeplabv3_mobilenetv3": ((16,), 0.5),
        "lraspp_mobilenetv3": ((16,), 0.0),
    }
    for name, spec in published.items():
        assert name == "{head}_{trunk}".format(**spec.options)


def test_pixels_are_standardized_as_published():
    assert VGG_MEAN_BGR == (103.939, 116.779, 123.68)
    assert CAFFE_MEAN_BGR == (104.00698793, 116.66876762, 122.67891434)
    # PyTorch's are shares of 255.
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    np.testing.assert_allclose(IMAGENET_RGB, 255 * np.array([mean, deviation]), rtol=1e-12)
    mean, deviation = np.array(FROM_MINUS_1_TO_1)
    np.testing.assert_array_equal((0 - mean) / deviation, [-1, -1, -1])
    np.testing.assert_array_equal((255 - mean) / deviation, [1, 1, 1])
    assert [(g.pad_px, g.fc6_padding) for g in GEOMETRIES.values()] == [(0, "same"), (100, "valid")]


def test_a_cell_lies_at_a_share_of_its_stride():
    """Of 32 px: in the middle of pixels 0 to 31, at pixel 0, or at pixel 31."""
    assert [centre * (32 - 1) for centre in (MIDDLE, FIRST, LAST)] == [15.5, 0, 31]


def test_what_each_trunk_offers():
    """Keras has `alpha` of MobileNetV3 alone, and ImageNet's weights of two of its widths."""
    numbers = {
        name: (trunk.has_width, trunk.imagenet_widths, trunk.output_strides, trunk.upscore_px)
        for name, trunk in TRUNKS.items()
    }
    every = (32, 16, 8, 4, 2, 1)
    assert numbers == {
        "vgg16": (True, (1,), every, 64),
        "vgg19": (True, (1,), every, 64),
        "alexnet": (True, (1,), (32,), 63),
        "googlenet": (True, (1,), (32,), 64),
        "resnet50": (False, (1,), (32,), 64),
        "mobilenetv3_large": (True, (0.75, 1), (32,), 64),
        "efficientnetv2_b0": (False, (1,), (32,), 64),
    }
    assert {name: t.caffe_crop_px for name, t in TRUNKS.items() if t.caffe_crop_px} == {
        "alexnet": 18
    }
    without = {"include_preprocessing": False}
    for name in ("mobilenetv3_large", "efficientnetv2_b0"):
        assert TRUNKS[name].options["keras_options"] == without


def test_which_trunks_serve_the_heads_of_other_families():
    """VGG's levels begin at the size of the image, those of the others at half of it."""
    of_applications = ["resnet50", "mobilenetv3_large", "efficientnetv2_b0"]
    assert trunks_of("unet_on_trunk") == ["vgg16", "vgg19", *of_applications]
    assert trunks_of("deeplabv3_on_trunk") == of_applications
    assert dict(TRUNKS["vgg16"].levels) == {level: f"block{level}" for level in range(1, 6)}
    levels = {2: "pool1", 3: "pool2", 4: "pool3", 5: "pool4", 6: "fc7"}
    assert [dict(TRUNKS[name].levels) for name in of_applications] == [levels] * 3
    assert [published_stride(n) for n in ("fcn8s", "unet", "unet_on_trunk")] == [32, 1, 32]
    assert [published_stride(n) for n in ("deeplabv3_on_trunk", "segnet")] == [16, 32]


def test_a_trunk_of_keras_applications_has_a_width_unless_it_says_otherwise():
    layers = {"pool3": "a", "pool4": "b", "fc7": None}
    trunk = application_trunk("MobileNet", **layers, rgb=None, centre=FIRST)
    assert trunk.options == {"classifier": "MobileNet", "endpoints": layers, "keras_options": {}}
    assert (trunk.has_width, trunk.imagenet_widths, trunk.geometries) == (True, (1.0,), ("same",))


def test_files_of_before_geometry_output_stride_and_multi_grid():
    assert (PLAIN.geometry, PLAIN.output_stride, PLAIN.multi_grid) == ("same", 32, ())
    assert set(NETWORK_KEYS) == {
        *("trunk", "width", "head_units", "fc6_kernel", "dropout"),
        *("geometry", "upsampling", "output_stride", "multi_grid"),
    }


FINE_32S = {"variant": "fcn32s", "output_stride": 8}
CAFFE = {"geometry": "caffe"}
ONE_WIDTH = r"model.width={}: it must be 1 with trunk=resnet50\."
FINER = "model.output_stride=8: it must be 32, unless variant=fcn32s"


@pytest.mark.parametrize(
    ("accepted", "refused", "message"),
    [
        ({"width": 1 / 64}, {"width": 1 / 64.5}, "model.width=.*: it must be at least 1/64"),
        ({"width": 1e6}, {"width": float("inf")}, "model.width=inf: it must be at least 1/64"),
        ({"width": 1 / 64}, {"width": 0.0}, "model.width=0.0: it must be at least 1/64"),
        ({"head_units": 1}, {"head_units": 0}, "model.head_units=0: it must be at least 1"),
        ({"fc6_kernel": 1}, {"fc6_kernel": -1}, "model.fc6_kernel=-1: it must be odd"),
        ({"fc6_kernel": 3}, {"fc6_kernel": 4}, "model.fc6_kernel=4: it must be odd"),
        ({"dropout": 0.0}, {"dropout": -0.1}, r"model.dropout=-0.1: it must be in \[0, 1\)"),
        ({"dropout": 0.99}, {"dropout": 1.0}, r"model.dropout=1.0: it must be in \[0, 1\)"),
        ({"dropout": 0.99}, {"dropout": 1.5}, r"model.dropout=1.5: it must be in \[0, 1\)"),
        # What a trunk supports.
        ({"trunk": "resnet50"}, {"trunk": "resnet50", "width": 0.5}, ONE_WIDTH.format(0.5)),
        ({"width": 2}, {"trunk": "resnet50", "width": 2}, ONE_WIDTH.format(2)),
        ({"fc6_kernel": 5}, {**CAFFE, "fc6_kernel": 5}, "model.fc6_kernel=5: it must be 7 with"),
        (CAFFE, {**CAFFE, "fc6_kernel": 9}, "model.fc6_kernel=9: it must be 7 with"),
        (
            {"variant": "fcn32s", "trunk": "alexnet", "fc6_kernel": 1, **CAFFE},
            {"variant": "fcn16s", "trunk": "alexnet", **CAFFE},
            "variant='fcn16s': it must be one of fcn32s with trunk=alexnet",
        ),
        # A finer map of fcn32s.
        (FINE_32S, {"output_stride": 8}, FINER),
        (FINE_32S, {**FINE_32S, "variant": "fcn16s"}, FINER),
        (FINE_32S, {**FINE_32S, **CAFFE}, FINER),
        (FINE_32S, {**FINE_32S, "upsampling": "nonlinear"}, FINER),
        (
            FINE_32S,
            {**FINE_32S, "trunk": "resnet50"},
            "model.output_stride=8: it must be one of 32 with",
        ),
        (
            {"upsampling": "nonlinear"},
            {"upsampling": "nonlinear", **CAFFE},
            "model.upsampling='nonlinear': it must be fixed, learned or learned_all with geometry",
        ),
        # torchvision's networks.
        (
            {"variant": "fcn_resnet50"},
            {"variant": "fcn_resnet50", "trunk": "resnet50"},
            "model.trunk='resnet50': it must be left out with fcn_resnet50",
        ),
        (
            {"variant": "fcn_resnet50", "output_stride": 8},
            {"variant": "fcn_resnet50", "trunk": "vgg19"},
            "model.trunk='vgg19': it must be left out with fcn_resnet50",
        ),
        (
            {"variant": "fcn_resnet101", "upsampling": "fixed", "output_stride": 16},
            {"variant": "fcn_resnet101", "output_stride": 4},
            "model.output_stride=4: it must be one of 32, 8, 16 with fcn_resnet101, for which 32",
        ),
        # U-Net, which has a score a pixel and trains all that enlarges.
        (
            {"variant": "unet", "output_stride": 1},
            {"variant": "unet", "output_stride": 8},
            "model.output_stride=8: it must be one of 32, 1 with unet, for which 32 means 1",
        ),
        (
            {"variant": "unet", "geometry": "valid"},
            {"variant": "unet", "geometry": "caffe"},
            "model.geometry='caffe': it must be one of same, valid with unet",
        ),
        (
            {"geometry": "caffe"},
            {"geometry": "valid"},
            "model.geometry='valid': it must be one of same, caffe with trunk=vgg16",
        ),
        (
            {"variant": "unet"},
            {"variant": "unet", "upsampling": "fixed"},
            "model.upsampling='fixed': it must be one of learned: unet trains all",
        ),
        (
            {"variant": "deeplabv3_resnet50", "multi_grid": [1, 2, 4]},
            {"variant": "deeplabv3_resnet50", "multi_grid": [1, 2]},
            r"model.multi_grid=\[1, 2\]: it must be three rates of at least 1",
        ),
        (
            {"variant": "fcn_resnet50", "multi_grid": [1, 1, 1]},
            {"variant": "deeplabv3_mobilenetv3", "multi_grid": [1, 2, 4]},
            r"model.multi_grid=\[1, 2, 4\]: it must be left out with deeplabv3_mobilenetv3",
        ),
        (
            {},
            {"multi_grid": [1, 2, 4]},
            r"model.multi_grid=\[1, 2, 4\]: it must be left out with fcn8s",
        ),
        (
            {"variant": "lraspp_mobilenetv3", "output_stride": 16},
            {"variant": "lraspp_mobilenetv3", "output_stride": 8},
            "model.output_stride=8: it must be one of 32, 16 with lraspp_mobilenetv3",
        ),
        # Heads of other families on a trunk.
        (
            {"variant": "unet_on_trunk", "width": 0.5},
            {"variant": "unet_on_trunk", "trunk": "googlenet"},
            "model.trunk='googlenet': it must be one of vgg16, vgg19, resnet50, .* with unet_on_tr",
        ),
        (
            {"variant": "unet_on_trunk", "trunk": "vgg19"},
            {"variant": "unet_on_trunk", "geometry": "caffe"},
            "model.geometry='caffe': it must be one of same with unet_on_trunk",
        ),
        (
            {"variant": "unet_on_trunk", "trunk": "mobilenetv3_large", "width": 0.5},
            {"variant": "unet_on_trunk", "trunk": "resnet50", "width": 0.5},
            ONE_WIDTH.format(0.5),
        ),
        (
            {"variant": "unet_on_trunk"},
            {"variant": "unet_on_trunk", "upsampling": "fixed"},
            "model.upsampling='fixed': it must be one of learned with unet_on_trunk",
        ),
        (
            {"variant": "deeplabv3_on_trunk", "trunk": "resnet50", "output_stride": 16},
            {"variant": "deeplabv3_on_trunk"},
            "model.trunk='vgg16': it must be one of resnet50, mobilenetv3_large, .* with deeplabv3",
        ),
        (
            {"variant": "deeplabv3_on_trunk", "trunk": "resnet50", "upsampling": "fixed"},
            {"variant": "deeplabv3_on_trunk", "trunk": "resnet50", "output_stride": 8},
            "model.output_stride=8: it must be one of 32, 16 with .*, for which 32 means 16",
        ),
        (
            {"variant": "deeplabv3_on_trunk", "trunk": "efficientnetv2_b0"},
            {"variant": "deeplabv3_on_trunk", "trunk": "resnet50", "multi_grid": [1, 2, 4]},
            r"model.multi_grid=\[1, 2, 4\]: it must be left out with deeplabv3_on_trunk",
        ),
        (
            {"variant": "segnet", "upsampling": "fixed"},
            {"variant": "segnet", "output_stride": 16},
            "model.output_stride=16: it must be one of 32 with segnet",
        ),
    ],
)
def test_what_combines_and_what_does_not(accepted, refused, message):
    check_network(replace(PLAIN, **accepted), "model.")
    with pytest.raises(InputError, match=f"^{message}"):
        check_network(replace(PLAIN, **refused), "model.")


@pytest.mark.parametrize(
    ("network", "unused"),
    [
        ({"head_units": 256, "fc6_kernel": 3}, []),
        ({"variant": "unet"}, []),
        (
            {"variant": "unet", "head_units": 256, "fc6_kernel": 3},
            [
                "model.head_units=256 has no effect: unet has no fc6 and fc7.",
                "model.fc6_kernel=3 has no effect: unet has no fc6 of another size.",
            ],
        ),
        (
            {"variant": "unet_on_trunk", "head_units": 256},
            ["model.head_units=256 has no effect: unet_on_trunk has no fc6 and fc7."],
        ),
        # AlexNet's fc6 is 6 x 6; a trunk of keras.applications is scored without one.
        (
            {"trunk": "alexnet", "head_units": 256, "fc6_kernel": 3},
            ["model.fc6_kernel=3 has no effect: trunk=alexnet has no fc6 of another size."],
        ),
        (
            {"trunk": "resnet50", "head_units": 4095},
            ["model.head_units=4095 has no effect: trunk=resnet50 has no fc6 and fc7."],
        ),
    ],
)
def test_settings_that_a_network_does_not_have_are_named(network, unused):
    assert unused_settings(replace(PLAIN, **network)) == unused
