"""Which workers have this machine's disk, and what is refused before any of them starts."""

import pytest

from fcn_tf.commands.options import RUNNERS
from fcn_tf.errors import InputError, RunError
from tests.extras import needs_extra

pytestmark = needs_extra("beam", "apache_beam")


@pytest.fixture
def with_java(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")


def test_each_runner_has_a_name_in_beam():
    from fcn_tf.beam.runners import BEAMS_NAMES

    assert tuple(BEAMS_NAMES) == RUNNERS


@pytest.mark.parametrize(
    ("runner", "arguments", "shares"),
    [
        ("direct", [], True),
        ("flink", [], True),
        ("flink", ["--flink_master", "localhost:8081"], False),
        ("flink", ["--flink_master=host:1", "--environment_type=LOOPBACK"], True),
        ("flink", ["--environment_type", "DOCKER"], False),
        ("spark", [], True),
        ("spark", ["--spark_master_url", "local[2]"], True),
        ("spark", ["--spark_master_url", "spark://host:7077"], False),
    ],
)
def test_whose_workers_have_this_disk(with_java, runner, arguments, shares):
    from fcn_tf.beam.runners import check_reached, pipeline_options, shares_disk

    options = pipeline_options(runner, arguments)
    assert shares_disk(runner, options) is shares
    check_reached(runner, options, {"--model": "gs://b/m"})
    if not shares:
        with pytest.raises(InputError, match=f"^--model m: the workers of the runner {runner} do"):
            check_reached(runner, options, {"--input": "gs://b/i", "--model": "m"})


@pytest.mark.parametrize(
    ("runner", "arguments", "message"),
    [
        ("direct", ["--bogus", "3"], "-- --bogus 3: Beam knows no such option"),
        ("direct", ["--direct_num_workers", "x"], "invalid int value: 'x'$"),
        ("direct", ["--direct_num_workers", "2"], "--direct_running_mode multi_processing"),
        ("direct", ["--runner", "DataflowRunner"], "--runner stands before the --"),
        ("flink", [], "there is no java here"),
        ("spark", ["--job_server_java_launcher=jv"], "there is no jv here"),
    ],
)
def test_options_that_cannot_run_are_refused(monkeypatch, runner, arguments, message):
    from fcn_tf.beam.runners import pipeline_options

    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match=message) as refused:
        pipeline_options(runner, arguments)
    assert "\n" not in str(refused.value)


def test_a_runner_that_is_not_installed_is_refused(monkeypatch):
    from fcn_tf.beam.runners import pipeline_options

    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"^--runner dataflow: pip install 'apache-beam\[gcp\]'"):
        pipeline_options("dataflow", [])


def test_a_pipeline_that_fails_is_one_line():
    import apache_beam as beam

    from fcn_tf.beam.runners import ended_pipeline, pipeline_options

    def divided(number):
        return 1 // number

    failed = pytest.raises(RunError, match=r"^The runner direct failed: .*division")
    with failed as raised, ended_pipeline("direct", pipeline_options("direct", [])) as pipeline:
        pipeline | beam.Create([0]) | beam.Map(divided)
    assert "\n" not in str(raised.value)
