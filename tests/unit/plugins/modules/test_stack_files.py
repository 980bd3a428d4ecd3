from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.action.stack_files import tree_hashes, write_archive
from ansible_collections.dockpress.hosting.plugins.modules import stack_files

FILES = {
    "compose.yaml": b"services: {}\n",
    "config/nginx/nginx.conf": b"worker_processes 2;\n",
    "config/php/90.ini": b"memory_limit=128M\n",
    "secrets/db_password": b"pa$$w0rd$1#'\"\n",
}


@pytest.fixture
def stack(tmp_path, capsys):
    """Callable that puts a tree in place and returns the module's result."""

    def put(files=None, check=False, diff=True, archive=None, **options):
        source = tmp_path / "stack.tar.gz"
        if archive is None:
            write_archive(str(source), FILES if files is None else files)
        else:
            source.write_bytes(archive)
        arguments = {"dest": str(tmp_path / "srv" / "shop"), "src": str(source), "min_free_mb": 0, **options}
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            stack_files.main()
        return json.loads(capsys.readouterr().out)

    put.dest = tmp_path / "srv" / "shop"
    return put


def tree_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".dockpress" not in path.parts
    }


def mode_of(path: pathlib.Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o}"


def test_puts_all_files_and_changes_nothing_the_second_time(stack):
    result = stack()
    assert result["changed"]
    assert result["changed_files"] == sorted(FILES)
    assert tree_of(stack.dest) == FILES
    assert mode_of(stack.dest / "compose.yaml") == "0640"
    assert mode_of(stack.dest / "secrets") == "0700"
    assert mode_of(stack.dest / "secrets/db_password") == "0444"
    assert mode_of(stack.dest / "config/php/90.ini") == "0644"
    again = stack()
    assert (again["changed"], again["changed_files"], again["reload"]) == (False, [], [])


def test_an_unchanged_file_keeps_its_time(stack):
    stack()
    os.utime(stack.dest / "config/php/90.ini", (1, 1))
    stack(FILES | {"config/nginx/nginx.conf": b"other"})
    assert (stack.dest / "config/php/90.ini").stat().st_mtime == 1


def test_a_reader_of_the_old_file_keeps_the_old_content(stack):
    stack()
    with (stack.dest / "config/php/90.ini").open() as reader:
        stack(FILES | {"config/php/90.ini": b"memory_limit=256M\n"})
        assert reader.read() == "memory_limit=128M\n"


def test_strays_go_from_managed_folders_only(stack):
    stack(directories=[{"path": "web/wp-content/uploads"}, {"path": "export"}, {"path": "config/kept"}])
    for path in ("web/index.php", "export/a.sql", "config/nginx/old.conf", "config/gone/x.conf", "config/kept/y"):
        (stack.dest / path).parent.mkdir(parents=True, exist_ok=True)
        (stack.dest / path).write_text("x")
    (stack.dest / "notes.txt").write_text("an operator's own")
    (stack.dest / "config/link").symlink_to("/etc")
    result = stack(directories=[{"path": "web/wp-content/uploads"}, {"path": "export"}, {"path": "config/kept"}])
    assert sorted(result["removed"]) == ["config/gone", "config/gone/x.conf", "config/link", "config/nginx/old.conf"]
    left = tree_of(stack.dest)
    assert {"web/index.php", "export/a.sql", "config/kept/y", "notes.txt"} <= set(left)
    assert not (stack.dest / "config/gone").exists()
    assert pathlib.Path("/etc/passwd").exists()
    assert not stack(directories=[{"path": "export"}, {"path": "config/kept"}])["changed"]


