import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf.data.start_check
from fcn_tf.commands.evaluate import EvaluateOptions, evaluate
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import whole_images
from fcn_tf.data.faults import data_errors_as
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import build_fcn, save_model
from tests.data.test_layouts import CLASSES, write_cvat
from tests.sources import numbered_pair, source_of


@pytest.mark.parametrize("error", [tf.errors.InvalidArgumentError, tf.errors.UnknownError])
def test_an_error_that_no_file_causes_passes(error):
    source = source_of(val=[numbered_pair(4, 5)] * 2)
    with pytest.raises(error, match="Incompatible"), data_errors_as(RunError, source, "val"):
        raise error(None, None, "Incompatible shapes\nand much more")


@pytest.mark.parametrize("kind", [InputError, RunError])
def test_the_record_that_fails_is_looked_for(kind):
    good = numbered_pair(4, 5)
    source = source_of(val=[good, good, (good[0].astype(np.float32), good[1]), good])
    with (
        pytest.raises(kind, match=r"^record 2: it cannot be decoded \([^{}\n]+\)\.$"),
        data_errors_as(kind, source, "val"),
    ):
        list(whole_images(source, "val"))


def test_a_file_that_breaks_in_an_evaluation_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 1)
    write_cvat(tmp_path / "data", ("Train", "Validation"))
    Image.fromarray(np.full((24, 32, 3), 9, np.uint8)).save(
        tmp_path / "data/SegmentationClass/street_3.png"
    )
    save_model(
        build_fcn("fcn8s", 3, width=1 / 64, head_units=4, class_names=CLASSES), tmp_path / "m.keras"
    )
    data = Config(data=DataConfig(data_dir=str(tmp_path / "data"))).data
    with pytest.raises(RunError, match=r"^/.*street_3.png: colour \(9, 9, 9\) in 768 pixels"):
        evaluate(EvaluateOptions(model=str(tmp_path / "m.keras"), data=data))
