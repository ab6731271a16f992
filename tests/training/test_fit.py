"""The course of a run whose steps and scores are given: what is logged, shown, saved and when."""

import dataclasses
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.schema import Config, TrainingConfig
from fcn_tf.data.faults import BrokenFile
from fcn_tf.data.skipped import Skipped
from fcn_tf.errors import RunError
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.training.checkpoints import Place
from fcn_tf.training.distribution import Cluster
from fcn_tf.training.fit import fit
from fcn_tf.training.stopping import Stopped

LOSSES = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25]  # of the steps 1 to 6
FIRST_S, STEP_S, EVALUATION_S = 4.25, 0.25, 100.0
TRAIN_LINE = {"loss": 1.0, **dict.fromkeys(SCORES, 0.5)}  # of a run that is resumed


class GivenRun:
    """A `Run` of two classes that computes nothing: what it answers follows from the step.

    It is its own clock: the first call takes longer, as it compiles, and an evaluation very long.
    """

    samples_a_step = 6
    skipped = None

    def __init__(self, training, val_ious):
        self.config = Config(training=training)
        self.cluster = Cluster(tf.distribute.get_strategy())
        self.source = SimpleNamespace(split_sizes={"train": 40, "val": 5}, skipped=self.skipped)
        self.model = SimpleNamespace(stop_training=True)  # as another run may have left it
        self.val_ious = iter(val_ious)
        self.now, self.step, self.calls = 1000.0, 0, []
        self.passes = []  # over train: the step and the time

    def perf_counter(self):
        return self.now

    def monotonic(self):
        return 3 * self.now

    def train_call(self, steps):
        steps = int(steps)
        self.now += STEP_S * steps + (0 if self.calls else FIRST_S - STEP_S)
        self.calls.append(steps)
        numbers = range(self.step, self.step + steps)
        self.step += steps
        # Step s has s + 1 pixels right of class 0, one wrong, and two right of class 1.
        confusion = sum(np.array([[number + 1, 1], [0, 2]]) for number in numbers)
        losses = [LOSSES[number % len(LOSSES)] for number in numbers]
        return tf.constant(losses), tf.constant(confusion, tf.int64)

    def learning_rate(self):
        return 0.5 / self.step

    def take_statistics(self, between_calls):
        between_calls()
        self.passes.append((self.step, self.now))

    def evaluate(self, between_calls):
        self.now += EVALUATION_S
        between_calls()
        given = next(self.val_ious)
        iou = given if isinstance(given, dict) else {"mean_iou": given}
        scores = {"pixel_accuracy": 0.75, "mean_accuracy": None, "frequency_weighted_iou": 0.125}
        scores["mean_dice"] = 0.625
        return {"loss": 3.0, **scores, **iou, "class_iou": {"a": 0.5, "b": None}}

    def pictures(self):
        return {"a.png": self.step}


class GivenFolder:
    """A `RunFolder` that notes what it is asked for, in order."""

    def __init__(self, run):
        self.run, self.log = run, self
        self.events, self.lines, self.places, self.profiled = [], [], [], []

    def write(self, line):
        self.lines.append(line)
        self.events.append((line["step"], line["split"]))

    def write_pictures(self, step, pictures):
        assert pictures == {"a.png": step}
        self.events.append((step, "pictures"))

    def save_checkpoint(self, place):
        self.places.append(Place(**dataclasses.asdict(place)))
        self.events.append((place.step, "checkpoint"))

    def save_model(self):
        self.events.append((self.run.step, "model"))

    def profile(self, step):
        self.profiled.append(step)


@pytest.fixture
def take(monkeypatch):
    """Takes a run from a place to its end, and returns its folder."""

    def take(
        *,
        val_ious=(0.5, 0.25),
        place=None,
        callbacks=(),
        signals=None,
        seconds=math.inf,
        cluster=None,
        **training,
    ):
        keys = {"max_steps": 6, "eval_every_steps": 3, "log_every_steps": 2, **training}
        run = GivenRun(TrainingConfig(**keys), val_ious)
        take.folder = folder = GivenFolder(run)
        folder.place = place = place or Place()
        run.step = place.step
        run.cluster = cluster or run.cluster
        monkeypatch.setattr("fcn_tf.training.fit.time", run)
        monkeypatch.setattr("fcn_tf.training.fit.bar_interval_s", lambda: 0)
        fit(
            run,
            place,
            folder=None if cluster else folder,
            callbacks=callbacks,
            signals=signals or SimpleNamespace(number=None),
            deadline=run.monotonic() + 3 * seconds,
        )
        return folder

    return take


