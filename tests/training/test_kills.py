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


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_is_as_never_killed(tmp_path, arguments, workers):
    """20 steps against 10, kill -9 and the rest: bit for bit, with dropout."""
    arguments = [*arguments, "--training.max_steps=20", "--training.checkpoint_every_steps=1"]
    arguments += ["--training.steps_per_call=1", "--training.deterministic=true"]
    arguments += ["--model.dropout=0.5", "--resume=auto"]

    def begin(workdir):
        more = [*arguments, f"--workdir={workdir}"]
        if workers == 1:
            return [start(*more, cwd=tmp_path)]
        return start_workers(*more, cwd=tmp_path)

    for process in begin("whole"):
        assert ended(process)[0] == 0
    processes = begin("killed")
    wait_for_step(tmp_path / "killed", 10, *processes)
    processes[-1].send_signal(signal.SIGKILL)
    assert ended(processes[-1])[0] == -signal.SIGKILL
    if workers == 2:  # the other notices, and says what to do
        code, said = ended(processes[0])
        assert code == 1
        assert "Another machine ended or does not answer" in said
        assert "--resume auto" in said
    stopped_at = lines_of(tmp_path / "killed")[-1]["step"]
    assert 10 <= stopped_at < 20
    for process in begin("killed"):
        assert ended(process)[0] == 0
    whole, killed = newest_of(tmp_path / "whole"), newest_of(tmp_path / "killed")
    assert whole.files == killed.files
    for name in whole.files:
        if not name.endswith(".json"):
            np.testing.assert_array_equal(killed[name], whole[name], err_msg=name)
    assert timeless(tmp_path / "killed") == timeless(tmp_path / "whole")


@pytest.mark.slow
def test_8_kills_at_random_moments_lose_nothing(tmp_path, arguments):
    arguments = [*arguments, "--training.max_steps=100000", "--training.checkpoint_every_steps=2"]
    arguments += ["--training.steps_per_call=1", "--resume=auto", "--workdir=run"]
    random = np.random.default_rng(0)
    step = 0
    for _ in range(8):
        process = start(*arguments, cwd=tmp_path)
        wait_for_step(tmp_path / "run", step + 2, process)  # every resume goes on
        time.sleep(random.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        assert ended(process)[0] == -signal.SIGKILL
        newest = int(checkpoints(tmp_path / "run/checkpoints")[-1].stem[5:])
        # No checkpoint is lost: nothing is behind the last line of the log by more than a period.
        assert newest >= lines_of(tmp_path / "run", torn=True)[-1]["step"] - 2
        assert newest > step
        step = newest
    process = start(*arguments, f"--training.max_steps={step + 2}", cwd=tmp_path)
    assert ended(process) == (0, "")
    steps = [line["step"] for line in lines_of(tmp_path / "run") if line["split"] == "train"]
    assert steps == sorted(set(steps))
    assert steps[-1] == step + 2
    left = [path.name for path in (tmp_path / "run").rglob(".*") if path.name != ".lock"]
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
