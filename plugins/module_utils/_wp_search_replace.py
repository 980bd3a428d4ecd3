# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace text in a WordPress database with every form it takes there.

WP-CLI's own ``search-replace`` leaves array keys, escaped slashes, percent encoding, and tables without a primary key as they
are, mostly without a word. This is a program of our own that WP-CLI runs before WordPress: it needs wp-config.php and nothing else,
so it works while the site's address is still the old one.
"""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

# `$data`: pairs [[from, to], ...], addresses [{hosts, port, path, to}, ...], tables [patterns], skip_columns [names],
# blobs (bool), write (bool), samples (int).
PHP = r"""
eval(WP_CLI::get_runner()->get_wp_config_code());

final class Replacer {
    public array $map = [];
    private array $back = [];
    private array $forms = [];
    // Addresses: [pattern, what it becomes]. How a colon, a slash and a dash are written is
    // left open: as they are, for JSON (in JSON), for a query, for HTML, for the attributes of a block.
    private array $addresses = [];
    private array $pieces64 = [];
    public bool $collided = false;
    private const COLON = '(?::|%3A|%253A|&#0*58;|&#x0*3A;)';
    private const SLASH = '(?:\\\\*\/|%2F|%252F|\\\\*u002F|&#0*47;|&#x0*2F;)';
    // Where a name begins that has no scheme in front: not inside a longer name, nor in a mail address.
    private const BEGIN = '(?:(?<![\w.@-])|(?<=%(?!40|2D|2E)[0-9A-F]{2})|(?<=\\\\[nrtbf])|(?<=\\\\u[0-9a-f]{4}))(?<!%40|u0040)';
    private const END = '(?![\w-])(?!\.\w)(?!\\\\*u002d)';

    public function __construct(array $pairs, array $addresses = []) {
        foreach ($addresses as $one) $this->address($one);
        $json = static fn($text, $flags) => substr(json_encode($text, $flags), 1, -1);
        $ways = [
            'plain' => static fn($s) => $s,
            'json' => static fn($s) => $json($s, 0),
            'json, unicode' => static fn($s) => $json($s, JSON_UNESCAPED_UNICODE),
            'json, slashes' => static fn($s) => $json($s, JSON_UNESCAPED_SLASHES),
            'json in json' => static fn($s) => $json($json($s, 0), 0),
            'json in json, slashes' => static fn($s) => $json($json($s, 0), JSON_UNESCAPED_SLASHES),
            'percent' => 'rawurlencode',
            'percent, lower case' => static fn($s) => preg_replace_callback('/%[0-9A-F]{2}/', static fn($m) => strtolower($m[0]), rawurlencode($s)),
            'percent twice' => static fn($s) => rawurlencode(rawurlencode($s)),
        ];
        foreach ($pairs as [$from, $to]) {
            foreach ($ways as $form => $way) {
                [$a, $b] = [$way($from), $way($to)];
                if (isset($this->map[$a])) continue;
                $this->map[$a] = $b;
                $this->forms[$a] = $form;
                // What is new already stays, so that a second run changes nothing.
                if (strpos($b, $a) !== false) $this->back[$b] = $b;
            }
        }
        $this->map = $this->back + $this->map;
    }

    private function address(array $one): void {
        $to = parse_url($one['to']);
        $names = $one['hosts'];
        foreach ($one['hosts'] as $host) array_push($names, substr(json_encode($host), 1, -1), rawurlencode($host));
        $names = array_unique($names);
        $host = implode('|', array_map(static fn($n) => str_replace('\\-', '(?:-|\\\\*u002d)', preg_quote($n, '~')), $names));
        // On another host any port of the old one is the old site; on the same only its own is.
        $same = in_array(strtolower($to['host']), array_map('strtolower', $one['hosts']), true);
        $port = $same ? ($one['port'] ? self::COLON . $one['port'] : '(?!' . self::COLON . '\d)') : '(?:' . self::COLON . '\d{1,5})?';
        $path = '';
        foreach (array_filter(explode('/', $one['path']), 'strlen') as $part) $path .= self::SLASH . preg_quote($part, '~');
        $bare = strpos($one['hosts'][0], '.') === false ? '' : '|' . self::BEGIN;
        $pattern = '~(?:(?<scheme>https?)(?<colon>' . self::COLON . ')(?<slash>' . self::SLASH . ')\k<slash>(?:[^\s/"\'<>@\\\\]{1,100}@)?'
            . '|(?<bareslash>' . self::SLASH . ")\\k<bareslash>$bare)(?<host>$host)$port(?<path>$path)" . self::END . '~i';
        $this->addresses[] = [$pattern, $to];
        foreach ($one['hosts'] as $name) {
            $piece = self::needle($name);
            foreach ([0, 1, 2] as $shift) {
                // Only what no neighbouring byte has a part in.
                $inner = substr(base64_encode(str_repeat('x', $shift) . $piece), [0, 2, 3][$shift]);
                $this->pieces64[] = substr($inner, 0, (int) ((strlen($piece) * 8 - [0, 4, 2][$shift]) / 6));
            }
        }
        $this->pieces64 = array_values(array_unique(array_filter($this->pieces64, static fn($p) => strlen($p) >= 4)));
    }

