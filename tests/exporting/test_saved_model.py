"""The signatures of a SavedModel whose answers can be worked out by hand."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from fcn_tf.commands.evaluate import EvaluateOptions, evaluate
from fcn_tf.config.schema import Config, DataConfig, ModelConfig, TrainingConfig
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import Served, run, write_saved_model
from fcn_tf.inference.client import encoded
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import load_model
from fcn_tf.training.loop import train
from tests.images.files import GREY, RGB, png, saved
from tests.networks import random_images

FREE = (None, None, None, 3)


@tf.function(input_signature=[tf.TensorSpec(FREE, tf.uint8)])
def logits(images):
    """The colours of a pixel, which are different."""
    return tf.cast(images, tf.float32) / 255


class OthersPngs(Served):
    """Its PNGs of labels are of the mirrored image."""

    def _label_png(self, contents):
        labels = self._labels(self._decode(contents)[None])[0]
        return tf.io.encode_png(labels[:, ::-1, None])


class OthersLabels(Served):
    """Its labels are of the mirrored image."""

    @tf.function(input_signature=[tf.TensorSpec(FREE, tf.uint8, name="images")])
    def labels(self, images):
        return {"labels": self._labels(images)[:, :, ::-1]}


def image():
    """Noise, in which no two channels of a pixel are the same."""
    noise = random_images(20, 30, 3)
    return noise // 3 * 3 + np.arange(3, dtype=np.uint8)


def test_the_answer_is_the_softmax_of_the_logits(tmp_path):
    write_saved_model(logits, tmp_path, max_pixels=1000)
    found = run(str(tmp_path))(image())
    exponents = np.exp(image() / 255)
    expected = exponents / exponents.sum(-1, keepdims=True)
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-5)


@pytest.mark.parametrize("served", [OthersPngs, OthersLabels])
def test_signatures_that_disagree_are_refused(tmp_path, served):
    module = served(logits, 1000)
    signatures = {
        "serving_default": module.label_pngs,
        "labels": module.labels,
        "scores": module.scores,
    }
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    with pytest.raises(SystemExit, match=r"the signatures agree on 0\.\d{6} of the pixels"):
        run(str(tmp_path))(image())


def answer_to(contents):
    """The pixels that a served model decodes of a file."""
    return tf.function(Served(logits, 1000)._decode)(tf.constant(contents)).numpy()


def file_of(picture, kind="JPEG", **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def test_a_server_decodes_the_pixels_that_are_stored():
    """A JPEG as Pillow does, to the last grey level; an EXIF orientation is left aside."""
    smooth = Image.fromarray(random_images(4, 5, 3)).resize((30, 20), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for options in ({}, {"exif": turned}, {"subsampling": "4:4:4", "progressive": True}):
        contents = file_of(smooth, quality=60, **options)
        np.testing.assert_array_equal(answer_to(contents), Image.open(io.BytesIO(contents)))
    np.testing.assert_array_equal(answer_to(file_of(smooth, "PNG", exif=turned)), smooth)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (png(GREY, 16), "image_bytes holds a PNG of 16 bits a channel: send it with 8 bits"),
        (png(RGB, 16), "image_bytes holds a PNG of 16 bits a channel: send it with 8 bits"),
        (saved("JPEG", "CMYK"), "image_bytes holds a JPEG in CMYK: send it as RGB"),
        (saved("BMP"), "image_bytes holds neither a JPEG nor a PNG"),
    ],
)
def test_a_server_refuses_what_it_would_change(contents, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        answer_to(contents)


@pytest.mark.slow
def test_photos_are_scored_alike_in_training_by_evaluate_and_by_the_saved_model(
    tmp_path, few_figures
):
    """From JPEG files, of which one is turned by EXIF; labels differ where two scores are equal."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for split, count in (("train", 2), ("val", 4)):
        for number in range(count):
            small = random_images(6, 8, 3, seed=number)
            photo = Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC)
            mask = Image.fromarray(small[..., 0] % 3).resize((80, 60), Image.Resampling.NEAREST)
            own = {"exif": turned} if number == 1 else {}
            for kind, file, options in (
                ("images", photo, {"quality": 70, **own}),
                ("masks", mask.transpose(Image.Transpose.ROTATE_270) if own else mask, {}),
            ):
                path = tmp_path / f"data/{kind}/{split}/{number}"
                path.parent.mkdir(parents=True, exist_ok=True)
                suffix = ".jpg" if kind == "images" else ".png"
                file.save(path.with_suffix(suffix), **options)
    (tmp_path / "data/classes.txt").write_text("a\nb\nc\n")
    config = Config(
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=2, crop_px=64),
        model=ModelConfig(width=0.0625, head_units=16),
        training=TrainingConfig(max_steps=4, eval_every_steps=4),
    )
    run_folder = train(config, tmp_path / "run")
    lines = (run_folder / "metrics.jsonl").read_text().splitlines()
    (logged,) = [line for line in map(json.loads, lines) if line["split"] == "val"]
    evaluate(EvaluateOptions(model=str(run_folder), out=str(tmp_path / "report")))
    scores = json.loads((tmp_path / "report/scores.json").read_text())
    assert scores["mean_iou"] == logged["mean_iou"] > 0
    assert scores["class_iou"] == logged["class_iou"]

    folder = tmp_path / "saved_model/1"
    write_saved_model(freeze(load_model(run_folder)), folder, max_pixels=10_000)
    keras, saved = Predictor(run_folder), Predictor(folder)
    serving = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for path in sorted((tmp_path / "data/images/val").iterdir()):
        best = np.sort(keras.scores(path), axis=-1)[..., -2:]
        differ = keras(path) != saved(path)
        assert np.diff(best)[..., 0][differ].max(initial=0) <= 1e-5
        # What a server answers to the file that is sent.
        answer = serving(image_bytes=tf.constant([encoded(path)]))["label_png_bytes"][0]
        np.testing.assert_array_equal(tf.io.decode_png(answer)[..., 0], saved(path))
