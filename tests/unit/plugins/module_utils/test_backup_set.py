"""Sets on the disk, and what pruning may and may not do."""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set as backup_set
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import VERSION
from hypothesis import given, settings
from hypothesis import strategies as st

NOON = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
SITE = "blog.example.com"


def make(root, moment=NOON, site=SITE, **facts):
    with backup_set.NewSet(root, site, moment) as new:
        for name in backup_set.PARTS:
            new.part(name).write_bytes(f"{name} of {moment}".encode())
        return new.finish(facts)


def test_a_set_is_written_read_and_verified(tmp_path):
    made = make(tmp_path, versions={"wordpress": "7.1.1"})
    found = backup_set.find(tmp_path, SITE)
    assert found.path == made.path == tmp_path / SITE / "20261125T120000Z"
    assert found.manifest["versions"] == {"wordpress": "7.1.1"}
    assert found.taken == NOON
    backup_set.verify(found)
    assert (found.path / "manifest.json").stat().st_mode & 0o777 == 0o600
    assert found.path.stat().st_mode & 0o777 == 0o700


def test_an_interrupted_set_is_none(tmp_path):
    class Stop(Exception):
        pass

    with pytest.raises(Stop), backup_set.NewSet(tmp_path, SITE, NOON) as new:
        new.part("db.sql.zst").write_bytes(b"half")
        raise Stop
    assert backup_set.sets(tmp_path, SITE) == []
    assert list((tmp_path / SITE).iterdir()) == []


def test_what_a_killed_run_left_is_no_set_and_is_cleaned(tmp_path):
    good = make(tmp_path)
    killed = backup_set.NewSet(tmp_path, SITE, NOON + timedelta(hours=1))
    killed.__enter__()
    killed.part("db.sql.zst").write_bytes(b"half")
    without_manifest = tmp_path / SITE / "20261125T130000Z"
    without_manifest.mkdir()
    assert [one.stamp for one in backup_set.sets(tmp_path, SITE)] == [good.stamp]
    assert backup_set.clean(tmp_path, SITE) == [".partial-20261125T130000Z"]
    assert good.path.exists()


def test_a_missing_or_empty_part_makes_no_set(tmp_path):
    with pytest.raises(backup_set.SetError, match=r"db\.sql\.zst"), backup_set.NewSet(tmp_path, SITE) as new:
        for name in backup_set.PARTS:
            new.part(name).write_bytes(b"" if name == "db.sql.zst" else b"x")
        new.finish({})
    assert backup_set.sets(tmp_path, SITE) == []


def test_two_sets_within_a_second(tmp_path):
    assert [make(tmp_path).stamp, make(tmp_path).stamp] == ["20261125T120000Z", "20261125T120001Z"]


@pytest.mark.parametrize("name", backup_set.PARTS)
def test_every_damage_is_seen(tmp_path, name):
    found = make(tmp_path)
    part = found.part(name)
    good = part.read_bytes()
    for offset in range(len(good)):
        part.write_bytes(good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :])
        with pytest.raises(backup_set.SetError, match="damaged"):
            backup_set.verify(found)
    part.write_bytes(good[:-1])
    with pytest.raises(backup_set.SetError, match="bytes"):
        backup_set.verify(found)
    part.unlink()
    with pytest.raises(backup_set.SetError, match="missing"):
        backup_set.verify(found)