def test_check_mode_says_the_same_and_writes_nothing_but_the_copy(stack):
    bare = stack(check=True)
    assert bare["changed"] and not bare["engine"] and not stack.dest.exists()
    stack()
    changed = FILES | {"compose.yaml": b"services: {web: {}}\n", "secrets/new": b"x"}
    predicted = stack(changed, check=True)
    assert tree_of(stack.dest) == FILES
    assert pathlib.Path(predicted["compose_file"]).read_bytes() == changed["compose.yaml"]
    real = stack(changed)
    assert (real["changed_files"], real["removed"], real["diff"]) == (
        predicted["changed_files"],
        predicted["removed"],
        predicted["diff"],
    )
    assert real["compose_file"] == str(stack.dest / "compose.yaml")
    assert not (stack.dest / ".dockpress/check").exists()


def test_diff_shows_files_and_of_secrets_only_that_they_differ(stack):
    stack()
    result = stack(FILES | {"config/php/90.ini": b"memory_limit=256M\n", "secrets/db_password": b"hunter2"})
    diff = {entry["after_header"]: entry for entry in result["diff"]}
    assert diff["config/php/90.ini"]["before"] == "memory_limit=128M\n"
    assert diff["config/php/90.ini"]["after"] == "memory_limit=256M\n"
    assert "hunter2" not in json.dumps(result) and "pa$$w0rd" not in json.dumps(result)
    removed = stack({path: content for path, content in FILES.items() if not path.startswith("secrets/")})
    assert "hunter2" not in json.dumps(removed)
    assert "diff" not in stack(diff=False)


