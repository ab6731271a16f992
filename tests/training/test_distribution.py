"""Several devices and several machines: the same run."""

import json
import signal
import threading

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.schema import DistributionConfig
from fcn_tf.errors import InputError, RunError
from fcn_tf.training.distribution import Cluster, make_cluster, read_tf_config
from tests.processes import ended, start, start_workers
from tests.training.runs import (
    labels_of_steps,
    newest_of,
    timeless,
    uneven_source,
    val_by_hand,
)
from tests.training.small import (
    CASES,
    OF_ALL_LOSSES,
    assert_same_steps,
    small_run,
    statistics_by_hand,
    statistics_of_train_by_hand,
    steps_by_hand,
    take_steps,
)
from tests.training.tiled import counted, network


@pytest.mark.slow
def test_one_device_two_devices_and_two_machines_take_the_same_steps(tmp_path, arguments):
    """With what looks at a whole step: its gradients' norm, its weighted pixels, its parts."""
    arguments = [
        *arguments,
        "--optimizer.name=adamw",
        "--optimizer.clip_norm=0.5",
        "--optimizer.weight_decay=0.01",
        "--loss.class_weights=[0.3, 1, 2]",
        "--training.accumulate_steps=2",
        "--data.batch_size=2",
    ]
    without_onednn = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    one = start(*arguments, "--workdir=one", cwd=tmp_path, extra=without_onednn)
    assert ended(one) == (0, "")
    two = start(*arguments, "--workdir=two", "--distribution.virtual_devices=2", cwd=tmp_path)
    assert ended(two) == (0, "")
    workers = start_workers(*arguments, "--workdir=workers", cwd=tmp_path, extra=without_onednn)
    assert [ended(worker)[0] for worker in workers] == [0, 0]

    reference = newest_of(tmp_path / "one")
    for other in ("two", "workers"):
        values = newest_of(tmp_path / other)
        for name in reference.files:
            if not name.endswith(".json"):
                largest = np.abs(reference[name]).max()
                difference = np.abs(values[name].astype(float) - reference[name]).max()
                assert difference <= 1e-5 * largest, f"{other}: {name}"
        for line, expected in zip(
            timeless(tmp_path / other), timeless(tmp_path / "one"), strict=True
        ):
            assert line.keys() == expected.keys()
            for key in ("loss", "pixel_accuracy", "mean_iou"):
                assert line[key] == pytest.approx(expected[key], rel=1e-4), key


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """What two_devices.py finds and prints."""
    folder = tmp_path_factory.mktemp("devices")
    process = start(
        "found.npz",
        cwd=folder,
        extra={"TF_ENABLE_ONEDNN_OPTS": "0"},
        # It ends at once: TensorFlow may take a minute to take two devices apart.
        code="import os, sys; from tests.training.two_devices import main; main(sys.argv[1]); "
        "sys.stdout.flush(); os._exit(0)",
    )
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return {**np.load(folder / "found.npz"), "stdout": stdout}


def test_the_processor_is_split(two_devices):
    assert two_devices["devices"] == 2
    assert "Training on 2 CPUs (strategy mirrored)." in two_devices["stdout"]


@pytest.mark.parametrize("case", CASES)
def test_two_devices_take_the_steps_by_hand(two_devices, case):
    prefix = f"{case}: "
    of_case = {k.removeprefix(prefix): v for k, v in two_devices.items() if k.startswith(prefix)}
    assert_same_steps(of_case, steps_by_hand(**CASES[case]))


def test_two_devices_are_one_to_every_loss(two_devices):
    """In two accumulated batches each, with one image in each batch."""
    for name, value in take_steps(small_run(loss=OF_ALL_LOSSES)).items():
        found = two_devices[f"all losses: {name}"]
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_running_statistics_are_the_mean_of_the_devices(two_devices):
    expected = statistics_by_hand(devices=2)
    np.testing.assert_allclose(two_devices["statistics"], expected, rtol=1e-5)


def test_a_pass_over_train_keeps_the_mean_of_the_devices(two_devices):
    expected = statistics_of_train_by_hand(devices=2)
    np.testing.assert_allclose(two_devices["statistics of train"], expected, rtol=1e-5)


def test_each_device_draws_its_own_dropout(two_devices):
    first, second = two_devices["states of dropout"]
    assert (second - first).tolist() == [1, 0]


def test_a_step_of_two_devices_takes_the_images_of_one_device(two_devices):
    expected = labels_of_steps(uneven_source(), skip_samples=8, steps=2)
    np.testing.assert_array_equal(two_devices["labels of steps"], expected)