def test_the_set_of_another_site_is_refused(tmp_path):
    other = make(tmp_path, site="shop.example.com")
    (tmp_path / SITE).mkdir()
    other.path.rename(tmp_path / SITE / other.stamp)
    with pytest.raises(backup_set.SetError, match=r"one of shop\.example\.com, not of blog\.example\.com"):
        backup_set.find(tmp_path, SITE, other.stamp)
    with pytest.raises(backup_set.SetError, match="no complete backup set"):
        backup_set.find(tmp_path, SITE)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format=2),
        lambda m: m.update(stamp="20261125T120001Z"),
        lambda m: m.update(stamp="yesterday"),
        lambda m: m.update(site=None),
        lambda m: m["parts"].pop("files.tar.zst"),
        lambda m: m["parts"].update({"../../etc/passwd": {"bytes": 1, "sha256": "x"}}),
        lambda m: m["parts"].update({"db.sql.zst": {"bytes": "1"}}),
        lambda m: m.update(parts=[]),
    ],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path, change):
    found = make(tmp_path)
    manifest = json.loads((found.path / "manifest.json").read_text())
    change(manifest)
    (found.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(backup_set.SetError):
        backup_set.read(found.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_no_object_is_refused(tmp_path, text):
    found = make(tmp_path)
    (found.path / "manifest.json").write_text(text)
    with pytest.raises(backup_set.SetError):
        backup_set.read(found.path)


@pytest.mark.parametrize("site", ["", "..", "a/b", "../x", ".hidden"])
def test_a_site_stays_in_its_folder(tmp_path, site):
    with pytest.raises(backup_set.SetError):
        backup_set.site_folder(tmp_path, site)


def test_latest_is_no_safety_set(tmp_path):
    kept = make(tmp_path)
    safety = make(tmp_path, NOON + timedelta(hours=1), reason="safety")
    assert backup_set.find(tmp_path, SITE).stamp == kept.stamp
    assert backup_set.find(tmp_path, SITE, safety.stamp).stamp == safety.stamp


def test_a_removed_set_is_gone(tmp_path):
    first, second = make(tmp_path), make(tmp_path, NOON + timedelta(days=1))
    backup_set.remove(first)
    assert [one.stamp for one in backup_set.sets(tmp_path, SITE)] == [second.stamp]
    assert backup_set.partial(tmp_path, SITE) == []


def test_the_last_proven_set(tmp_path):
    first, second = make(tmp_path), make(tmp_path, NOON + timedelta(days=1))
    assert backup_set.last_proven([first, second]) is None
    backup_set.prove(first, NOON + timedelta(days=2), {"seconds": 12})
    assert backup_set.last_proven([first, second]) == first
    (second.path / "proof.json").write_text("half")
    assert backup_set.last_proven([first, second]) == first


def test_metrics_are_whole_or_absent(tmp_path):
    text = backup_set.metrics('a"b', [("dockpress_backup_bytes", "Size.", 1732500000)])
    assert text.splitlines()[-1] == 'dockpress_backup_bytes{site="a\\"b"} 1732500000'
    backup_set.write_metrics(tmp_path, "x.prom", text)
    assert (tmp_path / "x.prom").read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == ["x.prom"]
    backup_set.write_metrics(tmp_path / "nowhere", "x.prom", text)
    assert not (tmp_path / "nowhere").exists()


# Pruning

moments = st.lists(
    st.datetimes(datetime(2020, 1, 1), datetime(2031, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
    max_size=60,
    unique=True,
)
few = st.integers(0, 6)
policies = st.builds(
    backup_set.Policy, hourly=few, daily=few, weekly=few, monthly=few, yearly=few, keep_min=st.integers(1, 6)
)


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments, policies)
def test_never_fewer_than_keep_min(taken, policy):
    kept = backup_set.plan(taken, policy).keep
    assert len(kept) >= min(policy.keep_min, len(taken))
    newest = [backup_set.stamp(moment) for moment in sorted(taken)[-policy.keep_min :]]
    assert set(newest) <= set(kept)


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments.filter(bool), policies, st.data())
def test_never_the_last_proven_one(taken, policy, data):
    proven = data.draw(st.sampled_from(taken))
    assert backup_set.stamp(proven) not in backup_set.plan(taken, policy, proven).remove


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments, policies, st.data())
def test_every_set_is_kept_or_removed_and_a_second_run_removes_none(taken, policy, data):
    proven = data.draw(st.sampled_from([*taken, None]))
    first = backup_set.plan(taken, policy, proven)
    assert sorted([*first.keep, *first.remove]) == sorted(map(backup_set.stamp, taken))
    left = [moment for moment in taken if backup_set.stamp(moment) in first.keep]
    second = backup_set.plan(left, policy, proven)
    assert second.remove == []
    assert list(second.keep) == list(first.keep)


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments, policies, st.sampled_from(["hourly", "daily", "weekly", "monthly", "yearly"]))
def test_each_of_the_newest_periods_keeps_its_newest_set(taken, policy, name):
    period = backup_set._PERIODS[name]
    newest: dict[tuple[int, ...], datetime] = {}
    for moment in sorted(taken):
        newest[period(moment)] = moment
    wanted = sorted(newest.values())[len(newest) - min(getattr(policy, name), len(newest)) :]
    assert {backup_set.stamp(moment) for moment in wanted} <= set(backup_set.plan(taken, policy).keep)


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments, policies)
def test_no_more_is_kept_than_the_rules_allow(taken, policy):
    most = policy.keep_min + policy.hourly + policy.daily + policy.weekly + policy.monthly + policy.yearly
    assert len(backup_set.plan(taken, policy).keep) <= most


