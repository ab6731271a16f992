"""Scores of a model on a data set, and the report of a run."""

from pathlib import Path

from fcn_tf.classes import voc_palette
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.faults import named_as
from fcn_tf.data.pipeline import spread_samples
from fcn_tf.drawing import sample_sheet, write_figure
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.evaluate import evaluate_predictions
from fcn_tf.evaluation.report import scores_json, scores_table, write_scores
from fcn_tf.models import load_model
from fcn_tf.predictor import labels_fn
from fcn_tf.progress import with_progress

REPORT_DIR = "report"
SHEET_SAMPLES = 6


def evaluate(model_or_path, dataset):
    """The paper's four scores of a model.

    Args:
        model_or_path: an `FCN`, a `.keras` file or a run folder.
        dataset: an iterable of dicts with `image` uint8 (H, W, 3) and
            `segmentation_mask` uint8 (H, W, 1), class indices and 255 for VOID:
            `tfds.load("shapes", split="val")`, for example.

    Returns:
        dict of pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou
        (fractions), class_iou (C,) and confusion_matrix int64 (C, C).

    Raises:
        InputError: there is no such model.
    """
    is_path = isinstance(model_or_path, (str, Path))
    model = load_model(model_or_path) if is_path else model_or_path
    predict = labels_fn(model)
    return evaluate_predictions(
        lambda example: predict(example["image"][None])[0], dataset, model.num_classes
    )


def report_model(path, data_config, split="val", out=None):
    """Scores a model on a split of a data set and writes the report; see `write_report`.

    Args:
        path: a run folder or a `.keras` file.
        data_config: a `DataConfig`.
        split: "train", "val", "test", or VOC's "trainval".
        out: folder for the files; default `report/` in the run folder or
            beside the file, and `report/SPLIT/` for another split than val.

    Raises:
        InputError: no such model or split, or classes that are not the model's.
        RunError: a file breaks while it is read.
    """
    model = load_model(path)
    source = open_source(data_config)
    if not source.split_sizes.get(split):
        there = ", ".join(source.split_sizes)
        raise InputError(f"The data set has no split {split}: there are {there}.")
    check_classes(model, source, path)
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    default = folder / REPORT_DIR / ("" if split == "val" else split)
    with named_as(RunError):
        write_report(model, source, split, Path(out) if out else default)


def check_classes(model, source, name):
    """Refuses a data set whose classes are not a model's.

    Args:
        model: an `FCN`; without class names, their number counts.
        source: a `Source`.
        name: what the model is called.

    Raises:
        InputError: they differ.
    """
    known = model.class_names or [f"class {index}" for index in range(model.num_classes)]
    same = model.class_names is None or tuple(known) == source.class_names
    if not same or len(known) != len(source.class_names):
        raise InputError(
            f"{name} knows the classes {', '.join(known)}, but the data set has "
            f"{', '.join(source.class_names)}."
        )


def write_report(model, source, split, out):
    """Prints the scores; writes scores.json and sample_sheet.png.

    Args:
        model: an `FCN`.
        source: a `Source` with the model's classes.
        split: one of its splits.
        out: folder for the files.
    """
    size = source.split_sizes[split]
    predict = labels_fn(model)
    scores = evaluate_predictions(
        lambda example: predict(example["image"][None])[0],
        with_progress(whole_images(source, split), size, "image"),
        model.num_classes,
    )
    plain = {"split": split, "images": size, **scores_json(scores, source.class_names)}
    print(f"Scores on {split}, {size} images:\n{scores_table(plain)}")
    write_scores(out / "scores.json", plain)

    rows = [
        {**sample, "prediction": predict(sample["image"][None])[0].numpy()}
        for sample in spread_samples(source, split, size, SHEET_SAMPLES)
    ]
    palette = model.palette or voc_palette(model.num_classes)
    write_figure(out / "sample_sheet.png", sample_sheet(rows, source.class_names, palette))
    print(f"Written: {out / 'scores.json'}, {out / 'sample_sheet.png'}", flush=True)
