"""Images, models and results in buckets of S3, over HTTP, by Beam's own client."""

import urllib.request

import pytest

from fcn_tf.errors import InputError, RunError
from tests.beam.test_predicting import DEAD_LETTERS, data, files, label, on_runner
from tests.extras import needs_extra
from tests.processes import command

pytestmark = [
    needs_extra("beam", "apache_beam"),
    needs_extra("beam-test", "boto3", "moto"),
]
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
REGION = "us-east-1"
__all__ = ["data"]  # the fixture


@pytest.fixture
def s3(data):
    """boto3's client of a server that has the buckets `photos`, with the images, and `out`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield filled(data, "http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()


def filled(data, url):
    """boto3's client of a server with the two buckets."""
    import boto3

    # Servers of a process share what they hold.
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
    client = boto3.client("s3", endpoint_url=url, region_name=REGION, **KEYS)
    for bucket in ("photos", "out"):
        client.create_bucket(Bucket=bucket)
    for file in (file for file in data.rglob("*") if file.is_file()):
        if file.relative_to(data).parts[0] != "expected":
            client.upload_file(str(file), "photos", file.relative_to(data).as_posix())
    return client


def options_of(s3):
    """What follows -- on the command line."""
    return (
        f"--s3_endpoint_url={s3.meta.endpoint_url}",
        f"--s3_region_name={REGION}",
        *(f"--s3_{name.removeprefix('aws_')}={value}" for name, value in KEYS.items()),
    )


def contents(s3, bucket):
    """What lies in a bucket, by its keys."""
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def on_s3(folder, s3, **options):
    options = {"input": "s3://photos/in/**g", "out": "s3://out/a/b", **options}
    options = {"model": "s3://photos/m.keras", "runner_options": options_of(s3), **options}
    on_runner(folder, **options)


def test_buckets_of_s3_take_and_give_the_same_files(data, s3):
    for done in (12, 0):
        with pytest.raises(RunError, match=f"2 of {done + 2} images failed"):
            on_s3(data, s3)
    out = {key.removeprefix("a/b/"): value for key, value in contents(s3, "out").items()}
    letters = out.pop(DEAD_LETTERS).decode()
    assert "s3://photos/in/2/broken.jpg" in letters
    del out["predict.json"]
    assert out == files(data / "expected")

    # Where nothing fails there is nothing to list. Beam's client writes no empty file.
    for key in ("in/0/empty.png", "in/2/broken.jpg"):
        s3.delete_object(Bucket="photos", Key=key)
    on_s3(data, s3)
    assert f"a/b/{DEAD_LETTERS}" not in contents(s3, "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "s3://none/*.png"}, "^s3://none/.*no file is there"),
        ({"model": "s3://photos/none"}, "^s3://photos/none is no model"),
        ({"input": "s3://none/x"}, "^s3://none/x.*no file is there"),
    ],
)
def test_what_is_not_on_s3_is_refused(data, s3, monkeypatch, options, message):
    monkeypatch.setattr("apache_beam.Pipeline", None)
    with pytest.raises(InputError, match=message):
        on_s3(data, s3, **options)


def test_a_bucket_that_is_not_there_is_named_in_one_line(s3):
    """In a process of its own, as pytest takes what libraries log."""
    given = ("--model=s3://photos/m.keras", "--input=s3://photos/in/**g", "--out=s3://none/out")
    ended = command("predict", "--runner=direct", *given, "--", *options_of(s3))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("fcn-tf: s3://none/out cannot be written to: ")
    assert "bucket does not exist" in line


def test_s3_without_its_package_is_refused(data, monkeypatch):
    monkeypatch.setattr("fcn_tf.beam.runners._is_installed", lambda module: module != "boto3")
    with pytest.raises(InputError, match=r"^--model s3://.*pip install 'apache-beam\[aws\]'"):
        label(data, "out", model="s3://photos/m.keras", input="s3://photos/x", runner="direct")