def test_val_on_two_devices(two_devices):
    """Three images, so that one device is left without in the end."""
    expected = val_by_hand(uneven_source())
    assert two_devices["val loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert two_devices["val mean IU"] == pytest.approx(expected["mean_iou"])


def test_tiles_on_two_devices_count_what_whole_images_count_on_one(two_devices):
    run = small_run()
    run.model = network()
    confusion, loss, labelled = counted(run, 4)
    np.testing.assert_array_equal(two_devices["tiles: confusion"], confusion)
    assert two_devices["tiles: loss"] == pytest.approx(loss, rel=1e-6)
    assert two_devices["tiles: labelled"] == labelled == 3


def test_machines_add_up_what_their_first_devices_have(two_devices):
    """Of two machines with a device each, and of the first of two that have two devices."""
    assert two_devices["sum over machines"].tolist() == [6, 10]
    assert two_devices["sum of a machine"].tolist() == [3, 5]
    assert two_devices["copied by chiefs"].tolist() == [1.5, 2]
    assert two_devices["copied by others"].tolist() == [0, 0]


class Machine(Cluster):
    """One of two machines that add up their numbers in this process."""

    def __init__(self, worker, given=None, meeting=None):
        super().__init__(tf.distribute.get_strategy())
        self.workers, self.worker, self.is_chief = 2, worker, worker == 0
        self.given, self.meeting = given, meeting

    def sum_over_workers(self, values):
        self.given[self.worker] = values
        self.meeting.wait()
        total = [int(sum(pair)) for pair in zip(*self.given, strict=True)]
        self.meeting.wait()
        return total


def test_what_the_chief_says_reaches_every_machine():
    heard, given, meeting = [None, None], [None, None], threading.Barrier(2, timeout=30)

    def listen(worker):
        value = {"step": 7 + worker, "name": "\u00e4", "best_iou": None}
        heard[worker] = Machine(worker, given, meeting).broadcast_from_chief(value)

    threads = [threading.Thread(target=listen, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [{"step": 7, "name": "\u00e4", "best_iou": None}] * 2


def test_devices_that_do_not_divide_the_batch_are_refused(two_devices):
    """With an `InputError`; tests/training/test_run.py has that nothing is written then."""
    refusal = str(two_devices["refusal of a batch of three"])
    assert refusal.startswith("data.batch_size=3: it must be a multiple of 2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not of the form"),
        ('{"cluster": {"worker": ["a:1"]}}', "is not of the form"),
        ('{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}', "is not of the form"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "this is worker 2, but there are worker 0 to 1",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "the task ps: only chief and worker",
        ),
    ],
)
def test_a_broken_tf_config_is_refused(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=message):
        make_cluster(DistributionConfig())


@pytest.fixture
def strategies(monkeypatch):
    """What a strategy of several machines would be made with; they need not be there."""
    made = []

    class Strategy:
        num_replicas_in_sync = 6

        def __init__(self, communication_options):
            made.append((communication_options, signal.getsignal(signal.SIGTERM)))

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
    return made


@pytest.mark.parametrize(
    ("cluster", "task", "place"),
    [
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0), 0),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 1), 2),
        ({"worker": ["a:1", "b:1", "c:1"]}, ("worker", 0), 0),
        ({"worker": ["a:1", "b:1", "c:1"]}, ("worker", 1), 1),
    ],
)
def test_the_machines_of_tf_config(monkeypatch, strategies, capsys, cluster, task, place):
    """A chief comes before the workers. A signal ends a machine that waits for the others."""
    tf_config = {"cluster": cluster, "task": {"type": task[0], "index": task[1]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(tf_config))
    assert read_tf_config() == (cluster, task)
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        found = make_cluster(DistributionConfig(timeout_seconds=17.0))
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, before)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (found.workers, found.worker, found.is_chief) == (3, place, place == 0)
    ((options, handler),) = strategies
    assert options.timeout_seconds == 17.0
    assert handler == signal.SIG_DFL
    said = capsys.readouterr().out
    assert f"Waiting for the 3 machines of TF_CONFIG; this is {place}." in said
    assert "Training on 6 CPUs of 3 machines (strategy multi_worker)." in said


def test_one_machine_of_tf_config_needs_no_other(monkeypatch, strategies, capsys):
    one = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(one))
    assert make_cluster(DistributionConfig()).workers == 1
    assert not strategies
    two = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(two))
    assert make_cluster(DistributionConfig(strategy="one_device")).workers == 1
    assert not strategies
    assert "strategy one_device" in capsys.readouterr().out


def test_on_one_machine_sums_and_broadcasts_change_nothing(monkeypatch, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    cluster = make_cluster(DistributionConfig())
    assert cluster.sum_over_workers([True, 3]) == [1, 3]
    assert cluster.broadcast_from_chief({"step": 3}) == {"step": 3}
    assert "Training on one CPU (strategy one_device)." in capsys.readouterr().out
    mirrored = make_cluster(DistributionConfig(strategy="mirrored"))
    assert (mirrored.replicas, mirrored.is_chief) == (1, True)
    assert "Training on one CPU (strategy mirrored)." in capsys.readouterr().out
    with pytest.raises(InputError, match="multi_worker needs TF_CONFIG"):
        make_cluster(DistributionConfig(strategy="multi_worker"))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    with pytest.raises(InputError, match="TF_ENABLE_ONEDNN_OPTS=0"):
        make_cluster(DistributionConfig(virtual_devices=2))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(InputError, match="has split the processor otherwise in this process"):
        make_cluster(DistributionConfig(virtual_devices=2))
    assert make_cluster(DistributionConfig(virtual_devices=1)).replicas == 1


def test_on_one_machine_an_error_is_not_blamed_on_another():
    cluster = Cluster(tf.distribute.get_strategy())
    with pytest.raises(tf.errors.UnavailableError), cluster.lost_peers_as_run_error():
        raise tf.errors.UnavailableError(None, None, "a disk")


def test_of_several_machines_the_error_is_that_of_another():
    cluster = Machine(1)
    for error in (tf.errors.UnavailableError, tf.errors.DeadlineExceededError):
        with (
            pytest.raises(RunError, match=r"Another machine ended .* --resume auto"),
            cluster.lost_peers_as_run_error(),
        ):
            raise error(None, None, "a socket")
