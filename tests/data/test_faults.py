import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf.data.start_check
from fcn_tf.commands.evaluate import EvaluateOptions, evaluate
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data.faults import data_errors_as
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import build_fcn, save_model
from tests.data.test_layouts import CLASSES, write_cvat


@pytest.mark.parametrize(
    ("kind", "error"),
    [(InputError, tf.errors.InvalidArgumentError), (RunError, tf.errors.UnknownError)],
)
def test_the_first_line_stands_where_no_file_is_named(kind, error):
    with pytest.raises(kind, match=r"^Invalid JPEG.*check-data says which"), data_errors_as(kind):
        raise error(None, None, "Invalid JPEG data\nand much more")


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
