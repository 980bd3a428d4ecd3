# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``wp-config.php``: literal files that are edited by PHP's own reading of them, and stubs that name another file.

WP-CLI's editor works with patterns: it breaks values that end in a backslash, and misses definitions after an
expression. Here PHP's tokenizer finds the definitions, and PHP evaluates the new file before it replaces the old one.
"""

from __future__ import annotations

import base64
import math
import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import Plan, Resource, Site, Step

SALTS = (
    "AUTH_KEY",
    "SECURE_AUTH_KEY",
    "LOGGED_IN_KEY",
    "NONCE_KEY",
    "AUTH_SALT",
    "SECURE_AUTH_SALT",
    "LOGGED_IN_SALT",
    "NONCE_SALT",
)

CONFIG_OPTIONS = {
    "database_name": {"type": "str"},
    "database_user": {"type": "str"},
    "database_password": {"type": "str", "no_log": True},
    "database_host": {"type": "str"},
    "database_charset": {"type": "str"},
    "database_collate": {"type": "str"},
    "table_prefix": {"type": "str"},
    "salts": {"type": "str", "choices": ["present", "shuffle", "ignore"], "default": "present"},
    "constants": {"type": "dict", "default": {}},
    "secret_constants": {"type": "dict", "default": {}, "no_log": True},
    "raw_constants": {"type": "dict", "default": {}},
    "absent_constants": {"type": "list", "elements": "str", "default": []},
}

DATABASE = {
    "database_name": "DB_NAME",
    "database_user": "DB_USER",
    "database_password": "DB_PASSWORD",
    "database_host": "DB_HOST",
    "database_charset": "DB_CHARSET",
    "database_collate": "DB_COLLATE",
}

EDIT = r"""
// Values travel as base64 of what serialize() gives: exact bytes and exact types.
function dp_value($v) { return unserialize(base64_decode($v), ['allowed_classes' => false]); }
function dp_tokens($code) { return PhpToken::tokenize($code); }
function dp_next($tokens, $i) {
    for ($i++; $i < count($tokens) && $tokens[$i]->isIgnorable(); $i++);
    return $i;
}
// All definitions of constants at any depth, and assignments to $table_prefix: where the value stands, and whether it is a literal.
function dp_definitions($code) {
    $tokens = dp_tokens($code); $found = [];
    foreach ($tokens as $i => $token) {
        if ($token->is(T_STRING) && strtolower($token->text) === 'define' || $token->is(T_NAME_FULLY_QUALIFIED)
            && strtolower($token->text) === '\\define') {
            $j = dp_next($tokens, $i);
            if ($j >= count($tokens) || $tokens[$j]->text !== '(') continue;
            $j = dp_next($tokens, $j);
            if (!$tokens[$j]->is(T_CONSTANT_ENCAPSED_STRING)) continue;
            $name = eval('return ' . $tokens[$j]->text . ';');
            $j = dp_next($tokens, $j);
            if ($tokens[$j]->text !== ',') continue;
            $first = dp_next($tokens, $j);
            for ($depth = 0, $k = $first; $k < count($tokens); $k++) {
                if (in_array($tokens[$k]->text, ['(', '[', '{'], true)) $depth++;
                if (in_array($tokens[$k]->text, [')', ']', '}'], true) && $depth-- === 0) break;
                if ($depth === 0 && $tokens[$k]->text === ',') break;
            }
            $value = array_slice($tokens, $first, $k - $first);
            $simple = array_values(array_filter($value, fn ($t) => !$t->isIgnorable()));
            $text = implode('', array_map(fn ($t) => $t->text, $value));
            // The whole statement: to the semicolon, and back over a guard such as `defined('X') ||`.
            for ($e = $k; $e < count($tokens) && $tokens[$e]->text !== ';'; $e++);
            for ($b = $i; $b > 0 && !in_array($tokens[$b - 1]->text, [';', '{', '}'], true) && !$tokens[$b - 1]->is([T_OPEN_TAG, T_COMMENT,
                T_DOC_COMMENT]); $b--);
            while ($b < $i && $tokens[$b]->isIgnorable()) $b++;
            $bare = $b === $i || preg_match('/^\s*(if\s*\(\s*!\s*defined\s*\([^()]*\)\s*\)|(\\\\)?defined\s*\([^()]*\)\s*(\|\||or))\s*$/i',
                implode('', array_map(fn ($t) => $t->text, array_slice($tokens, $b, $i - $b))));
            $found[] = ['name' => $name, 'from' => $value[0]->pos, 'to' => $value[0]->pos + strlen($text), 'begin' => $tokens[$b]->pos,
                'end' => $tokens[$e]->pos + 1,
                'bare' => (bool) $bare, 'literal' => dp_literal($simple)];
        }
        if ($token->is(T_CONST)) {
            // `const A = 1;`, and `const A = 1, B = 2;`, which is no statement of one constant alone.
            for ($e = $i; $e < count($tokens) && $tokens[$e]->text !== ';'; $e++);
            for ($n = dp_next($tokens, $i), $several = false; $n < $e; $n = dp_next($tokens, $k), $several = true) {
                $k = dp_next($tokens, $n);
                if ($k >= $e || $tokens[$k]->text !== '=') break;  // `use const` is no definition
                $first = dp_next($tokens, $k);
                for ($depth = 0, $k = $first; $k < $e; $k++) {
                    $depth += in_array($tokens[$k]->text, ['(', '['], true) - in_array($tokens[$k]->text, [')', ']'], true);
                    if ($depth === 0 && $tokens[$k]->text === ',') break;
                }
                $value = array_slice($tokens, $first, $k - $first);
                $found[] = ['name' => $tokens[$n]->text, 'from' => $tokens[$first]->pos, 'to' => $tokens[$k]->pos,
                    'begin' => $token->pos, 'end' => $tokens[$e]->pos + 1, 'bare' => !$several && $k === $e,
                    'literal' => dp_literal(array_values(array_filter($value, fn ($t) => !$t->isIgnorable())))];
            }
        }
        if ($token->is(T_VARIABLE) && $token->text === '$table_prefix') {
            $j = dp_next($tokens, $i);
            if ($tokens[$j]->text !== '=') continue;
            $first = dp_next($tokens, $j);
            for ($k = $first; $k < count($tokens) && $tokens[$k]->text !== ';'; $k++);
            $text = implode('', array_map(fn ($t) => $t->text, array_slice($tokens, $first, $k - $first)));
            $found[] = ['name' => '$table_prefix', 'from' => $tokens[$first]->pos, 'to' => $tokens[$first]->pos + strlen($text),
                'begin' => $token->pos, 'end' => $tokens[$k]->pos + 1,
                'bare' => true, 'literal' => dp_literal(array_values(array_filter(array_slice($tokens, $first, $k - $first),
                    fn ($t) => !$t->isIgnorable())))];
        }
    }
    return $found;
}
function dp_literal($tokens) {
    foreach ($tokens as $t) {
        if ($t->is([T_CONSTANT_ENCAPSED_STRING, T_LNUMBER, T_DNUMBER, T_ARRAY, T_DOUBLE_ARROW]) || in_array($t->text, ['-', '.', '[', ']', '(', ')',
            ','], true)
            || $t->is(T_STRING) && in_array(strtolower($t->text), ['true', 'false', 'null'], true)) continue;
        return false;
    }
    return true;
}
// Where WordPress is started: settings stand before that.
function dp_start($code) {
    $tokens = dp_tokens($code);
    foreach ($tokens as $i => $t) {
        if (!$t->is([T_REQUIRE, T_REQUIRE_ONCE, T_INCLUDE, T_INCLUDE_ONCE])) continue;
        for ($k = $i, $text = ''; $k < count($tokens) && $tokens[$k]->text !== ';'; $k++) $text .= $tokens[$k]->text;
        if (str_contains($text, 'wp-settings.php')) return [$t->pos, ($tokens[$k]->pos ?? strlen($code) - 1) + 1];
    }
    return null;
}
function dp_insertion($code, $start) {
    foreach (["/* That's all, stop editing!", '/** Absolute path to the WordPress directory'] as $line) {
        foreach (dp_tokens($code) as $t) {
            if ($t->pos < $start && $t->is([T_COMMENT, T_DOC_COMMENT]) && str_starts_with($t->text, $line)) return $t->pos;
        }
    }
    // The guard around ABSPATH, whatever stands in texts before it.
    foreach (dp_tokens($code) as $t) {
        if ($t->pos < $start && $t->is(T_IF) && preg_match('/\Gif\s*\(\s*!\s*defined\s*\(\s*[\'"]ABSPATH/', $code, $m, 0, $t->pos)) return $t->pos;
    }
    return $start;
}
function dp_run($code, $file) {
    // A process of its own: constants cannot be defined twice, and a file that ends the process must not end this one.
    $start = dp_start($code);
    if ($start === null) return ['error' => 'it does not load wp-settings.php: is it a wp-config.php?'];
    $body = substr($code, 0, $start[0]) . ';' . substr($code, $start[1]);
    $mark = bin2hex(random_bytes(16));
    $prologue = '<?php $GLOBALS["dp_done"] = false; register_shutdown_function(function () { $c = get_defined_constants(true)["user"] ?? [];'
        . ' if (isset($GLOBALS["table_prefix"])) $c["$" . "table_prefix"] = $GLOBALS["table_prefix"];'
        . ' $e = error_get_last(); fwrite(fopen("php://stdout", "w"), "\n' . $mark
            . '" . base64_encode(serialize(["constants" => array_filter($c, fn ($v) => !is_object($v)),'
        . ' "done" => $GLOBALS["dp_done"],'
        . ' "error" => $e["message"] ?? null])) . "' . $mark . '\n"); }); ?>';
    $folder = sys_get_temp_dir() . '/dockpress-' . bin2hex(random_bytes(8));
    mkdir($folder, 0700);
    $temp = "$folder/wp-config.php";
    file_put_contents($temp, str_replace(['__DIR__', '__FILE__'], [var_export(dirname($file), true), var_export($file, true)], $body) . "\n");
    $outer = $prologue . '<?php include ' . var_export($temp, true) . '; $GLOBALS["dp_done"] = true;';
    $process = proc_open([PHP_BINARY, '-d', 'display_errors=stderr'], [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $pipes, dirname($file));
    fwrite($pipes[0], $outer); fclose($pipes[0]);
    $out = stream_get_contents($pipes[1]); $err = stream_get_contents($pipes[2]);
    proc_close($process);
    unlink($temp); rmdir($folder);
    if (!preg_match("/\n$mark(.*?)$mark\n/s", $out, $m)) return ['error' => trim($err) ?: 'PHP gives no answer'];
    $answer = unserialize(base64_decode($m[1]), ['allowed_classes' => false]);
    if (!$answer['done']) return ['error' => str_replace($temp, $file, $answer['error'] ?? trim($err) ?: 'it ends the process')];
    return ['constants' => $answer['constants']];
}
function dp_fail($message, $more = []) { emit(['error' => $message] + $more); exit(0); }

$path = rtrim($data['path'], '/');
$file = "$path/wp-config.php";
// WordPress looks one folder up as well, where no other WordPress lies.
if (!is_file($file) && is_file(dirname($path) . '/wp-config.php') && !is_file(dirname($path) . '/wp-settings.php')) $file = dirname($path)
    . '/wp-config.php';
$exists = is_file($file) && filesize($file) > 0;
if (!$exists && !$data['create']) dp_fail('absent', ['file' => $file]);
$old = $exists ? file_get_contents($file) : base64_decode($data['template']);
$now = dp_run($old, $file);
if (isset($now['error'])) dp_fail("PHP cannot evaluate $file as it is: {$now['error']}");
$new = $old;
$changes = [];
// The salts of a new file, and those that the sample file has.
$salts = [];
foreach ($data['salts_wanted'] as $name) {
    $have = $now['constants'][$name] ?? null;
    $weak = $have === null || $have === '' || $have === 'put your unique phrase here';
    if ($weak || $data['salts'] === 'shuffle') $salts[$name] = base64_encode(serialize(rtrim(strtr(base64_encode(random_bytes(48)), '+/', '-_'),
        '=')));
}
$want = $data['want'] + $salts;
$expected = [];
$apply = function ($name, $text, $value, $check) use (&$new, &$changes, &$expected, $now, $exists, $file, $data) {
    $known = array_key_exists($name, $now['constants']);
    if ($check) $expected[$name] = $value;
    $places = array_values(array_filter(dp_definitions($new), fn ($d) => $d['name'] === $name));
    if ($check && $known && $now['constants'][$name] === $value) return;
    if (!$places) {
        if ($known) dp_fail("$name is defined, and not in $file itself: it comes from a file that this one loads,"
            . " or from the environment. Set it there.");
        $start = dp_start($new)[0];
        $at = dp_insertion($new, $start);
        $line = $name[0] === '$' ? "$name = $text;\n" : 'define( ' . var_export($name, true) . ", $text );\n";
        $new = substr($new, 0, $at) . $line . "\n" . substr($new, $at);
        $changes[] = ['name' => $name, 'action' => 'added'];
        return;
    }
    if (!$check && trim(substr($new, $places[0]['from'], $places[0]['to'] - $places[0]['from'])) === trim($text) && count($places) === 1) return;
    if (count($places) > 1) dp_fail("$name is defined " . count($places) . " times in $file: leave one of them.");
    $place = $places[0];
    if (!$place['literal'] && $check) {
        $shown = preg_replace('/\s+/', ' ', substr($new, $place['from'], $place['to'] - $place['from']));
        $secret = in_array($name, $data['secret'], true) || preg_match('/PASS|SECRET|SALT|TOKEN|KEY/i', $name);
        dp_fail("$name is not a literal in $file but an expression" . ($secret ? '' : ' (' . substr($shown, 0, 80) . ')')
            . ": it is set somewhere else, most likely in the environment. Set it there, or take the line out of the file.");
    }
    $new = substr($new, 0, $place['from']) . $text . substr($new, $place['to']);
    $changes[] = ['name' => $name, 'action' => 'changed'];
};
foreach ($want as $name => $encoded) { $value = dp_value($encoded); $apply((string) $name, var_export($value, true), $value, true); }
foreach ($data['raw'] as $name => $text) {
    $probe = @token_get_all('<?php return ' . $text . ';', 0);
    try { token_get_all('<?php return ' . $text . ';', TOKEN_PARSE); } catch (Throwable $e) { dp_fail("raw_constants: $name is no PHP expression: "
        . $e->getMessage()); }
    $apply((string) $name, $text, null, false);
}
foreach ($data['absent'] as $name) {
    $places = array_values(array_filter(dp_definitions($new), fn ($d) => $d['name'] === $name));
    if (!$places && array_key_exists($name, $now['constants'])) dp_fail("$name is defined, and not in $file itself: take it out where it is.");
    if (!$places) continue;
    foreach (array_reverse($places) as $place) {
        if (!$place['bare']) dp_fail("$name is defined inside of another construct in $file: take it out by hand.");
        $end = $place['end'];
        if (preg_match('/\G[ \t]*\r?\n/', $new, $m, 0, $end)) $end += strlen($m[0]);
        $new = substr($new, 0, $place['begin']) . substr($new, $end);
    }
    $changes[] = ['name' => $name, 'action' => 'removed'];
    $expected[$name] = null;
}
if (!$exists) array_unshift($changes, ['name' => $file, 'action' => 'created']);
if ($changes) {
    $after = dp_run($new, $file);
    if (isset($after['error'])) dp_fail("the new file would not evaluate: {$after['error']}. Nothing was changed.");
    foreach ($expected as $name => $value) {
        $is = $after['constants'][$name] ?? null;
        if ($is !== $value) dp_fail("$name would not have the declared value once PHP has evaluated the new file:"
            . " something else in it defines it. Nothing was changed.");
    }
    foreach ($now['constants'] as $name => $value) {
        if (isset($want[$name]) || isset($data['raw'][$name]) || in_array($name, $data['absent'], true)) continue;
        if (!array_key_exists($name, $after['constants']) || $after['constants'][$name] !== $value && is_scalar($value)) {
            // Values that differ from run to run by themselves (random, time) are no reason to stop.
            $again = dp_run($old, $file);
            if (($again['constants'][$name] ?? null) === $value) dp_fail("$name would change as a side effect. Nothing was changed.");
        }
    }
    if (!$data['check']) {
        $temp = "$file.dockpress-" . bin2hex(random_bytes(4));
        if (@file_put_contents($temp, $new) !== strlen($new)) dp_fail("cannot write $temp: " . (error_get_last()['message'] ?? ''));
        chmod($temp, $exists ? fileperms($file) & 0777 : 0640);
        if (!@rename($temp, $file)) { unlink($temp); dp_fail("cannot replace $file"); }
    }
}
$names = array_merge(array_keys($want), array_keys($data['raw']), $data['absent']);
$show = fn ($constants) => array_map(fn ($v) => is_scalar($v) || is_array($v) || $v === null ? $v : gettype($v), array_intersect_key($constants,
    array_flip($names)));
emit(['changes' => $changes, 'before' => $exists ? $show($now['constants']) : new stdClass, 'after' => $show(($after ?? $now)['constants'])]);
exit(0);
"""

TEMPLATE = """<?php
/**
 * The base configuration of WordPress, written by Ansible (dockpress.hosting.wp_config).
 */

define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
$table_prefix = 'wp_';

/* That's all, stop editing! Happy publishing. */

/** Absolute path to the WordPress directory. */
if ( ! defined( 'ABSPATH' ) ) {
    define( 'ABSPATH', __DIR__ . '/' );
}

/** Sets up WordPress vars and included files. */
require_once ABSPATH . 'wp-settings.php';
"""


def php_serialize(value: t.Any) -> bytes:
    """What PHP's serialize() gives for a value from YAML. Raises WpCliError for what PHP has no like of."""
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise WpCliError(f"{value} is too large for PHP.")
        return b"i:%d;" % value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WpCliError(f"{value} cannot be written.")
        return b"d:%s;" % repr(value).encode()
    if isinstance(value, str):
        try:
            data = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise WpCliError("constants: a value holds bytes that are no UTF-8 text.") from error
        return b's:%d:"%s";' % (len(data), data)
    if isinstance(value, dict):
        inner = b"".join(php_serialize(str(key)) + php_serialize(item) for key, item in value.items())
        return b"a:%d:{%s}" % (len(value), inner)
    inner = b"".join(php_serialize(number) + php_serialize(item) for number, item in enumerate(value))
    return b"a:%d:{%s}" % (len(value), inner)


def encoded(value: t.Any) -> str:
    """For dp_value() in EDIT."""
    return base64.b64encode(php_serialize(value)).decode()


class ConfigFile(Resource):
    """Constants of a literal wp-config.php."""

    name = "config"
    early = True

    def __init__(self, declared: dict[str, t.Any]) -> None:
        """``declared``: values for CONFIG_OPTIONS."""
        self.declared = declared
        constants = declared.get("constants") or {}
        secret = declared.get("secret_constants") or {}
        self.raw: dict[str, str] = declared.get("raw_constants") or {}
        self.absent: list[str] = declared.get("absent_constants") or []
        database = {name: declared[option] for option, name in DATABASE.items() if declared.get(option) is not None}
        names = [*constants, *secret, *self.raw, *self.absent, *database]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise WpCliError(f"constants: {', '.join(twice)} stands there more than once.")
        for name in names:
            if not name.isidentifier() or not name.isascii():
                raise WpCliError(f"constants: {name!r} is no name of a constant.")
        self.want = {**database, **constants, **secret}
        self.secret = {*secret, *SALTS, "DB_PASSWORD"}
        if declared.get("table_prefix") is not None:
            prefix = declared["table_prefix"]
            if not prefix or not all(c.isascii() and (c.isalnum() or c == "_") for c in prefix):
                raise WpCliError("table_prefix has letters, digits and underscores only.")
            self.want["$table_prefix"] = prefix

    def edit(self, site: Site, check: bool) -> dict[str, t.Any]:
        """Read, change, evaluate, replace: one process. Returns ``changes``, ``before`` and ``after``."""
        salts = self.declared.get("salts") or "present"
        spoken_for = {*self.want, *self.raw, *self.absent}
        data = {
            "path": site.wp.path,
            "check": check,
            "create": bool(self.declared.get("database_name")),
            "template": base64.b64encode(TEMPLATE.encode()).decode(),
            "want": {name: encoded(value) for name, value in self.want.items()},
            "raw": {name: str(text) for name, text in self.raw.items()},
            "absent": self.absent,
            "secret": sorted(self.secret),
            "salts": salts,
            "salts_wanted": [name for name in SALTS if name not in spoken_for] if salts != "ignore" else [],
        }
        answer = site.wp.eval(EDIT, data, wordpress=False, plugins=False, hidden=site.hidden)
        if answer.get("error") == "absent":
            raise WpCliError(
                f"There is no {answer['file']}. Give database_name, database_user, database_password and database_host, and it is created."
            )
        if "error" in answer:
            raise WpCliError(answer["error"])
        return answer

    def before_reading(self, site: Site) -> None:
        """A configuration that is wrong keeps everything else from being read."""
        answer = self.edit(site, site.module.check_mode)
        steps = [Step(change["name"], change["action"]) for change in answer["changes"]]
        site.planned += steps
        if not site.module.check_mode:
            site.done += steps
            site.code_changed |= bool(steps)
        before, after = dict(answer["before"] or {}), dict(answer["after"] or {})
        for name in self.secret & {*before, *after}:
            hidden = "(hidden)" if before.get(name) == after.get(name) else "(hidden, new)"
            if name in after:
                after[name] = hidden
            if name in before:
                before[name] = "(hidden)"
        site.before[self.name], site.after[self.name] = before, after


class ConfigStub(Resource):
    """A wp-config.php that never changes and loads the settings from a file outside of the web root."""

    name = "config"
    early = True

    def __init__(self, target: str) -> None:
        """``target``: absolute path of the settings inside the containers."""
        if not target.startswith("/") or any(c in target for c in "'\\\n"):
            raise WpCliError(
                "config_include is an absolute path without quotes, such as /etc/dockpress/wordpress/wp-config.php."
            )
        self.target = target
        self.text = (
            "<?php\n"
            "// Written by Ansible (dockpress.hosting.wp_site). The settings are in the file below, and not here.\n"
            f"require '{target}';\n"
            "if ( ! defined( 'ABSPATH' ) ) { define( 'ABSPATH', __DIR__ . '/' ); }\n"
            "require_once ABSPATH . 'wp-settings.php';\n"
        )

    def query(self) -> dict[str, t.Any]:
        return {"stub": self.text, "stub_target": self.target}

    def check(self, state: dict[str, t.Any]) -> None:
        if not state["config"]["target_readable"]:
            raise WpCliError(f"config_include: {self.target} cannot be read in the container. Mount it there.")

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        if not state["config"].get("is_stub"):
            job = {"kind": "file", "to": "wp-config.php", "content": self.text}
            plan.steps.append(
                Step(
                    "wp-config.php",
                    "replaced" if state["config"]["exists"] else "written",
                    job=job,
                    code=True,
                    reread=True,
                )
            )
            plan.note("wp-config.php", "another one" if state["config"]["exists"] else None, f"loads {self.target}")
        return plan