# A wall clock says nothing on a machine that has other work.
@settings(deadline=None)
@given(moments, policies, st.data())
def test_restores_push_out_no_backup(taken, policy, data):
    safety = data.draw(st.lists(st.sampled_from(taken), unique=True) if taken else st.just([]))
    proven = data.draw(st.sampled_from([*taken, None]))
    backups = [moment for moment in taken if moment not in safety]
    planned = backup_set.plan(backups, policy, proven, safety)
    assert sorted([*planned.keep, *planned.remove]) == sorted(map(backup_set.stamp, taken))
    # What stays of the backups does not depend on restores.
    alone = backup_set.plan(backups, policy, proven)
    ours = set(map(backup_set.stamp, backups))
    assert {name: why for name, why in planned.keep.items() if name in ours} == alone.keep
    # Of the others the newest stay, and what a drill proved.
    newest = sorted(safety)[-policy.keep_min :]
    wanted = {*newest, *([proven] if proven in safety else [])}
    assert set(planned.keep) - ours == set(map(backup_set.stamp, wanted))
    left = [[moment for moment in some if backup_set.stamp(moment) in planned.keep] for some in (backups, safety)]
    assert backup_set.plan(left[0], policy, proven, left[1]) == backup_set.Plan(planned.keep, [])


def test_hourly_sets_of_a_year():
    taken = [NOON - timedelta(hours=hour) for hour in range(24 * 400)]
    kept = backup_set.plan(taken, backup_set.Policy(hourly=4, daily=3, weekly=2, monthly=3, yearly=2)).keep
    assert list(kept) == [
        "20251231T230000Z",
        "20260930T230000Z",
        "20261031T230000Z",
        "20261122T230000Z",
        "20261123T230000Z",
        "20261124T230000Z",
        "20261125T090000Z",
        "20261125T100000Z",
        "20261125T110000Z",
        "20261125T120000Z",
    ]


@pytest.mark.parametrize("wrong", [{"keep_min": 0}, {"daily": -1}])
def test_a_policy_that_could_remove_all_is_refused(wrong):
    with pytest.raises(backup_set.SetError):
        backup_set.Policy(**wrong)


def test_the_manifest_names_the_collections_version():
    root = pathlib.Path(__file__).parents[4]
    assert f"\nversion: {VERSION}\n" in (root / "galaxy.yml").read_text()


def test_a_difference_is_never_the_newest_and_goes_with_the_next_set(tmp_path):
    full = make(tmp_path)
    difference = make(tmp_path, NOON + timedelta(hours=1), parts={"files.tar.zst": {"since": full.stamp, "tree": {}}})
    assert [one.stamp for one in backup_set.sets(tmp_path, SITE)] == [full.stamp]
    assert backup_set.find(tmp_path, SITE).stamp == full.stamp
    assert backup_set.find(tmp_path, SITE, difference.stamp).since == full.stamp
    backup_set.drop_differences(tmp_path, SITE)
    assert full.path.exists()
    assert not difference.path.exists()


def test_a_set_of_the_future_is_not_the_newest(tmp_path):
    made = make(tmp_path, NOON.replace(year=NOON.year - 1))
    later = make(tmp_path, NOON.replace(year=NOON.year + 50))
    assert later.early
    assert backup_set.find(tmp_path, SITE).stamp == made.stamp
    backup_set.remove(made)
    assert backup_set.find(tmp_path, SITE).stamp == later.stamp


def test_a_set_that_lies_elsewhere_loses_its_link_only(tmp_path):
    made = make(tmp_path / "large")
    folder = tmp_path / "sets" / SITE
    folder.mkdir(parents=True)
    (folder / made.stamp).symlink_to(made.path)
    found = backup_set.find(tmp_path / "sets", SITE)
    backup_set.verify(found)
    backup_set.remove(found)
    assert list(folder.iterdir()) == []
    assert made.whole
    (folder / ".partial-link").symlink_to(made.path)
    (folder / ".partial-file").write_bytes(b"")
    assert len(backup_set.clean(tmp_path / "sets", SITE)) == 2
    assert list(folder.iterdir()) == []
    assert made.whole


def test_a_set_without_all_of_its_parts_is_not_whole(tmp_path):
    made = make(tmp_path)
    assert made.whole
    made.part("files.tar.zst").write_bytes(b"cut")
    assert not made.whole
    made.part("files.tar.zst").unlink()
    assert not made.whole