def at(line, step, split):
    (found,) = [each for each in line if (each["step"], each["split"]) == (step, split)]
    return found


def test_what_is_written_when(take):
    folder = take(checkpoint_every_steps=4)
    assert folder.events == [
        (2, "train"),
        (3, "train"),
        (3, "val"),
        (3, "pictures"),
        (3, "checkpoint"),  # before the model, which a resumed run can write again
        (3, "model"),
        (4, "train"),
        (4, "checkpoint"),
        (6, "train"),
        (6, "val"),
        (6, "pictures"),
        (6, "checkpoint"),  # the end; the model of step 3 is better
    ]


def test_a_checkpoint_that_is_due_at_an_evaluation_is_written_once(take):
    """Nothing becomes better here, and the end needs no other one."""
    for period, steps in ((None, [2, 3, 4, 5, 6]), (3, [3, 6]), (4, [4, 6])):
        place = Place(step=1, best_iou=1.0, best_step=0, evaluated_step=1)
        often = {"eval_every_steps": 1, "checkpoint_every_steps": period}
        folder = take(place=place, val_ious=[0.5] * 5, **often)
        assert [step for step, what in folder.events if what == "checkpoint"] == steps


def test_the_last_step_is_evaluated_in_any_case(take):
    """And it has a line of its own."""
    folder = take(max_steps=5, log_every_steps=4, eval_every_steps=3)
    assert [(line["step"], line["split"]) for line in folder.lines] == [
        *[(3, "train"), (3, "val"), (4, "train")],
        *[(5, "train"), (5, "val")],
    ]


def test_a_line_tells_of_the_steps_since_the_last_one(take):
    lines = take().lines
    first, second, third, fourth = (at(lines, step, "train") for step in (2, 3, 4, 6))
    assert first["loss"] == (8 + 4) / 2
    assert second["loss"] == 2
    assert third["loss"] == 1
    assert fourth["loss"] == (0.5 + 0.25) / 2
    # Steps 1 and 2: three of five pixels of class 0, and all four of class 1.
    assert first["pixel_accuracy"] == pytest.approx(7 / 9)
    assert first["mean_accuracy"] == pytest.approx((3 / 5 + 1) / 2)
    assert first["mean_iou"] == pytest.approx((3 / 5 + 4 / 6) / 2)
    assert first["frequency_weighted_iou"] == pytest.approx((5 * 3 / 5 + 4 * 4 / 6) / 9)
    assert second["pixel_accuracy"] == pytest.approx(5 / 6)
    assert fourth["pixel_accuracy"] == pytest.approx((5 + 6 + 4) / (5 + 6 + 4 + 2))
    # Six images a step; the time of an evaluation is none of training.
    assert first["images_per_second"] == pytest.approx(2 * 6 / (FIRST_S + STEP_S), abs=1e-3)
    assert [line["images_per_second"] for line in (second, third, fourth)] == [6 / STEP_S] * 3
    assert [line["epoch"] for line in (first, second, third, fourth)] == [0.3, 0.45, 0.6, 0.9]
    assert first["learning_rate"] == 0.25
    val = at(lines, 3, "val")
    assert (val["loss"], val["mean_iou"], val["epoch"]) == (3.0, 0.5, 0.45)
    assert val["class_iou"] == {"a": 0.5, "b": None}


def test_what_the_bar_shows(take, capsys):
    """Loss and scores of the steps since the last line, and the last mean IU of val."""
    take()
    shown = capsys.readouterr().out.replace("\b", "").split("\r")[1:]
    one, two, three, after_three, four, end = [text.strip().split(" - ") for text in shown]
    for text, done in ((one, 1), (two, 2), (three, 3), (after_three, 3), (four, 4), (end, 6)):
        assert f"{done}/6" in text[0]
    assert two[1:] == ["loss: 6.0000", "mean_iou: 0.6333", "images_per_s: 2.6667"]
    assert one[1] == "loss: 8.0000"
    assert three[1:3] == ["loss: 2.0000", "mean_iou: 0.7083"]
    assert after_three[1:] == [*three[1:], "val_mean_iou: 0.5000"]
    assert four[3:] == ["images_per_s: 24.0000", "val_mean_iou: 0.5000"]
    assert end[1] == "loss: 0.3750"
    assert end[-1] == "val_mean_iou: 0.2500"
    place = Place(step=4, evaluated_step=3, best_iou=0.5, best_step=3)
    take(place=place, val_ious=[0.25])  # a bar of what this command has to do
    assert "2/2" in capsys.readouterr().out.split("\r")[-1]