    // What SQL looks for besides the needles: base64 of them.
    public function pieces64(): array { return $this->pieces64; }

    private function text(string $text): string {
        if ($this->map) $text = strtr($text, $this->map);
        foreach ($this->addresses as [$pattern, $to]) {
            $text = preg_replace_callback($pattern, static fn($m) => self::become($m, $to), $text) ?? $text;
        }
        return $this->pieces64 ? $this->base64($text) : $text;
    }

    private static function become(array $m, array $to): string {
        $slash = $m['slash'] . ($m['bareslash'] ?? '');
        $wide = preg_match('/^%(25)?/', $slash, $percent) ? ($percent[0] === '%25' ? '%253A' : '%3A') : ':';
        $colon = $m['colon'] !== '' ? $m['colon'] : $wide;
        $host = $to['host'];
        // Two dashes are written so within the attributes of a block.
        if (preg_match('/\\\\*u002d/i', $m['host'], $dash)) $host = str_replace('--', $dash[0] . $dash[0], $host);
        return ($m['scheme'] !== '' ? $to['scheme'] . $colon : '') . $slash . $slash . $host . (isset($to['port']) ? $colon . $to['port'] : '')
            . str_replace('/', $slash !== '' ? $slash : '/', rtrim($to['path'] ?? '', '/'));
    }

    // Text that a page builder or a data: address packed.
    private function base64(string $text): string {
        foreach ($this->pieces64 as $piece) if (strpos($text, $piece) !== false) {
            return preg_replace_callback('~(?<![\w+=])(?:[A-Za-z0-9+]|\\\\?/){12,}={0,2}(?![\w+/=])~', function ($m) {
                $packed = str_replace('\\/', '/', $m[0]);
                $plain = base64_decode($packed, true);
                if ($plain === false || base64_encode($plain) !== $packed || !$this->has($plain)) return $m[0];
                $new = base64_encode($this->value($plain));
                return $packed === $m[0] ? $new : str_replace('/', '\\/', $new);
            }, $text) ?? $text;
        }
        return $text;
    }

    // One piece of text as PHP, JSON or a person wrote it.
    public function value(string $text, int $depth = 0): string {
        if (!$this->has($text) || $depth > 20) return $text;
        if (self::looksSerialized($text)) {
            $at = 0;
            $new = $this->serialized($text, $at, $depth);
            if ($new !== null && $at === strlen($text)) return $new;
            // Broken already. A text stays for whoever can mend it, an address must not.
            return $this->addresses ? $this->text($text) : $text;
        }
        $first = ltrim($text)[0] ?? '';
        if ($first === '{' || $first === '[' || $first === '"') {
            $decoded = json_decode($text);
            if (json_last_error() === JSON_ERROR_NONE) return $this->json($text, $decoded, $depth);
        }
        return $this->text($text);
    }

    private function has(string $text): bool {
        foreach ($this->forms as $from => $form) if (strpos($text, (string) $from) !== false) return true;
        foreach ($this->addresses as [$pattern]) if (preg_match($pattern, $text)) return true;
        foreach ($this->pieces64 as $piece) if (strpos($text, $piece) !== false) return true;
        return false;
    }

    // The shape that WordPress takes for serialized.
    public static function looksSerialized(string $text): bool {
        return (bool) preg_match('/^(?:[aOCE]:\d+:[{"]|s:\d+:").*[;}]$/Ds', $text);
    }

