import pytest

from fcn_tf.config.schema import OptimizerConfig
from fcn_tf.training.schedule import make_schedule, rate_change


def test_schedule_by_hand():
    poly = OptimizerConfig(learning_rate=0.1, warmup_steps=4, schedule="poly")
    schedule = make_schedule(poly, max_steps=10)
    for step in range(10):
        expected = 0.1 * min(1, (step + 1) / 4) * (1 - step / 10) ** 0.9
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-6)
    assert float(schedule(12)) == 0
    twin = type(schedule).from_config(schedule.get_config())
    assert float(twin(2)) == float(schedule(2))
    config = OptimizerConfig(learning_rate=0.1, schedule="constant")
    constant = make_schedule(config, max_steps=10)
    assert [float(constant(step)) for step in (0, 9)] == pytest.approx([0.1, 0.1])


def test_a_rate_that_a_resumed_run_changes_is_said_with_both_rates():
    """By hand: the poly rate after 100 of 100 steps and of 200 steps, of a base of 0.001."""
    poly, constant = (OptimizerConfig(schedule=name) for name in ("poly", "constant"))
    before = make_schedule(poly, 100).get_config()
    said = rate_change(before, make_schedule(poly, 200), updates=100, step=100)
    assert said == (
        f"The learning rate changes: {1e-3 * 0.01**0.9:.3g} at step 100, {1e-3 * 0.5**0.9:.3g} at "
        "step 101. training.max_steps is 200, before it was 100."
    )
    # Two of the steps updated nothing.
    said = rate_change(before, make_schedule(OptimizerConfig(learning_rate=2e-3), 100), 8, 10)
    assert f"{1e-3 * 0.93**0.9:.3g} at step 10, {2e-3 * 0.92**0.9:.3g} at step 11" in said
    assert said.endswith("step 11. optimizer.learning_rate is 0.002, before it was 0.001.")
    said = rate_change(before, make_schedule(constant, 100), 50, 50)
    assert said.endswith("0.001 at step 51. optimizer.schedule is another one.")


@pytest.mark.parametrize("updates", [0, 1])
def test_of_a_run_that_has_hardly_begun_the_rate_before_is_that_of_the_first_update(updates):
    """By hand: the first of four steps of a rise has a quarter of the base."""
    before = make_schedule(OptimizerConfig(warmup_steps=4), 10).get_config()
    after = OptimizerConfig(learning_rate=1.0, warmup_steps=3, schedule="constant")
    said = rate_change(before, make_schedule(after, 9), updates, step=5)
    assert f": 0.00025 at step 5, {(updates + 1) / 3:.3g} at step 6. " in said
    for key in ("learning_rate is 1.0", "warmup_steps is 3", "max_steps is 9", "schedule is"):
        assert key in said


def test_a_rate_that_goes_on_as_before_is_not_spoken_of():
    constant = OptimizerConfig(schedule="constant")
    before = make_schedule(constant, 100).get_config()
    assert rate_change(before, make_schedule(constant, 200), 50, 50) is None
    warm = OptimizerConfig(schedule="constant", warmup_steps=10)
    assert rate_change(before, make_schedule(warm, 100), 50, 50) is None
    assert "warmup_steps is 10, before it was 0" in rate_change(
        before, make_schedule(warm, 100), 5, 5
    )
    assert rate_change({}, make_schedule(constant, 100), 50, 50) is None