@pytest.mark.parametrize(
    ("training", "calls"),
    [
        # A second each, as soon as the time of a step is known: the first call compiles.
        ({"steps_per_call": 10}, [1, 1, 4, 4, 4, 4, 2]),
        ({"steps_per_call": 3}, [1, 1, 3, 3, 3, 3, 3, 3]),
        ({"steps_per_call": 1}, [1] * 20),
        # A call ends where something is due.
        ({"log_every_steps": 5}, [1, 1, 3, 4, 1, 4, 1, 4, 1]),
        ({"checkpoint_every_steps": 8}, [1, 1, 4, 2, 4, 4, 4]),
        ({"eval_every_steps": 10}, [1, 1, 4, 4, 4, 4, 2]),
        ({"profile_steps": (5, 7)}, [1, 1, 2, 3, 4, 4, 4, 1]),
        ({"max_steps": 4}, [1, 1, 2]),
    ],
)
def test_how_many_steps_a_call_takes(take, training, calls):
    rare = dict.fromkeys(("max_steps", "log_every_steps", "eval_every_steps"), 20)
    folder = take(**{**rare, "steps_per_call": 10, **training})
    assert folder.run.calls == calls
    assert folder.place.samples == sum(calls) * folder.run.samples_a_step


def test_slow_steps_are_taken_one_by_one(take, monkeypatch):
    monkeypatch.setattr("tests.training.test_fit.STEP_S", 2.0)
    assert take(eval_every_steps=6, log_every_steps=6).run.calls == [1] * 6


def test_a_profile_is_told_of_its_first_and_last_step(take):
    folder = take(profile_steps=(3, 5), eval_every_steps=6, log_every_steps=6)
    assert sorted(set(folder.profiled)) == [0, 2, 5, 6]  # before step 3, and after step 5


@pytest.mark.parametrize(
    ("val_ious", "models", "best"),
    [
        ([0.5, 0.25], [3], (0.5, 3)),
        ([0.25, 0.5], [3, 6], (0.5, 6)),
        ([0.5, 0.5], [3], (0.5, 3)),  # the first of equals
        ([None, None], [3], (0.0, 3)),  # nothing of val is labelled
    ],
)
def test_the_model_is_the_best_by_the_mean_iou_of_val(take, val_ious, models, best):
    folder = take(val_ious=val_ious)
    assert [step for step, what in folder.events if what == "model"] == models
    assert (folder.place.best_iou, folder.place.best_step) == best
    # By the mean IU, whatever the other scores and the loss are.
    assert (folder.places[-1].best_iou, folder.places[-1].best_step) == best


def test_the_place_in_a_checkpoint(take):
    folder = take(checkpoint_every_steps=5, log_every_steps=4)
    of_3, of_5, of_6 = folder.places
    assert (of_3.step, of_3.samples, of_3.epoch, of_3.evaluated_step) == (3, 18, 1, 3)
    assert (of_5.step, of_5.samples, of_5.epoch, of_5.evaluated_step) == (5, 30, 1, 3)
    assert (of_6.step, of_6.samples, of_6.epoch, of_6.evaluated_step) == (6, 36, 2, 6)
    # Step 5 is of no line yet.
    assert (of_5.losses, of_5.confusion, of_5.seconds) == ([0.5], [[5, 1], [0, 2]], STEP_S)
    assert (of_6.losses, of_6.confusion, of_6.seconds) == ([], None, 0.0)
    assert of_5.train_line["loss"] == 1
    resumed = take(place=of_5, val_ious=[0.25], log_every_steps=4)
    assert at(resumed.lines, 6, "train")["loss"] == (0.5 + 0.25) / 2
    assert at(resumed.lines, 6, "train")["pixel_accuracy"] == pytest.approx(15 / 17)
    assert (6, "model") not in resumed.events  # the best mean IU was 0.5 before