    private function json(string $text, $decoded, int $depth): string {
        if (preg_match('/[saO]:\d+:/', $text)) {
            // Serialized PHP inside JSON has lengths of its own: walk, and write it as it was written.
            foreach ([0, JSON_UNESCAPED_SLASHES, JSON_UNESCAPED_UNICODE, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE] as $flags) {
                $flags |= JSON_PRESERVE_ZERO_FRACTION;
                if (json_encode($decoded, $flags) === $text) {
                    $new = json_encode($this->walk($decoded, $depth + 1), $flags);
                    return $new === false ? $text : $new;
                }
            }
        }
        $new = $this->text($text);
        json_decode($new);
        return json_last_error() === JSON_ERROR_NONE ? $new : $text;
    }

    private function walk($value, int $depth) {
        if (is_string($value)) return $this->value($value, $depth);
        if (is_array($value)) return array_map(fn($item) => $this->walk($item, $depth), $value);
        if (is_object($value)) {
            $new = new stdClass();
            foreach (get_object_vars($value) as $key => $item) {
                $name = $this->value((string) $key, $depth);
                if ($name !== (string) $key && (isset($value->$name) || isset($new->$name))) { $this->collided = true; $name = $key; }
                $new->$name = $this->walk($item, $depth);
            }
            return $new;
        }
        return $value;
    }

    // Rewrites one serialized value from $at on; null where it is broken. No object is made: classes, private properties and references stay.
    private function serialized(string $s, int &$at, int $depth): ?string {
        if (!preg_match('/\G(?:N;|[bidrR]:[^;]*;)/', $s, $m, 0, $at)) {
            if (!preg_match('/\G([saOCE]):(\d+):/', $s, $m, 0, $at)) return null;
            [$head, $type, $n] = $m;
            $at += strlen($head);
            if ($type === 's' || $type === 'E') {
                if (($s[$at] ?? '') !== '"' || substr($s, $at + 1 + $n, 2) !== '";') return null;
                $body = substr($s, $at + 1, (int) $n);
                $at += $n + 3;
                if ($type === 'E') return "E:$n:\"$body\";";
                $new = $this->value($body, $depth + 1);
                return 's:' . strlen($new) . ":\"$new\";";
            }
            $class = '';
            if ($type !== 'a') {
                $class = substr($s, $at, $n + 3);
                if (strlen($class) !== $n + 3 || $class[0] !== '"' || substr($class, -2) !== '":') return null;
                $at += $n + 3;
                if (!preg_match('/\G(\d+):/', $s, $count, 0, $at)) return null;
                $at += strlen($count[0]);
                $class = "$n:$class";
                $n = $count[1];
            }
            if (($s[$at] ?? '') !== '{') return null;
            $at++;
            if ($type === 'C') {
                $body = substr($s, $at, (int) $n);
                if (($s[$at + $n] ?? '') !== '}') return null;
                $at += $n + 1;
                $inner = 0;
                $new = $this->serialized($body, $inner, $depth + 1);
                if ($new === null || $inner !== strlen($body)) $new = $body;
                return "C:$class" . strlen($new) . ":{" . $new . "}";
            }
            $keys = $values = [];
            for ($i = 0; $i < $n; $i++) {
                $start = $at;
                $key = $this->serialized($s, $at, $depth);
                if ($key === null) return null;
                $keys[] = [substr($s, $start, $at - $start), $key];
                $value = $this->serialized($s, $at, $depth);
                if ($value === null) return null;
                $values[] = $value;
            }
            if (($s[$at] ?? '') !== '}') return null;
            $at++;
            $out = '';
            $taken = array_flip(array_column($keys, 0));
            foreach ($keys as $i => [$old, $new]) {
                // Two keys must not become one.
                if ($new !== $old && isset($taken[$new])) { $this->collided = true; $new = $old; }
                $taken[$new] = true;
                $out .= $new . $values[$i];
            }
            return ($type === 'a' ? "a:$n:{" : "O:$class$n:{") . $out . '}';
        }
        $at += strlen($m[0]);
        return $m[0];
    }

    // Forms of the old text that are left, as form => how many.
    public function left(string $text): array {
        $found = [];
        if ($this->back) $text = str_replace(array_keys($this->back), "\0", $text);
        foreach ($this->forms as $from => $form) {
            $count = substr_count($text, (string) $from);
            if ($count) $found[$form] = ($found[$form] ?? 0) + $count;
            if ($form === 'plain') {
                $other = substr_count(strtolower($text), strtolower((string) $from)) - $count;
                if ($other > 0) $found['other case'] = ($found['other case'] ?? 0) + $other;
            }
        }
        foreach ($this->addresses as [$pattern, $to]) {
            preg_match_all($pattern, $text, $all, PREG_SET_ORDER);
            $count = count(array_filter($all, static fn($m) => self::become($m, $to) !== $m[0]));
            if ($count) $found['address'] = ($found['address'] ?? 0) + $count;
        }
        if ($this->pieces64 && $this->base64($text) !== $text) $found['base64'] = 1;
        return $found;
    }

