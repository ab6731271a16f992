"""Several devices and several machines: the same run."""

import json

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.schema import DistributionConfig
from fcn_tf.errors import InputError
from fcn_tf.training.distribution import Cluster, make_cluster, read_tf_config
from tests.processes import command, ended, start, start_workers
from tests.training.runs import newest_of, timeless


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        [
            "--optimizer.name=adamw",
            "--optimizer.clip_norm=0.5",
            "--optimizer.weight_decay=0.01",
            "--training.accumulate_steps=2",
            "--data.batch_size=2",
        ],
        [
            "--optimizer.name=sgd",
            "--optimizer.clip_norm=1",
            "--optimizer.weight_decay=0.01",
            "--optimizer.bias_multiplier=2",
            "--loss.class_weights=[0.3, 1, 2]",
        ],
    ],
    ids=["adamw clipped and accumulated", "sgd"],
)
def test_one_device_two_devices_and_two_machines_take_the_same_steps(tmp_path, arguments, rule):
    arguments = [*arguments, *rule]
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


@pytest.mark.slow
def test_batch_normalization_keeps_the_mean_of_its_devices(tmp_path, arguments):
    """Only of the first normalization: later ones differ, as each device normalizes its share."""
    arguments += ["--model.trunk=mobilenetv3_large", "--model.width=0.25", "--optimizer.ema=0"]
    arguments += ["--training.max_steps=1", "--training.eval_every_steps=1"]
    arguments += ["--loss.sample_fraction=0.5"]
    without_onednn = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    for workdir, devices in (("one", []), ("two", ["--distribution.virtual_devices=2"])):
        run = start(
            *arguments, f"--workdir={workdir}", *devices, cwd=tmp_path, extra=without_onednn
        )
        assert ended(run) == (0, "")
    one, two = (newest_of(tmp_path / workdir) for workdir in ("one", "two"))
    name = "model/conv_bn/moving_mean"
    assert np.abs(one[name]).min() > 0
    np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-7)
    # Each device draws its own pixels; the checkpoint has the state of the first.
    states = [n for n in one.files if n.startswith("random/")]
    assert len(states) == 1
    np.testing.assert_array_equal(one[states[0]], two[states[0]])


@pytest.mark.slow
def test_each_device_draws_its_own_dropout(tmp_path, arguments):
    code = (
        "import sys, yaml, fcn_tf\n"
        "from fcn_tf.data import open_source\n"
        "from fcn_tf.training.distribution import make_cluster\n"
        "from fcn_tf.training.run import Run\n"
        "values = dict(argument[2:].split('=') for argument in sys.argv[1:])\n"
        "values = {key: yaml.safe_load(value) for key, value in values.items()}\n"
        "config = fcn_tf.load_config(**values)\n"
        "cluster = make_cluster(config.distribution)\n"
        "run = Run(config, open_source(config.data), cluster)\n"
        "run.feed()\n"
        "run.train_call(3)\n"
        "for value in cluster.strategy.experimental_local_results(run.variables['random/0']):\n"
        "    print('state', *value.numpy())\n"
    )
    devices = "--distribution.virtual_devices=2"
    without_onednn = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    options = [*arguments, "--model.dropout=0.5", devices]
    stdout, stderr = start(*options, cwd=tmp_path, extra=without_onednn, code=code).communicate()
    (first, drawn), (second, drawn_too) = [
        map(int, line.split()[1:]) for line in stdout.splitlines() if line.startswith("state")
    ]
    assert second == first + 1, stderr
    assert drawn == drawn_too == 3


@pytest.mark.slow
def test_the_sums_that_a_loss_needs_are_those_of_all_devices(tmp_path):
    """Soft dice: two devices with two accumulated batches each take the steps of one device."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from fcn_tf.config.schema import DistributionConfig\n"
        "from fcn_tf.training.distribution import make_cluster\n"
        "from fcn_tf.training.losses import LOSSES\n"
        "from tests.test_seams import SoftDice, dice_steps\n"
        "devices = int(sys.argv[1])\n"
        "cluster = make_cluster(DistributionConfig(virtual_devices=devices))\n"
        "LOSSES['dice'] = SoftDice\n"
        "losses, weights = dice_steps(4 // devices, devices, cluster)\n"
        "np.savez(f'{devices}.npz', losses=losses, **weights)\n"
    )
    for devices in (1, 2):
        without_onednn = {"TF_ENABLE_ONEDNN_OPTS": "0"}
        run = start(str(devices), cwd=tmp_path, extra=without_onednn, code=code)
        assert ended(run)[0] == 0
    one, two = (np.load(tmp_path / f"{devices}.npz") for devices in (1, 2))
    assert one.files == two.files
    for name in one.files:
        difference = np.abs(two[name] - one[name]).max()
        assert difference <= 1e-5 * np.abs(one[name]).max(), name


@pytest.mark.slow
def test_both_machines_end_with_the_same_weights(tmp_path, arguments):
    """Each prints a digest of its weights when it is done."""
    code = (
        "import hashlib, keras, sys, yaml, fcn_tf\n"
        "def tell(logs):\n"
        "    values = b''.join(w.numpy().tobytes() for w in callback.model.weights)\n"
        "    print('digest', hashlib.sha256(values).hexdigest())\n"
        "callback = keras.callbacks.LambdaCallback(on_train_end=tell)\n"
        "values = dict(argument[2:].split('=') for argument in sys.argv[1:])\n"
        "values = {key: yaml.safe_load(value) for key, value in values.items()}\n"
        "fcn_tf.train(fcn_tf.load_config(**values), 'run', [callback])\n"
    )
    workers = start_workers(*arguments, "--model.dropout=0.5", cwd=tmp_path, code=code)
    digests = []
    for worker in workers:
        stdout, _ = worker.communicate(timeout=300)
        assert worker.returncode == 0
        digests += [line for line in stdout.splitlines() if line.startswith("digest")]
    assert len(digests) == 2
    assert digests[0] == digests[1]


def test_devices_that_do_not_divide_the_batch_are_refused(tmp_path, arguments):
    devices = ["--data.batch_size=3", "--distribution.virtual_devices=2"]
    done = command(*arguments, *devices, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("fcn-tf: data.batch_size=3: it must be a multiple of 2")
    assert not (tmp_path / "runs").exists()


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


def test_a_chief_comes_before_the_workers(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert read_tf_config() == (cluster, ("worker", 1))


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


def test_on_one_machine_an_error_is_not_blamed_on_another():
    cluster = Cluster(tf.distribute.get_strategy())
    with pytest.raises(tf.errors.UnavailableError), cluster.lost_peers_as_run_error():
        raise tf.errors.UnavailableError(None, None, "a disk")