@pytest.mark.parametrize(
    ("place", "events"),
    [
        # Killed between the checkpoint and the model.
        ({"best_step": 4, "evaluated_step": 4, "best_iou": 0.9}, [(4, "model")]),
        ({"best_step": 3, "evaluated_step": 4, "best_iou": 0.9}, []),
        # Stopped before the evaluation of step 4, or in it.
        (
            {"best_step": 2, "evaluated_step": 2, "best_iou": 0.9},
            [(4, "val"), (4, "pictures"), (4, "checkpoint")],
        ),
    ],
)
def test_what_a_resumed_run_does_before_its_first_step(take, place, events):
    every = {"eval_every_steps": 2, "log_every_steps": 2}
    place = Place(step=4, train_line=TRAIN_LINE, **place)
    folder = take(place=place, val_ious=[0.25, 0.25], **every)
    of_step_6 = [(6, what) for what in ("train", "val", "pictures", "checkpoint")]
    assert folder.events == [*events, *of_step_6]


def test_a_finished_run_does_nothing_more_and_a_longer_one_goes_on(take, capsys):
    done = {"step": 6, "samples": 36, "evaluated_step": 6, "best_iou": 0.5, "best_step": 3}
    done["train_line"] = TRAIN_LINE
    assert take(place=Place(**done)).events == []
    capsys.readouterr()
    longer = take(place=Place(**done), val_ious=[0.9], max_steps=8, eval_every_steps=8)
    assert [what for _, what in longer.events][:2] == ["train", "val"]
    assert "Ended" not in capsys.readouterr().out
    # Stopped in its last evaluation, it does that and no step.
    done["evaluated_step"] = 3
    for eval_every_steps in (3, 4):  # a last step is evaluated though no evaluation is due
        folder = take(place=Place(**done), val_ious=[0.25], eval_every_steps=eval_every_steps)
        assert folder.run.calls == []
        assert (6, "val") in folder.events


PATIENT = {"max_steps": 9, "eval_every_steps": 1, "log_every_steps": 9, "patience": 2}


def copied(place, **changes):
    return Place(**{**dataclasses.asdict(place), **changes})


@pytest.mark.parametrize("asked", [True, False])
def test_a_pass_over_train_comes_before_each_evaluation(take, asked):
    run = take(batch_norm_pass=asked).run
    first_s = 1000 + FIRST_S + 2 * STEP_S
    expected = [(3, first_s), (6, first_s + EVALUATION_S + 3 * STEP_S)]
    assert run.passes == (expected if asked else [])


def test_a_run_ends_after_evaluations_without_a_gain(take, capsys):
    """Two of them one after the other; an equal mean IU is no gain."""
    folder = take(val_ious=[0.5, 0.25, 0.625, 0.625, 0.5], **PATIENT)
    assert (folder.place.step, folder.place.best_step, folder.place.without_gain) == (5, 3, 2)
    assert folder.events[-1] == (5, "checkpoint")
    assert folder.places[-1].without_gain == 2
    out = capsys.readouterr().out
    assert out.endswith(
        "Ended after step 5: the mean IU on val has not risen in 2 evaluations "
        "(training.patience=2). The best is 62.5 %, of step 3. To go on, add --resume and a larger "
        "--training.patience, or null.\n"
    )


def test_a_resumed_run_has_the_patience_that_is_left(take, capsys):
    """It counts on, ends again where it had ended, and goes on with more patience."""
    whole = take(val_ious=[0.5, 0.25, 0.25], checkpoint_every_steps=1, **PATIENT)
    _, at_2, at_3 = whole.places
    resumed = take(place=copied(at_2), val_ious=[0.25], **PATIENT)
    assert (resumed.place.step, resumed.place.without_gain) == (3, 2)
    capsys.readouterr()
    again = take(place=copied(at_3), **PATIENT)
    assert (again.events, again.run.calls) == ([], [])
    assert "not risen in 2 evaluations" in capsys.readouterr().out
    longer = take(place=copied(at_3), val_ious=[0.75] + 5 * [0], **PATIENT | {"patience": 3})
    assert (longer.place.step, longer.place.best_step) == (7, 4)
    without = take(place=copied(at_3), val_ious=6 * [0], **PATIENT | {"patience": None})
    assert without.place.step == 9
    # Stopped in the evaluation that would have been the last: that comes first.
    unsure = copied(at_3, step=4)
    assert (4, "val") in take(place=unsure, val_ious=[0.75], **PATIENT | {"max_steps": 4}).events


def test_a_last_step_without_a_gain_says_nothing(take, capsys):
    take(val_ious=[0.5, 0.25, 0.25], **PATIENT | {"max_steps": 3})
    assert "Ended" not in capsys.readouterr().out


