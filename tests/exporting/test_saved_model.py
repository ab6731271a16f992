"""The signatures of a SavedModel whose answers can be worked out by hand."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from fcn_tf.commands.evaluate import EvaluateOptions, evaluate
from fcn_tf.config.export_record import ExportRecord
from fcn_tf.config.schema import Config, DataConfig, ModelConfig, TrainingConfig
from fcn_tf.exporting.decoding import pixels_or_reason
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import Served, run, write_saved_model
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.sending import encoded
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
        png = super()._label_png(contents)
        return tf.cond(
            png == "", lambda: png, lambda: tf.io.encode_png(tf.io.decode_png(png)[:, ::-1])
        )


class OthersReasons(Served):
    """It finds nothing wrong with anything."""

    def _reason(self, contents):
        return tf.constant("")


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

    # A server runs it in a session.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        serving = loaded.signature_def["serving_default"]
        given, answered = serving.inputs["image_bytes"], serving.outputs["label_png_bytes"]
        contents = [file_of(image()), b"\x89PNG and no more", file_of(image()[:, ::-1])]
        first, none, mirrored = session.run(answered.name, {given.name: contents})
    assert none == b""
    labels = image().argmax(-1)
    np.testing.assert_array_equal(Image.open(io.BytesIO(first)), labels)
    np.testing.assert_array_equal(Image.open(io.BytesIO(mirrored)), labels[:, ::-1])


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (OthersPngs, r"the signatures agree on 0\.\d{6} of the pixels"),
        (OthersLabels, r"the signatures agree on 0\.\d{6} of the pixels"),
        (OthersReasons, "the signature check says b'' of an image, b'' of none"),
    ],
)
def test_signatures_that_disagree_are_refused(tmp_path, served, message):
    module = served(logits, 1000)
    signatures = {
        "serving_default": module.label_pngs,
        "check": module.check,
        "labels": module.labels,
        "scores": module.scores,
    }
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    with pytest.raises(SystemExit, match=message):
        run(str(tmp_path))(image())


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decoded(contents):
    return pixels_or_reason(contents, 1000)


def answer_to(contents):
    """The pixels that a served model decodes of a file."""
    pixels, reason = decoded(contents)
    assert reason == ""
    return pixels.numpy()


def file_of(picture, kind="PNG", **options):
    content = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(content, kind, **options)
    return content.getvalue()


def test_a_server_decodes_the_pixels_that_are_stored():
    """A JPEG as Pillow does, to the last grey level; an EXIF orientation is left aside."""
    smooth = Image.fromarray(random_images(4, 5, 3)).resize((30, 20), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for options in ({}, {"exif": turned}, {"subsampling": "4:4:4", "progressive": True}):
        contents = file_of(smooth, "JPEG", quality=60, **options)
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
    pixels, reason = decoded(contents)
    assert pixels.shape == (0, 0, 3)
    assert reason.numpy().decode().startswith(message)


def test_each_image_of_a_call_is_answered_by_itself():
    """Good ones among all kinds of others: each good one has its labels, each other its reason."""
    first, second = image(), random_images(5, 200, 3)
    huge, empty = bytearray(file_of(first)), bytearray(file_of(first))
    huge[16:24] = (31_623).to_bytes(4, "big") * 2  # 10 ** 9 pixels, in the header alone
    empty[16:20] = bytes(4)
    turned_off = bytearray(file_of(first))
    turned_off[60] ^= 255  # among the compressed pixels
    neither, broken = "neither a JPEG nor a PNG", "cannot be decoded: it is cut off or damaged"
    given = [
        (file_of(first), ""),
        (b"", neither),
        (b"\x89P", neither),
        (b"no image", neither),
        (file_of(first)[:3], broken),
        (file_of(first)[:21], broken),
        (file_of(first)[:-100], broken),
        (bytes(turned_off), broken),
        (file_of(first, "JPEG")[:3], broken),
        (file_of(first, "JPEG")[:30], broken),
        (file_of(first, "JPEG")[:-300], broken),
        (file_of(second), ""),
        (bytes(huge), "31623x31623 px (height x width); it must have between 1 and 1000 pixels"),
        (bytes(empty), "20x0 px"),
        (file_of(random_images(7, 143, 3)), "7x143 px"),
        (png(GREY, 16), "16 bits a channel"),
    ]
    served = Served(logits, 1000)
    contents = tf.constant([contents for contents, _ in given])
    reasons = served.check(contents)["reason"].numpy()
    pngs = served.label_pngs(contents)["label_png_bytes"].numpy()
    for (_, expected), reason, labels in zip(given, reasons, pngs, strict=True):
        assert expected in reason.decode()
        assert bool(reason) == bool(expected) == (not labels)
    for number, pixels in ((0, first), (11, second)):
        labels = Image.open(io.BytesIO(pngs[number]))
        np.testing.assert_array_equal(labels, pixels.argmax(-1))


def test_images_above_the_limit_together_are_computed_in_parts():
    """The network here answers how many images it is given at once."""

    @tf.function(input_signature=[tf.TensorSpec(FREE, tf.uint8)])
    def counts(images):
        count = tf.cast(tf.shape(images)[0], tf.float32)
        shown = tf.cast(images[..., :2], tf.float32) / 255
        return tf.stack([shown[..., 0], tf.ones_like(shown[..., 0]) * tf.math.log(count)], -1)

    served = Served(counts, 1000)
    images = random_images(7, 10, 30, 3)  # of 300 px: three at once
    scores = served.scores(tf.constant(images))["scores"].numpy()
    at_once = np.array([3, 3, 3, 3, 3, 3, 1], np.float32)[:, None, None]
    red = np.exp(images[..., 0] / np.float32(255))
    np.testing.assert_allclose(scores[..., 0], red / (red + at_once), rtol=1e-5)
    labels = served.labels(tf.constant(images))["labels"].numpy()
    np.testing.assert_array_equal(labels, red < at_once)
    whole = random_images(2, 10, 100, 3)  # each is as large as is allowed
    scores = served.scores(tf.constant(whole))["scores"].numpy()
    red = np.exp(whole[..., 0] / np.float32(255))
    np.testing.assert_allclose(scores[..., 0], red / (red + 1), rtol=1e-5)
    for answer in (served.labels, served.scores):
        for shape, message in [
            ((1, 11, 91, 3), r"of an image is\] \[1001\] \[it must be between 1 and 1000 "),
            ((2, 11, 91, 3), "between 1 and 1000"),
            ((1, 0, 5, 3), "without pixels"),
            ((0, 5, 5, 3), "without pixels"),
        ]:
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                answer(tf.zeros(shape, tf.uint8))


def test_a_served_model_describes_itself():
    """Without the path of the model that was exported."""
    record = ExportRecord(
        model="/home/me/secret.keras",
        classes=("草", "sea", "sand"),
        palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        margin_px=32,
        max_pixels=1000,
        value_range=(0.0, 4095.0),
    )
    served = Served(logits, 1000, record)
    answers = served.describe(tf.constant(["", "x"]))["description"].numpy()
    assert len(answers) == 2
    for answer in answers:
        assert answer.isascii()
        assert b"secret" not in answer
        described = ExportRecord.from_json(answer.decode())
        assert described == replace(record, model=None)


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
