"""Runs that are killed, told to stop, or whose other machine is lost."""

import signal
import time

import numpy as np
import pytest

from fcn_tf.training.checkpoints import checkpoints
from tests.processes import ended, start, start_workers
from tests.training.runs import lines_of, newest_of, timeless


def wait_for_step(workdir, step, *processes):
    """Until a checkpoint of that step or a later one is there, for at most five minutes."""
    for _ in range(30_000):
        if any(int(p.stem[5:]) >= step for p in checkpoints(workdir / "checkpoints")):
            return
        for process in processes:
            assert process.poll() is None, ended(process)
        time.sleep(0.01)
    raise AssertionError(f"No checkpoint of step {step}.")


def assert_bit_for_bit(killed, whole):
    """Two runs of the same steps: all that is kept, and every line of their logs."""
    kept, expected = newest_of(killed), newest_of(whole)
    assert kept.files == expected.files
    for name in expected.files:
        if not name.endswith(".json"):
            np.testing.assert_array_equal(kept[name], expected[name], err_msg=name)
    assert timeless(killed) == timeless(whole)


# One step after the other, of which each is the same in every process, with dropout.
SAME_STEPS = (
    *("--training.steps_per_call=1", "--training.deterministic=true"),
    *("--model.dropout=0.5", "--resume=auto"),
)
# A run without the command that prints a digest of its weights when it is done.
TELLS_WEIGHTS = """
import hashlib, keras, sys, yaml, fcn_tf
def tell(logs):
    values = b"".join(w.numpy().tobytes() for w in callback.model.weights)
    print("digest", hashlib.sha256(values).hexdigest())
callback = keras.callbacks.LambdaCallback(on_train_end=tell)
values = dict(argument[2:].split("=") for argument in sys.argv[1:])
values = {key: yaml.safe_load(value) for key, value in values.items()}
fcn_tf.train(fcn_tf.load_config(**values), "killed", [callback])
"""


@pytest.fixture
def same_bits(monkeypatch):
    """For the processes of a test: oneDNN does not always round the same way, see docs/scale.md."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("same_bits")
def test_a_machine_is_killed_and_both_go_on_as_if_it_had_not_been(tmp_path, arguments):
    """20 steps against 10, kill -9 of one machine and the rest, on both; they end alike, too."""
    arguments = [*arguments, *SAME_STEPS, "--training.max_steps=20"]
    arguments += ["--training.checkpoint_every_steps=1"]
    for process in start_workers(*arguments, "--workdir=whole", cwd=tmp_path):
        assert ended(process)[0] == 0
    other, killed = start_workers(*arguments, "--workdir=killed", cwd=tmp_path)
    wait_for_step(tmp_path / "killed", 10, other, killed)
    killed.send_signal(signal.SIGKILL)
    assert ended(killed)[0] == -signal.SIGKILL
    code, said = ended(other)  # it notices, and says what to do
    assert code == 1
    assert "Another machine ended or does not answer" in said
    assert "--resume auto" in said
    assert 10 <= lines_of(tmp_path / "killed")[-1]["step"] < 20

    digests = []
    for worker in start_workers(*arguments, cwd=tmp_path, code=TELLS_WEIGHTS):
        said, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
        digests += [line for line in said.splitlines() if line.startswith("digest")]
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert_bit_for_bit(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("same_bits")
def test_5_kills_at_random_moments_lose_nothing(tmp_path, arguments):
    """kill -9 five times; the run ends as one that was never killed."""
    # The rate of a poly schedule depends on the number of steps, which is not known yet.
    arguments = [*arguments, *SAME_STEPS, "--optimizer.schedule=constant"]
    arguments += ["--training.max_steps=100000", "--training.checkpoint_every_steps=2"]
    random = np.random.default_rng(0)
    step = 0
    for _ in range(5):
        process = start(*arguments, "--workdir=killed", cwd=tmp_path)
        wait_for_step(tmp_path / "killed", step + 2, process)  # every resume goes on
        time.sleep(random.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        assert ended(process)[0] == -signal.SIGKILL
        newest = int(checkpoints(tmp_path / "killed/checkpoints")[-1].stem[5:])
        # No checkpoint is lost: nothing is behind the last line of the log by more than a period.
        lines = lines_of(tmp_path / "killed", torn=True)
        assert not lines or newest >= lines[-1]["step"] - 2
        assert newest > step
        step = newest
    arguments += [f"--training.max_steps={step + 2}"]
    for workdir in ("killed", "whole"):
        process = start(*arguments, f"--workdir={workdir}", cwd=tmp_path)
        assert ended(process) == (0, "")
    steps = [line["step"] for line in lines_of(tmp_path / "killed") if line["split"] == "train"]
    assert steps == sorted(set(steps))
    assert steps[-1] == step + 2
    assert_bit_for_bit(tmp_path / "killed", tmp_path / "whole")
    left = [path.name for path in (tmp_path / "killed").rglob(".*") if path.name != ".lock"]
    assert not left


@pytest.mark.slow
def test_a_signal_to_one_machine_stops_both_at_the_same_step(tmp_path, arguments):
    arguments = [*arguments, "--training.max_steps=100000", "--workdir=run"]
    workers = start_workers(*arguments, cwd=tmp_path)
    wait_for_step(tmp_path / "run", 5, *workers)
    workers[1].send_signal(signal.SIGTERM)
    assert ended(workers[1])[0] == 143
    code, said = ended(workers[0])
    assert code == 1
    assert "Another machine was told to stop" in said
    step = int(checkpoints(tmp_path / "run/checkpoints")[-1].stem[5:])
    assert f"the state after step {step} is saved" in said


@pytest.mark.slow
def test_a_machine_that_does_not_answer_ends_the_others(tmp_path, arguments):
    arguments = [*arguments, "--training.max_steps=100000", "--workdir=run"]
    workers = start_workers(*arguments, "--distribution.timeout_seconds=20", cwd=tmp_path)
    wait_for_step(tmp_path / "run", 5, *workers)
    workers[1].send_signal(signal.SIGSTOP)
    code, said = ended(workers[0], within_seconds=60)
    assert code == 1
    assert "does not answer" in said