class Told(keras.callbacks.Callback):
    """Notes what Keras' callbacks are told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_begin(self, logs=None):
        self.told.append("begin")

    def on_train_end(self, logs=None):
        self.told.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("epoch", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("epoch done", epoch, logs))

    def on_train_batch_begin(self, batch, logs=None):
        self.told.append(("batch", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(("batch done", batch, logs["loss"]))


def test_what_callbacks_are_told(take):
    callback = Told()
    folder = take(callbacks=[callback], log_every_steps=2)
    logs = [told[2] for told in callback.told if told[0] == "epoch done"]
    assert callback.told == [
        "begin",
        ("epoch", 0),
        *[("batch", 0), ("batch done", 0, 8.0)],
        *[("batch", 1), ("batch done", 1, 4.0)],
        *[("batch", 2), ("batch done", 2, 2.0)],
        ("epoch done", 0, logs[0]),
        ("epoch", 1),
        *[("batch", 3), ("batch done", 3, 1.0)],
        *[("batch", 4), ("batch done", 5, 0.25)],  # a call of two steps, with the last one's loss
        ("epoch done", 1, logs[1]),
        "end",
    ]
    assert callback.model is folder.run.model
    assert logs[0] == {
        "loss": 2.0,
        **{
            name: at(folder.lines, 3, "train")[name]
            for name in ("mean_iou", "mean_accuracy", "mean_dice")
        },
        "pixel_accuracy": pytest.approx(5 / 6),
        "frequency_weighted_iou": at(folder.lines, 3, "train")["frequency_weighted_iou"],
        "val_loss": 3.0,
        "val_mean_iou": 0.5,
        "val_pixel_accuracy": 0.75,
        "val_mean_dice": 0.625,
        "val_frequency_weighted_iou": 0.125,  # and no mean accuracy, which is undefined
    }
    assert logs[1]["val_mean_iou"] == 0.25


def test_a_run_of_an_older_version_goes_on_without_the_scores_that_it_lacked(take):
    """It was stopped in an evaluation: its last line about training is in the checkpoint."""
    older = {name: value for name, value in TRAIN_LINE.items() if name != "mean_dice"}
    place = Place(step=6, evaluated_step=3, best_iou=0.5, best_step=3, train_line=older)
    callback = Told()
    take(place=place, val_ious=[0.25], callbacks=[callback])
    (logs,) = [told[2] for told in callback.told if told[0] == "epoch done"]
    assert "mean_dice" not in logs
    assert (logs["mean_iou"], logs["val_mean_dice"]) == (0.5, 0.625)


def test_a_callback_can_end_the_run(take, capsys):
    """At an evaluation that brings no better model and no checkpoint of its own."""

    stop = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max")
    rare = {"eval_every_steps": 2, "checkpoint_every_steps": 50, "max_steps": 50}
    folder = take(callbacks=[stop], val_ious=[0.5, 0.25], **rare)
    assert [step for step, what in folder.events if what == "checkpoint"] == [2, 4]
    assert [step for step, what in folder.events if what == "model"] == [2]
    assert "Ended after step 4; --resume continues from there." in capsys.readouterr().out


def test_when_the_time_is_up_the_run_evaluates_and_ends(take, capsys):
    """Within step 3: the first one takes 4.25 s, and the next ones a quarter."""
    rare = {"eval_every_steps": 6, "log_every_steps": 6, "steps_per_call": 1}
    folder = take(seconds=4.6, val_ious=[0.5], **rare)
    assert folder.events == [
        (3, "train"),
        (3, "val"),
        (3, "pictures"),
        (3, "checkpoint"),
        (3, "model"),
    ]
    assert "Ended after step 3; --resume continues from there." in capsys.readouterr().out


def test_a_signal_stops_the_run_after_the_call_in_which_it_comes(take):
    signals = SimpleNamespace(number=None)

    def come(batch, logs):
        signals.number = 2 if batch == 1 else None

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=come)
    with pytest.raises(Stopped):
        take(callbacks=[callback], signals=signals, eval_every_steps=6, log_every_steps=6)
    folder = take.folder
    assert (folder.place.step, folder.place.losses, folder.events) == (2, [8.0, 4.0], [])


def test_a_stop_at_the_step_of_a_log_line_leaves_the_line(take):
    """The resumed run writes those that follow, as one that was not stopped does."""
    whole = take(max_steps=12, eval_every_steps=12, log_every_steps=2)
    signals = SimpleNamespace(number=15)
    place, lines = Place(), []
    while place.step < 11:  # each command is stopped after its first call
        with pytest.raises(Stopped):
            take(place=place, signals=signals, max_steps=12, eval_every_steps=12, log_every_steps=2)
        lines += take.folder.lines
    last = take(place=place, max_steps=12, eval_every_steps=12, log_every_steps=2)

    def timeless(lines):
        return [{**line, "images_per_second": None} for line in lines]

    assert timeless(lines + last.lines) == timeless(whole.lines)


def test_a_signal_in_an_evaluation_ends_it(take):
    """Nothing is noted of it: it is done again."""
    place = Place(step=6, evaluated_step=3, best_iou=0.5, best_step=3, epoch=1)
    with pytest.raises(Stopped):
        take(place=place, signals=SimpleNamespace(number=15))
    assert (place.evaluated_step, place.epoch, take.folder.events) == (3, 1, [])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_the_step_whose_loss_is_no_number_is_named(take, monkeypatch, loss):
    """It is the second of a call of two; and then it is val's, after step 3."""
    monkeypatch.setattr("tests.training.test_fit.LOSSES", [*LOSSES[:5], loss])
    with pytest.raises(RunError, match=rf"^The loss became {loss} at step 6: lower"):
        take()
    assert take.folder.run.calls == [1, 1, 1, 1, 2]
    assert [place.step for place in take.folder.places] == [3]
    with pytest.raises(RunError, match=rf"^The loss became {loss} at step 3: lower"):
        take(val_ious=[{"loss": loss, "mean_iou": 0.5}])
    assert take.folder.events == [(2, "train"), (3, "train")]