    // Ways to say in SQL that a row may hold any form: the longest piece that no encoding touches.
    public static function needle(string $from): string {
        $pieces = preg_split('/[^A-Za-z0-9._~]+/', $from);
        usort($pieces, static fn($a, $b) => strlen($b) <=> strlen($a));
        return $pieces[0];
    }
}

function dp_connect(): mysqli {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    $host = DB_HOST; $port = 0; $socket = '';
    if (preg_match('/^(.*?):(\/.*)$/', $host, $m)) [, $host, $socket] = $m;
    elseif (preg_match('/^(\[[0-9a-fA-F:]+\]|[^:]*):(\d+)$/', $host, $m)) { $host = trim($m[1], '[]'); $port = (int) $m[2]; }
    $db = mysqli_init();
    $db->real_connect($host, DB_USER, DB_PASSWORD, DB_NAME, $port, $socket);
    $db->set_charset('utf8mb4');
    // Strict: what a column cannot hold is refused, and not cut or replaced by question marks. Zero dates may be there.
    $db->query("SET SESSION net_write_timeout = 3600, net_read_timeout = 3600, sql_mode = 'STRICT_ALL_TABLES'");
    return $db;
}

$q = static fn(string $name): string => '`' . str_replace('`', '``', $name) . '`';
$reader = dp_connect();
$writer = dp_connect();
$patterns = $data['tables'] ?: [$table_prefix . '*'];
$result = ['tables' => 0, 'changes' => [], 'leftovers' => [], 'left' => 0, 'without_key' => [], 'prefix' => $table_prefix, 'multisite' => false];

// Why a database refuses one row and takes the others: keys, types, lengths, character sets, checks, foreign keys, triggers.
const DP_ROW_REFUSED = [1062, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1644, 3819, 4025];

$leave = static function (string $table, string $column, string $where, array $found, string $why) use (&$result, $data): void {
    $result['left'] += array_sum($found);
    if (count($result['leftovers']) < $data['samples'])
        $result['leftovers'][] = ['table' => $table, 'column' => $column, 'row' => $where, 'forms' => $found, 'why' => $why];
};

$tables = [];
$list = $reader->query("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1");
$engines = array_column($list->fetch_all(), 1, 0);
// Another WordPress whose prefix begins like the site's is none of its business. Sites of a network have no users of their own.
$others = [];
if (!$data['tables']) foreach ($engines as $table => $_) {
    $root = preg_replace('/users$/D', '', $table);
    if ($root !== $table && $root !== $table_prefix && str_starts_with($root, $table_prefix) && isset($engines["{$root}options"], $engines["{$root}posts"]))
        $others[] = "$root*";
}
$matches = static function (string $table, array $patterns): bool {
    foreach ($patterns as $pattern) if (fnmatch($pattern, $table)) return true;
    return false;
};
foreach ($engines as $table => $engine) if ($matches($table, $patterns) && !$matches($table, $others)) $tables[$table] = $engine;
$result['multisite'] = isset($tables[$table_prefix . 'blogs'], $tables[$table_prefix . 'site']);
// Sites of a network below the address go with it.
if ($result['multisite']) foreach ($data['addresses'] as $one) foreach ($one['path'] === '' ? $one['hosts'] : [] as $host) {
    foreach (array_column($reader->query('SELECT DISTINCT domain FROM ' . $q($table_prefix . 'blogs'))->fetch_all(), 0) as $domain) {
        $name = preg_replace('/:\d+$/', '', $domain);
        if (!str_ends_with(strtolower($name), ".$host")) continue;
        $below = substr($name, 0, -strlen($host));
        if ($below !== 'www.') $data['addresses'][] = ['hosts' => [$name], 'to' => preg_replace('~://~', "://$below", $one['to'], 1)] + $one;
    }
}
$replacer = new Replacer($data['pairs'], $data['addresses']);
$needles = array_unique(array_map([Replacer::class, 'needle'],
    array_merge(array_column($data['pairs'], 0), ...array_column($data['addresses'], 'hosts'))));