def test_modes_are_put_right(stack):
    stack()
    (stack.dest / "secrets").chmod(0o755)
    (stack.dest / "compose.yaml").chmod(0o666)
    result = stack()
    assert result["changed"] and result["changed_files"] == []
    assert mode_of(stack.dest / "secrets") == "0700" and mode_of(stack.dest / "compose.yaml") == "0640"
    assert stack(permissions=[{"pattern": "config/*.ini", "mode": "0600"}])["changed"]
    assert mode_of(stack.dest / "config/php/90.ini") == "0600"


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_the_umask_of_the_host_does_not_matter(stack, umask):
    """Containers' users pass the folders, also while the files are tried before they replace others."""
    command = ["sh", "-c", "[ $(stat -c %a {tree}/config/php) = 755 ]"]
    old = os.umask(umask)
    try:
        assert stack(validate=[{"command": command, "when": ["*"], "explanation": "Closed."}])["changed"]
    finally:
        os.umask(old)
    for folder in (".", "config", "config/php"):
        assert mode_of(stack.dest / folder) == "0755"


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_an_interrupted_transfer_leaves_the_old_tree(stack, tmp_path, cut):
    stack()
    write_archive(str(tmp_path / "new.tar.gz"), FILES | {"config/big": os.urandom(5000)})
    whole = (tmp_path / "new.tar.gz").read_bytes()
    result = stack(archive=whole[:-cut])
    assert result["failed"] and "arrived incomplete" in result["msg"]
    assert tree_of(stack.dest) == FILES


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "config/../../evil", ".dockpress/evil"])
def test_an_archive_stays_in_its_folder(stack, name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "has no place" in stack(archive=buffer.getvalue())["msg"]


def test_a_full_disk_leaves_the_old_tree(stack, monkeypatch):
    stack()

    def full(_descriptor):
        raise OSError(28, "No space left on device", "staged")

    monkeypatch.setattr(stack_files.os, "fsync", full)
    result = stack(FILES | {"config/php/90.ini": b"new"})
    assert result["failed"] and "The disk is full" in result["msg"]
    assert tree_of(stack.dest) == FILES
    assert not (stack.dest / ".dockpress/staged").exists()


def test_too_little_room_is_said_before_anything_changes(stack):
    result = stack(min_free_mb=10**9)
    assert result["failed"] and "stack_min_free_mb" in result["msg"] and "nothing was changed" in result["msg"]
    assert not stack.dest.exists()


def test_a_check_that_fails_replaces_nothing_and_sees_the_whole_tree(stack):
    check = {
        "command": ["sh", "-c", "test -f {tree}/compose.yaml && grep -q memory_limit=128M {tree}/config/php/90.ini"],
        "when": ["config/php/*"],
        "explanation": "php.ini is wrong.",
    }
    assert stack(validate=[check])["changed"]
    bad = FILES | {"config/php/90.ini": b"memory_limit=lots\n"}
    assert not stack(bad, validate=[check], check=True).get("failed")
    result = stack(bad, validate=[check])
    assert result["failed"] and result["msg"].startswith("php.ini is wrong. Nothing was changed.")
    assert tree_of(stack.dest) == FILES
    assert stack(FILES | {"config/nginx/nginx.conf": b"x"}, validate=[{**check, "command": ["true"]}])["changed"]


def test_a_reload_is_asked_for_until_it_is_done(stack):
    patterns = {"web": ["config/nginx/*"], "wordpress": ["config/php/*"]}
    assert stack(reload=patterns)["reload"] == []
    changed = FILES | {"config/nginx/nginx.conf": b"worker_processes 4;\n"}
    assert stack(changed, reload=patterns)["reload"] == ["web"]
    # The run was interrupted here: the next one, which changes no file, still asks.
    assert stack(changed, reload=patterns)["reload"] == ["web"]
    (stack.dest / ".dockpress/reload/web").unlink()
    assert stack(changed, reload=patterns)["reload"] == []


def test_a_folder_that_docker_made_in_place_of_a_file_goes(stack):
    (stack.dest / "config/php/90.ini").mkdir(parents=True)
    stack()
    assert tree_of(stack.dest) == FILES


def test_a_file_in_a_kept_folder_does_not_make_its_neighbours_strays(stack):
    kept = {"directories": [{"path": "web"}]}
    stack(FILES | {"web/wp-config.php": b"<?php\n"}, **kept)
    (stack.dest / "web/index.php").write_text("x")
    assert not stack(FILES | {"web/wp-config.php": b"<?php\n"}, **kept)["changed"]
    assert (stack.dest / "web/index.php").exists()


def test_a_touched_file_keeps_what_is_written_into_it(stack, tmp_path):
    metrics = tmp_path / "metrics/site.prom"
    assert stack(touch=[{"path": str(metrics)}])["changed"]
    metrics.write_text("up 1")
    assert not stack(touch=[{"path": str(metrics)}])["changed"]
    assert metrics.read_text() == "up 1" and mode_of(metrics) == "0644"


def test_a_planted_link_is_not_followed(stack, tmp_path):
    stack(directories=[{"path": "web"}])
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (stack.dest / "web/uploads").symlink_to(tmp_path / "elsewhere")
    for path in ("web/uploads", "web/uploads/2026"):
        result = stack(directories=[{"path": path, "mode": "0777"}])
        assert result["failed"] and "has a link" in result["msg"]
    assert mode_of(tmp_path / "elsewhere") == "0700" and not list((tmp_path / "elsewhere").iterdir())


def test_hashes_follow_the_content_and_do_not_give_a_secret_away():
    first, second = tree_hashes(FILES), tree_hashes(FILES | {"secrets/db_password": b"other"})
    assert first["config/nginx"] == second["config/nginx"] and first["config"] == second["config"]
    assert first["secrets/db_password"] != second["secrets/db_password"]
    # The same password beside other secrets has another hash: the key is made of all of them.
    beside = tree_hashes(FILES | {"secrets/salts": b"long and random"})
    assert beside["secrets/db_password"] != first["secrets/db_password"]
    assert tree_hashes(FILES | {"config/php/90.ini": b""})["config"] != first["config"]


@pytest.mark.parametrize("seed", ["0", "1", "2", "3", "4"])
def test_hash_of_a_folder_of_folders_is_the_same_in_every_process(seed):
    """Sets of strings have another order in every process."""
    files = {f"config/app/{name}/{name}.yml": b"" for name in ("one", "two", "three", "four")}
    program = f"from {tree_hashes.__module__} import tree_hashes; print(tree_hashes({files!r})['config'])"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == tree_hashes(files)["config"]