class Second:
    """A machine that is not the chief, and what all of them have added up."""

    is_chief = False

    def __init__(self, *totals):
        self.given, self.totals = [], iter(totals)

    def sum_over_workers(self, values):
        self.given.append([int(value) for value in values])
        return next(self.totals) if len(values) == 3 else [0]


def test_the_steps_before_a_broken_file_are_in_the_place(take, monkeypatch):
    """It is met in the fifth step, the second of its call."""

    def fail(run, steps):
        if run.step == 3:
            run.taken = SimpleNamespace(
                losses=tf.constant([1.0]), confusion=tf.constant([[4, 1], [0, 2]])
            )
            raise tf.errors.UnknownError(None, None, "InputError: b.png: broken\nTraceback")
        return given(run, steps)

    given = GivenRun.train_call
    monkeypatch.setattr(GivenRun, "train_call", fail)
    with pytest.raises(BrokenFile, match=r"^b\.png: broken$"):
        take(log_every_steps=4)
    place = take.folder.place
    assert (place.step, place.samples) == (4, 24)
    assert place.losses == [1.0]
    assert place.confusion == [[4, 1], [0, 2]]


def test_what_is_skipped_is_said_at_an_evaluation_once(take, monkeypatch, capsys):
    skipped = Skipped()
    skipped.note("b", "b.png: broken.")
    monkeypatch.setattr(GivenRun, "skipped", skipped, raising=False)
    take()
    assert capsys.readouterr().out.count("1 image is skipped (data.broken): b.png: broken.\n") == 1


def test_a_val_without_a_label_has_no_loss(take):
    unlabelled = {"loss": None, **dict.fromkeys((*SCORES,))}
    folder = take(val_ious=(unlabelled, unlabelled))
    assert at(folder.lines, 3, "val")["loss"] is None


def test_another_machine_goes_by_the_chiefs_clock(take):
    """Whether it stops, whether its time is up, and how many steps its next call takes."""
    rare = {"log_every_steps": 6, "eval_every_steps": 6}
    cluster = Second([0, 0, 2], [0, 0, 3], [0, 0, 5])
    folder = take(cluster=cluster, seconds=0.1, **rare)
    assert folder.run.calls == [1, 2, 3]
    assert cluster.given == [[0, 0, 0]] * 3 + [[0]] * 2
    assert folder.events == []  # it writes nothing
    assert folder.place.step == folder.place.evaluated_step == 6
    assert take(cluster=Second([0, 1, 2]), **rare).place.evaluated_step == 1
    cluster = Second([0, 0, 2], [1, 0, 2])
    with pytest.raises(Stopped):
        take(cluster=cluster, **rare)
    assert take.folder.place.step == 3
