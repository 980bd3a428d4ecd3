"""What WP-CLI said is read strictly, and never shown with a secret in it."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import struct
import tarfile
from types import SimpleNamespace

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _wp_cli
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import (
    Result,
    WpCli,
    WpCliError,
    explain,
    parse_events,
    program,
)

MARK = "0123456789abcdef0123456789abcdef"


def result(stdout: str = "", stderr: str = "", rc: int = 0, hidden=()) -> Result:
    return Result(rc, stdout.encode(), stderr.encode(), ["php", "wp"], hidden)


def marked(value: object) -> str:
    return f"\n{MARK}{json.dumps(value)}{MARK}\n"


@pytest.mark.parametrize(
    "noise",
    [
        "",
        '[debug] {"x":1}\n',
        '{"x":1}',
        "Deprecated: Creation of dynamic property in phar:///usr/local/bin/wp on line 7\n",
        "<html>\n\n\n",
        "\u00e9\U0001f600",
    ],
)
def test_events_are_found_between_noise(noise):
    text = noise + marked({"a": "\u00e9"}) + noise + marked([1.0]) + noise
    assert parse_events(text.encode(), MARK) == [{"a": "\u00e9"}, [1.0]]


def test_bytes_that_are_no_text_do_not_disturb():
    assert parse_events(b"\xff\xfe" + marked(1).encode() + b"\xff", MARK) == [1]


def test_half_an_answer_is_none():
    assert parse_events(f'\n{MARK}{{"a":'.encode(), MARK) == []


def test_a_broken_answer_is_refused():
    with pytest.raises(WpCliError, match="cannot be read"):
        parse_events(f'\n{MARK}{{"a":{MARK}\n'.encode(), MARK)


def test_program_carries_any_text_and_no_quote_breaks_it():
    data = {"p": "it's\"q\\ $x ?> */ \u00e9\U0001f600\n\0"}
    text = program("emit($data);", data, MARK).decode()
    carried = re.search(r"base64_decode\('([A-Za-z0-9+/=]+)'\)", text)[1]
    assert json.loads(base64.b64decode(carried)) == data


def test_a_value_that_is_no_utf8_is_named():
    with pytest.raises(WpCliError, match="no UTF-8 text near '.*abc'"):
        program("", {"option": "abc\udcff"}, MARK)


def test_secrets_are_hidden_wherever_they_show():
    said = Result(1, b"--pass=s3cret", b"s3cret!", ["wp", "--pass=s3cret"], ["s3cret", "s3cret!", ""])
    assert "s3cret" not in json.dumps(said.as_dict())


@pytest.mark.parametrize(
    ("stderr", "advice"),
    [
        ("Error: Error establishing a database connection. This either means that ...", "database of the site"),
        ("Error: 'wp-config.php' not found.\nEither create one manually", "Declare config"),
        ("Error: This does not seem to be a WordPress installation.", "wp_core"),
        (
            "Warning: nosuch: An unexpected error occurred. Something may be wrong with WordPress.org or this "
            "server&#8217;s configuration.\nError: No plugins installed.",
            "name a zip in source",
        ),
        ("PHP Fatal error:  Uncaught Error: Call to undefined function nope() in /x.php:3", "stderr says where"),
    ],
)
def test_errors_say_what_to_do(stderr, advice):
    said = explain(result(stderr=stderr, rc=1))
    assert advice in said
    assert re.search(r"Error|error", said)


def test_an_error_without_words_shows_the_last_line():
    assert explain(result("a\nthe end\n", rc=3)) == "WP-CLI ended with 3: the end"


class Recorded(WpCli):
    """Answers from a list instead of from a container."""

    def __init__(self, *answers: Result, **options) -> None:
        super().__init__(None, container="cron", **options)
        self.answers = list(answers)
        self.commands = []

    def execute(self, command, stdin=None, *, check=True, hidden=(), timeout=None, target=None):
        self.commands.append(list(command))
        answer = self.answers.pop(0)
        self._judge(answer, 0, 1, check)
        return answer


@pytest.mark.parametrize(
    ("stdout", "value"),
    [
        ('[{"name":"akismet","status":"active"}]\n', [{"name": "akismet", "status": "active"}]),
        ('Deprecated: x in phar on line 1\n{"a":\n1}\n', {"a": 1}),
        ('[debug] {"x":1}\n["right"]', ["right"]),
        ("notice\n12345\n", 12345),
    ],
)
def test_json_after_noise(stdout, value):
    assert Recorded(result(stdout)).json("plugin", "list") == value


def test_no_json_is_an_error():
    with pytest.raises(WpCliError, match="printed no JSON"):
        Recorded(result("[debug] {oops\n")).json("plugin", "list")


def test_command_is_a_list_with_path_and_url():
    wp = Recorded(result(), url="https://two.test/", path="/srv/web/")
    wp.run(["option", "get", "--", "$(id)"])
    command = wp.commands[0]
    assert command[-4:] == ["option", "get", "--", "$(id)"]
    assert {"--path=/srv/web", "--url=https://two.test/", "--no-color"} <= set(command)


def test_a_failing_command_raises_with_its_evidence():
    with pytest.raises(WpCliError) as caught:
        Recorded(result(stderr="Error: no", rc=1)).run(["x"])
    failure = caught.value.as_failure()
    assert failure["rc"] == 1
    assert failure["stderr"] == "Error: no"
    assert "Error: no" in failure["msg"]


def test_eval_wants_exactly_one_answer():
    with pytest.raises(WpCliError):
        Recorded(result("", "Error: Error establishing a database connection", 1)).eval("emit(1);")


def test_killed_processes_are_told_from_failed_ones():
    with pytest.raises(WpCliError, match="memory"):
        Recorded(result(rc=137)).run(["x"])
    with pytest.raises(WpCliError, match="wordpress:cli"):
        Recorded(result(stderr="timeout: failed to run command 'php'", rc=127)).run(["x"], check=False)


def test_a_container_is_required():
    with pytest.raises(WpCliError, match="container"):
        WpCli(None)


def test_only_local_engines():
    if _wp_cli.DOCKER_IMPORT_ERROR:
        pytest.skip("no docker SDK")
    with pytest.raises(WpCliError, match="docker_host"):
        _wp_cli.connect("ssh://web1")


def test_a_file_of_the_fpm_container_is_read_without_starting_anything():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("version.php")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"<?php"))
    content = packed.getvalue()
    asked = []
    api = SimpleNamespace(
        get_archive=lambda *arguments: asked.append(arguments) or (iter([content[:600], content[600:]]), {})
    )
    wp = WpCli(SimpleNamespace(api=api), fpm_container="fpm")
    assert wp.fpm_file("/usr/src/wordpress/wp-includes/version.php") == "<?php"
    assert asked == [("fpm", "/usr/src/wordpress/wp-includes/version.php")]
    assert wp.processes == 0


class Lost:
    """An engine that starts a command and is away, or has no container any more, at ``point``."""

    def __init__(self, point, error):
        self.api = self
        self.point, self.error = point, error
        here, there = socket.socketpair()
        there.sendall(struct.pack(">BxxxL", 1, 2) + b"ok")
        there.close()
        reader = here.makefile("rb")
        self.raw = SimpleNamespace(
            _sock=here,
            _response=SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=self)), close=reader.close),
        )
        self.reader = reader

    def _go(self, point):
        if self.point == point:
            raise self.error

    def read1(self, size):
        self._go("read")
        return self.reader.read1(size)

    def exec_create(self, *_args, **_options):
        self._go("create")
        return {"Id": "x"}

    def exec_start(self, *_args, **_options):
        self._go("start")
        return self.raw

    def exec_inspect(self, _id):
        self._go("inspect")
        return {"Running": False, "ExitCode": 0}


@pytest.mark.skipif(bool(_wp_cli.DOCKER_IMPORT_ERROR), reason="no docker SDK")
def test_an_engine_that_goes_away_is_told():
    def run(point, error=None):
        execution = _wp_cli.Execution(Lost(point, error), "cron", ["true"])
        return list(execution), execution.rc

    assert run("never") == ([(1, b"ok")], 0)
    refused = _wp_cli.requests.exceptions.ConnectionError("refused")
    for point, error in (
        ("create", refused),
        ("start", refused),
        ("read", ConnectionResetError("reset")),
        ("inspect", refused),
        ("inspect", _wp_cli.docker.errors.NotFound("No such exec instance")),
    ):
        with pytest.raises(WpCliError, match="container cron or the Docker engine went away"):
            run(point, error)
    with pytest.raises(TimeoutError):
        run("read", TimeoutError())


class Containers:
    """An engine with containers by name and status; remembers what was run in which."""

    def __init__(self, **states):
        self.states, self.ran = states, []
        self.containers = self

    def get(self, name):
        if name not in self.states:
            raise _wp_cli.docker.errors.NotFound("no such container")
        return SimpleNamespace(id=name, status=self.states[name])


@pytest.mark.parametrize(
    ("states", "reached"),
    [
        ({"fpm": "running", "cron": "running"}, ["fpm", "cron"]),
        ({"fpm": "exited", "cron": "running"}, ["cron"]),
        ({"fpm": "running", "cron": "exited"}, ["fpm"]),
        ({}, []),
    ],
)
def test_changed_code_is_loaded_anew_wherever_it_runs(monkeypatch, states, reached):
    engine = Containers(**states)
    wp = WpCli(engine, container="cron", fpm_container="fpm")

    def start(_client, target, command, patience):
        engine.ran.append((target, command[-1]))
        return io.BytesIO()

    monkeypatch.setattr(_wp_cli, "Execution", start)
    monkeypatch.setattr(wp, "execute", lambda command, target: start(engine, target, command, 0))
    wp.reload_code()
    assert [name for name, _command in engine.ran] == reached
    said = {"fpm": "kill -USR2 1", "cron": _wp_cli.FORGET_COMPILED}
    assert all(command == said[name] for name, command in engine.ran)
