"""What a URL says, and that no message says what is secret in it."""

import base64

import pytest

from fcn_tf.cli import main
from fcn_tf.commands.request import RequestOptions
from fcn_tf.errors import InputError
from fcn_tf.inference.address import address_of

REST = "http://host:8501/v1/models/scenes"
GRPC = "grpc://host:8500/scenes"


def basic(pair):
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize("url", [REST, GRPC])
@pytest.mark.parametrize(
    ("ending", "version", "label"),
    [
        ("", None, None),
        ("/", None, None),
        ("/versions/7", 7, None),
        ("/labels/stable/", None, "stable"),
        ("/labels/7", None, "7"),
    ],
)
def test_the_parts_of_a_url(url, ending, version, label):
    address = address_of(url + ending, {})
    assert (address.name, address.version, address.label) == ("scenes", version, label)
    assert address.url == (url + ending).rstrip("/")
    assert address.authorization is None


@pytest.mark.parametrize(
    ("user", "environment", "authorization", "secrets"),
    [
        ("", {}, None, ()),
        ("", {"FCN_TF_TOKEN": ""}, None, ()),
        ("", {"FCN_TF_TOKEN": " t0k.en\n"}, "Bearer t0k.en", ("t0k.en",)),
        ("", {"FCN_TF_AUTHORIZATION": "ApiKey aa bb"}, "ApiKey aa bb", ("aa bb",)),
        ("me:p%40ss@", {}, basic("me:p@ss"), ("p@ss", "p%40ss", basic("me:p@ss")[6:])),
        ("me@", {}, basic("me:"), (basic("me:")[6:],)),
        (":p4ss@", {}, basic(":p4ss"), ("p4ss", basic(":p4ss")[6:])),
    ],
)
@pytest.mark.parametrize("url", [REST, GRPC])
def test_what_is_shown_to_be_let_in(url, user, environment, authorization, secrets):
    address = address_of(url.replace("//", f"//{user}"), environment)
    assert address.authorization == authorization
    assert address.url == url
    assert address.host.startswith("host:85")
    answer = " | ".join(("not let in with", authorization or "", *secrets))
    for text in (repr(address), address.hidden(answer)):
        assert not [secret for secret in secrets if secret in text]
    assert address.hidden(answer).startswith("not let in with")


def test_there_is_one_authorization():
    token, whole = {"FCN_TF_TOKEN": "a"}, {"FCN_TF_AUTHORIZATION": "Basic b"}
    with pytest.raises(InputError, match="FCN_TF_TOKEN and the user of --url are given"):
        address_of("http://me:pass@host/v1/models/a", token)
    with pytest.raises(InputError, match="FCN_TF_TOKEN and FCN_TF_AUTHORIZATION are given"):
        address_of(REST, token | whole)
    for value in ("s3\ncret", "s3cr\u00e9t"):
        with pytest.raises(InputError, match="FCN_TF_TOKEN has a character") as told:
            address_of(REST, {"FCN_TF_TOKEN": value})
        assert "s3" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:s3cret@host/a",
        "http://me:s3cret@host/models/a",
        "http://me:s3cret@host:b/v1/models/a",
        "http://me:s3cret@[::1/v1/models/a",
        "http://me:s3/cret@host/v1/models/a",
        "http://me:s3#c@ret@host/v1/models/a",
        "me:s3cret@host:8500/a",
        "grpc://me:s3cret@host",
        "grpc://me:s3\ncret@host",
    ],
)
def test_a_password_in_a_url_of_another_form_is_not_printed(url, capsys):
    with pytest.raises(InputError, match=r"^--url .*\*\*\*@.*: it must be http://HOST") as told:
        address_of(url, {})
    assert "s3" not in str(told.value)
    with pytest.raises(SystemExit) as ended:
        main(["request", f"--url={url}", "--out=out", "none/*.png"])
    assert ended.value.code == 2
    assert "s3" not in "".join(capsys.readouterr())


def test_a_password_is_printed_with_no_other_mistake(capsys):
    url = REST.replace("//", "//me:s3cret@")
    for mistake in ("--concurrency=0", "--concurrency=x", "--opacity=2", "--none=1"):
        with pytest.raises(SystemExit) as ended:
            main(["request", f"--url={url}", "--out=out", mistake, "in"])
        assert ended.value.code == 2
        assert "s3cret" not in "".join(capsys.readouterr())
    assert "s3cret" not in repr(RequestOptions(url=url, images=("in",), out="out"))