$needles = array_merge($needles, $replacer->pieces64());
$hosts = [];
foreach ($data['pairs'] as [$from, $to]) {
    [$a, $b] = [parse_url($from), parse_url($to)];
    if (isset($a['scheme'], $a['host'], $b['scheme'], $b['host']) && in_array($a['path'] ?? '/', ['', '/'], true))
        $hosts[$a['host'] . (isset($a['port']) ? ":$a[port]" : '')] = $b['host'] . (isset($b['port']) ? ":$b[port]" : '');
}

// In check mode, rows are changed as well and put back, which tells what would be refused: where nothing of it can stay.
$triggered = array_column($reader->query("SELECT DISTINCT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS
    WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_MANIPULATION = 'UPDATE'")->fetch_all(), 0);

$writer->begin_transaction();
try {
    foreach ($tables as $table => $engine) {
        $result['tables']++;
        $columns = $key = $text = $binary = [];
        $described = $writer->query("SELECT COLUMN_NAME, DATA_TYPE, COLUMN_KEY, EXTRA FROM information_schema.COLUMNS
            WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '" . $writer->real_escape_string($table) . "' ORDER BY ORDINAL_POSITION");
        foreach ($described->fetch_all() as [$column, $type, $role, $extra]) {
            if ($role === 'PRI') $key[] = $column;
            if (in_array($column, $data['skip_columns'], true) || stripos($extra, 'GENERATED') !== false) continue;
            if (preg_match('/char|text|json|enum|set/i', $type)) $text[] = $column;
            elseif (preg_match('/blob|binary/i', $type)) { $binary[] = $column; }
        }
        $searched = array_merge($text, $binary);
        if (!$searched) continue;
        $name = $q($table);
        $conditions = [];
        foreach ($searched as $column) foreach ($needles as $needle)
            $conditions[] = $needle === '' ? '1' : $q($column) . " LIKE '%" . $reader->real_escape_string(addcslashes($needle, '%_\\')) . "%'";
        $label = $table === $table_prefix . 'options' ? 'option_name' : null;
        $wanted = array_unique(array_merge($key, $searched, $label ? [$label] : []));
        // Rows of a transactional table are read while they change; the others hold a lock for as long as they are read.
        $mode = $engine === 'InnoDB' ? MYSQLI_USE_RESULT : MYSQLI_STORE_RESULT;
        $try = $data['write'] || $engine === 'InnoDB' && !in_array($table, $triggered, true);
        $rows = $reader->query('SELECT ' . implode(', ', array_map($q, $wanted)) . " FROM $name WHERE " . implode(' OR ', $conditions), $mode);
        foreach ($rows as $row) {
            $set = $left = [];
            $where = $label ? $row[$label] : implode(', ', array_map(static fn($c) => "$c=$row[$c]", $key));
            foreach ($searched as $column) {
                $old = $row[$column];
                if ($old === null) continue;
                $old = (string) $old;
                $isBinary = in_array($column, $binary, true);
                $replacer->collided = false;
                $new = $isBinary && !$data['blobs'] ? $old : $replacer->value($old);
                if ($result['multisite'] && $column === 'domain' && isset($hosts[$old])
                    && in_array($table, [$table_prefix . 'blogs', $table_prefix . 'site'], true)) $new = $hosts[$old];
                if ($new !== $old) $set[$column] = [$old, $new];
                $found = $replacer->left($new);
                if ($found) {
                    $why = $isBinary && !$data['blobs'] ? 'binary column' : ($replacer->collided ? 'two keys would become one'
                        : (Replacer::looksSerialized($old) && $new === $old ? 'broken serialized value' : 'not replaced'));
                    $left[$column] = [$found, $why];
                }
            }
            $affected = 1;
            $refused = null;
            if ($set && $try) {
                $assign = $match = $values = [];
                foreach ($set as $column => [, $new]) { $assign[] = $q($column) . ' = ?'; $values[] = $new; }
                foreach ($key as $column) { $match[] = $q($column) . ' = ?'; $values[] = $row[$column]; }
                // Whoever changed the row meanwhile wins.
                foreach ($set as $column => [$old]) {
                    $match[] = in_array($column, $binary, true) ? $q($column) . ' <=> ?'
                        : 'CONVERT(' . $q($column) . ' USING utf8mb4) COLLATE utf8mb4_bin <=> ?';
                    $values[] = $old;
                }
                try {
                    $statement = $writer->prepare("UPDATE $name SET " . implode(', ', $assign) . ' WHERE ' . implode(' AND ', $match));
                    $statement->execute($values);
                    $affected = $statement->affected_rows;
                    $statement->close();
                    if ($affected === 0 && $key) $refused = 'changed by somebody else meanwhile';
                } catch (mysqli_sql_exception $error) {
                    if (!in_array($error->getCode(), DP_ROW_REFUSED, true)) throw $error;
                    $refused = $error->getMessage();
                }
            }
            if ($refused !== null) {
                // The whole row stays. A domain of a network is no text that is looked for, and counts as one.
                foreach ($set as $column => [$old]) $left[$column] = [$replacer->left($old) ?: ['plain' => 1], $refused];
                $set = [];
            }
            foreach ($left as $column => [$found, $why]) $leave($table, $column, $where, $found, $why);
            if (!$set || !$affected) continue;
            if (!$key && !in_array($table, $result['without_key'], true)) $result['without_key'][] = $table;
            foreach ($set as $column => $_) $result['changes']["$table.$column"] = ($result['changes']["$table.$column"] ?? 0) + $affected;
        }
        $rows->free();
    }
    $data['write'] ? $writer->commit() : $writer->rollback();
} catch (Throwable $error) {
    $writer->rollback();
    throw $error;
}
$result['changes'] = (object) $result['changes'];
emit($result);
"""


def check_pairs(pairs):
    """The pairs as ``[[from, to], ...]``; raises ValueError with what to write instead."""
    if not pairs:
        raise ValueError("pairs: name at least one text to replace, as from and to.")
    cleaned = []
    for number, pair in enumerate(pairs, 1):
        old, new = pair["from"], pair["to"]
        if not old:
            raise ValueError(
                f"pairs: pair {number} has an empty from: it would match everywhere. Write the text to replace."
            )
        if len(old) < 3:
            raise ValueError(
                f"pairs: pair {number} replaces {old!r}, which is too short to mean one thing. Write at least three characters."
            )
        if [old, new] not in cleaned:
            cleaned.append([old, new])
    sources = [old for old, _new in cleaned]
    twice = sorted({old for old in sources if sources.count(old) > 1})
    if twice:
        raise ValueError(f"pairs: {twice[0]} is to become two different texts. Keep one of them.")
    return cleaned


def check_addresses(addresses):
    """What the program needs to know of addresses, from ``[{"from": URL, "to": URL}, ...]``; raises ValueError with what to write instead."""
    cleaned = []
    for number, pair in enumerate(addresses, 1):
        parts = {}
        for end in ("from", "to"):
            parts[end] = url = urlsplit(pair[end])
            if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
                raise ValueError(
                    f"addresses: {end} of pair {number} is {pair[end]!r}. Write the address of a site, such as https://www.example.com."
                )
        hosts = _spellings(parts["from"].hostname)
        if "." in hosts[0] and not hosts[0].replace(".", "").isdigit():
            # With and without www. is the same site in practice: one of the two sends visitors to the other.
            twins = [host[4:] if host.startswith("www.") else "www." + host for host in hosts]
            hosts += [host for host in twins if host not in _spellings(parts["to"].hostname)]
        cleaned.append(
            {
                "hosts": hosts,
                "port": str(parts["from"].port or ""),
                "path": parts["from"].path.rstrip("/"),
                "to": pair["to"].rstrip("/"),
            }
        )
    return cleaned


def _spellings(host):
    """A host name as the network writes it and as people do: ``xn--bcher-kva.example`` and ``bücher.example``."""
    if ":" in host:
        return [f"[{host}]"]
    found = [host]
    with contextlib.suppress(UnicodeError):
        found += [host.encode("ascii").decode("idna")] if host.isascii() else [host.encode("idna").decode("ascii")]
    return list(dict.fromkeys(found))


def search_replace(
    wp, pairs=(), *, write, addresses=(), tables=(), skip_columns=("guid",), blobs=False, samples=50, timeout=None
):
    """Replace ``pairs`` and ``addresses`` (as checked) in the database of the site of ``wp`` (a ``WpCli``), in one transaction.

    :return: dict with ``changes`` ({"table.column": rows}), ``leftovers`` (list) and ``left`` (their sum), ``without_key``, ``multisite``.
    """
    data = {
        "pairs": list(pairs),
        "addresses": list(addresses),
        "tables": list(tables),
        "skip_columns": list(skip_columns),
        "blobs": blobs,
        "write": write,
        "samples": samples,
    }
    return wp.eval(PHP, data, wordpress=False, timeout=timeout)
