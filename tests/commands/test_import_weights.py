"""Published files into models; tests/models/test_published.py compares what these answer."""

import numpy as np
import pytest

from fcn_tf.classes import VOC_CLASSES
from fcn_tf.commands.import_weights import ImportWeightsOptions, import_weights
from fcn_tf.errors import InputError
from fcn_tf.models import load_model
from tests.models.test_published import published_tensors
from tests.models.test_published_others import alexnet_tensors
from tests.models.torchvision_reference import published_tensors as torchvision_tensors

NARROW = {"width": 1 / 32, "head_units": 5}


def imported(folder, tensors, variant="fcn16s", **options):
    """The model that the command makes of tensors."""
    np.savez(folder / "published.npz", **tensors)
    out = folder / f"{len(list(folder.iterdir()))}.keras"
    options = ImportWeightsOptions(
        file=str(folder / "published.npz"), variant=variant, out=str(out), **options
    )
    import_weights(options)
    return load_model(out)


def test_the_network_follows_from_the_file(tmp_path, capsys):
    tensors = published_tensors("fcn16s", num_classes=6, **NARROW)
    model = imported(tmp_path, tensors)
    assert model.build_arguments == {
        "variant": "fcn16s",
        "trunk": "vgg16",
        **NARROW,
        "fc6_kernel": 7,
        "dropout": 0.5,
        "geometry": "caffe",
        "upsampling": "learned",
        "output_stride": 32,
        "multi_grid": (),
        "num_classes": 6,
        "input_shape": [None, None, 3],
        "class_names": None,
        # PASCAL VOC's
        "palette": [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]],
        "value_range": None,
        "bands": None,
        "dtype": "float32",
    }
    np.testing.assert_array_equal(model.get_layer("fc7").bias, tensors["fc7.bias"])
    # 13 + 2 + 2 convolutions with a bias each, and 2 upsampling kernels.
    file, out = tmp_path / "published.npz", tmp_path / "1.keras"
    assert capsys.readouterr().out == (
        f"{file}: 36 tensors moved; 6 classes, unnamed.\nWritten: {out}\n"
    )


def test_names_and_geometry_as_given(tmp_path, capsys):
    (tmp_path / "names.txt").write_text("sky\nroad\ncar\n")
    names = str(tmp_path / "names.txt")
    tensors = published_tensors("fcn16s", num_classes=3, **NARROW)
    tensors["fc6.weight"] = tensors["fc6.weight"][:, :, 2:5, 2:5]  # which `caffe` has not
    model = imported(tmp_path, tensors, geometry="same", class_names=names)
    assert model.class_names == ["sky", "road", "car"]
    arguments = model.build_arguments
    assert (arguments["geometry"], arguments["fc6_kernel"]) == ("same", 3)
    assert "36 tensors moved; 3 classes, sky to car.\n" in capsys.readouterr().out
    (tmp_path / "names.txt").write_text("sky\nroad\nsky\n")
    with pytest.raises(InputError, match=r"names a class twice: sky, road, sky"):
        imported(tmp_path, tensors, geometry="same", class_names=names)
    (tmp_path / "names.txt").write_text("sky\nroad\n")
    with pytest.raises(InputError, match=r"as fcn16s: class_names=.*3 long"):
        imported(tmp_path, tensors, geometry="same", class_names=names)


def test_21_classes_are_those_of_pascal_voc(tmp_path, capsys):
    model = imported(tmp_path, published_tensors("fcn16s", **NARROW))
    assert tuple(model.class_names) == VOC_CLASSES
    assert model.palette[15] == [192, 128, 128]  # person
    assert "21 classes, background to tvmonitor.\n" in capsys.readouterr().out


def test_alexnet_is_recognized_and_has_one_variant(tmp_path):
    tensors = alexnet_tensors(3, width=1 / 16, head_units=5)
    with pytest.raises(InputError, match="holds AlexNet: give --variant fcn32s"):
        imported(tmp_path, tensors)
    arguments = imported(tmp_path, tensors, "fcn32s").build_arguments
    found = [arguments[key] for key in ("trunk", "width", "head_units", "geometry")]
    assert found == ["alexnet", 1 / 16, 5, "caffe"]


def test_a_geometry_that_a_resnet_lacks_is_refused(tmp_path):
    tensors = torchvision_tensors("fcn_resnet50", 3, width=1 / 64)
    with pytest.raises(InputError, match=r"geometry='caffe': it must be one of same with fcn_res"):
        imported(tmp_path, tensors, "fcn_resnet50", geometry="caffe")


def test_what_cannot_be_written_is_refused_before_the_file_is_read(tmp_path):
    (tmp_path / "taken.keras").write_bytes(b"mine")
    for out, message in (
        ("m.h5", "must end in .keras"),
        ("taken.keras", "exists already and is left alone"),
        ("no/m.keras", "there is no folder"),
    ):
        with pytest.raises(InputError, match=message):
            import_weights(
                ImportWeightsOptions(file="none.npz", variant="fcn8s", out=str(tmp_path / out))
            )
    assert (tmp_path / "taken.keras").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["taken.keras"]


@pytest.mark.parametrize("variant", ["unet", "segnet", "segnet_basic"])
def test_a_network_without_a_published_file_is_refused_by_name(tmp_path, variant):
    options = ImportWeightsOptions(file="none.npz", variant=variant, out=str(tmp_path / "m.keras"))
    with pytest.raises(InputError, match=f"^--variant {variant}: .*no published file of it"):
        import_weights(options)
