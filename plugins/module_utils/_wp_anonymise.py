# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PHP program that takes the persons out of a copy of a site.

It runs in one transaction, so that a run which is ended half-way changes nothing, and a check is a run that is rolled back.
"""

from __future__ import annotations

# $data: keep (logins), domain, commit.
# Emits one object: users, comments, addresses, replaced, emptied, sessions, left, tables_without_transaction.
ANONYMISE = r"""
global $wpdb;
$domain = $data['domain'];
$count = ['users' => 0, 'comments' => 0, 'addresses' => 0, 'replaced' => 0, 'emptied' => 0, 'sessions' => 0];
$wpdb->suppress_errors(true);
function dp_query($sql) {
    global $wpdb;
    $rows = $wpdb->query($sql);
    if ($rows === false) throw new RuntimeException("The database refuses a change: $wpdb->last_error");
    return $rows;
}
function dp_name($name) { return '`' . str_replace('`', '``', $name) . '`'; }

// One serialized value from position $i on, with $f applied to every string in it, however deep; false where it is none.
function dp_scan($s, &$i, $f) {
    $head = fn ($pattern) => preg_match($pattern, $s, $m, 0, $i) ? $m : null;
    if ($m = $head('/\G(?:N|b:[01]|i:-?\d+|d:[-+.\dEINFA]+|[rR]:\d+);/')) { $i += strlen($m[0]); return $m[0]; }
    if ($m = $head('/\Gs:(\d+):"/')) {
        $from = $i + strlen($m[0]);
        if (substr($s, $from + $m[1], 2) !== '";') return false;
        $i = $from + $m[1] + 2;
        $new = dp_deep(substr($s, $from, (int) $m[1]), $f);
        return 's:' . strlen($new) . ":\"$new\";";
    }
    if ($m = $head('/\G(?:a|O:\d+:"[^"]*"):(\d+):\{/')) {
        $i += strlen($m[0]);
        $out = $m[0];
        for ($n = 2 * $m[1]; $n > 0; $n--) {
            $part = dp_scan($s, $i, $f);
            if ($part === false) return false;
            $out .= $part;
        }
        if (($s[$i] ?? '') !== '}') return false;
        $i++;
        return "$out}";
    }
    if (($m = $head('/\GC:\d+:"[^"]*":(\d+):\{/')) && ($s[$i + strlen($m[0]) + $m[1]] ?? '') === '}') {
        $all = substr($s, $i, strlen($m[0]) + $m[1] + 1);
        $i += strlen($all);
        return $all;
    }
    return false;
}
function dp_deep($value, $f) {
    if (preg_match('/^(?:[aOC]:\d+:|s:\d+:")/', $value)) {
        $i = 0;
        $new = dp_scan($value, $i, $f);
        if ($new !== false && $i === strlen($value)) return $new;
    }
    return $f($value);
}

$tables = $wpdb->get_results($wpdb->prepare(
    "SELECT TABLE_NAME AS name, ENGINE AS engine FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME LIKE %s ORDER BY TABLE_NAME",
    $wpdb->esc_like($wpdb->base_prefix) . '%'
));
$names = array_column($tables, 'name');
$plain = array_values(array_column(array_filter($tables, fn ($t) => strcasecmp((string) $t->engine, 'InnoDB') !== 0), 'name'));
$of_blogs = fn ($kind) => array_values(array_filter($names, fn ($t) => preg_match(
    '/^' . preg_quote($wpdb->base_prefix, '/') . '(?:\d+_)?' . $kind . '$/', $t)));

if (!$data['commit'] && $plain) throw new RuntimeException(
    'These tables know no transactions, so that a check would change them: ' . implode(', ', $plain));
dp_query('START TRANSACTION');
try {
    // ---- who is who
    $people = $wpdb->get_results("SELECT ID, user_login, user_email, display_name FROM $wpdb->users ORDER BY ID");
    $kept = array_filter($people, fn ($u) => in_array($u->user_login, $data['keep'], true));
    $missing = array_diff($data['keep'], array_column($people, 'user_login'));
    if ($missing) throw new RuntimeException('keep names users that this site does not have: ' . implode(', ', $missing));
    $kept_ids = array_map('intval', array_column($kept, 'ID'));
    $kept_mail = array_map('strtolower', array_column($kept, 'user_email'));
    $map = [];
    $know = function ($address, $new) use (&$map, $kept_mail, $domain) {
        $address = strtolower(trim((string) $address));
        // What ends in our own domain has been replaced before.
        if (!str_contains($address, '@') || in_array($address, $kept_mail, true) || str_ends_with($address, "@$domain")) return;
        $map[$address] ??= $new;
    };
    foreach ($people as $u) if (!in_array((int) $u->ID, $kept_ids, true)) $know($u->user_email, "user$u->ID@$domain");
    foreach ($of_blogs('comments') as $t) {
        $visitors = "SELECT MIN(comment_ID) AS id, comment_author_email AS mail FROM " . dp_name($t)
            . " WHERE comment_author_email <> '' GROUP BY comment_author_email";
        foreach ($wpdb->get_results($visitors) as $c) $know($c->mail, "visitor$c->id@$domain");
    }
    foreach ($of_blogs('options') as $t) {
        $set = "SELECT option_value FROM " . dp_name($t) . " WHERE option_name IN ('admin_email', 'new_admin_email')";
        foreach ($wpdb->get_col($set) as $mail) $know($mail, "owner@$domain");
    }
    if (in_array($wpdb->base_prefix . 'sitemeta', $names, true)) {
        $set = "SELECT meta_value FROM {$wpdb->base_prefix}sitemeta WHERE meta_key IN ('admin_email', 'new_admin_email')";
        foreach ($wpdb->get_col($set) as $mail) $know($mail, "owner@$domain");
    }
    if (in_array($wpdb->base_prefix . 'signups', $names, true)) {
        $signups = "SELECT signup_id AS id, user_email AS mail FROM {$wpdb->base_prefix}signups";
        foreach ($wpdb->get_results($signups) as $s) $know($s->mail, "signup$s->id@$domain");
    }
    foreach ($of_blogs('posts') as $t) {
        // Who asked for their data, or to be forgotten.
        $asked = "SELECT ID, post_title FROM " . dp_name($t) . " WHERE post_type = 'user_request'";
        foreach ($wpdb->get_results($asked) as $p) $know($p->post_title, "request$p->ID@$domain");
    }
    // Shops, forms and newsletters keep persons of their own: in columns and under meta keys that say so.
    $columns = [];
    foreach ($names as $t) $columns[$t] = $wpdb->get_col('SHOW COLUMNS FROM ' . dp_name($t));
    $persons = array_filter($columns, fn ($of) => (bool) preg_grep('/mail/i', $of));
    $metas = array_keys(array_filter($columns, fn ($of) => !array_diff(['meta_key', 'meta_value'], $of)));
    $metas = array_diff($metas, [$wpdb->base_prefix . 'sitemeta']);
    $sources = [];
    foreach ($persons as $t => $of) foreach (preg_grep('/mail/i', $of) as $c)
        $sources[] = 'SELECT DISTINCT ' . dp_name($c) . ' FROM ' . dp_name($t) . ' WHERE ' . dp_name($c) . " LIKE '%@%'";
    foreach ($metas as $t)
        $sources[] = 'SELECT DISTINCT meta_value FROM ' . dp_name($t) . " WHERE meta_key LIKE '%mail%' AND meta_value LIKE '%@%'";
    foreach ($sources as $set) foreach ($wpdb->get_col($set) as $mail)
        if (is_email(trim($mail))) $know($mail, 'person' . (count($map) + 1) . "@$domain");
    $count['addresses'] = count($map);

    // ---- users
    $logins = [];
    foreach ($people as $u) {
        $id = (int) $u->ID;
        $count['sessions'] += dp_query($wpdb->prepare(
            "DELETE FROM $wpdb->usermeta WHERE user_id = %d AND meta_key IN ('session_tokens', '_application_passwords')", $id));
        if (in_array($id, $kept_ids, true) || ($u->user_login === "user$id" && $u->user_email === "user$id@$domain")) continue;
        $logins[$u->user_login] = "user$id";
        $count['users']++;
        dp_query($wpdb->prepare(
            "UPDATE $wpdb->users SET user_login = %s, user_nicename = %s, display_name = %s, user_email = %s, user_url = '',
             user_pass = %s, user_activation_key = '' WHERE ID = %d",
            "user$id", "user$id", "User $id", "user$id@$domain", wp_hash_password(wp_generate_password(40, true, true)), $id));
        dp_query($wpdb->prepare("UPDATE $wpdb->usermeta SET meta_value = %s WHERE user_id = %d AND meta_key = 'nickname'", "User $id", $id));
        dp_query($wpdb->prepare(
            "UPDATE $wpdb->usermeta SET meta_value = '' WHERE user_id = %d AND meta_key IN ('first_name', 'last_name', 'description')", $id));
        // Where somebody was, by address.
        dp_query($wpdb->prepare("DELETE FROM $wpdb->usermeta WHERE user_id = %d AND meta_key = 'community-events-location'", $id));
    }
    if ($logins && is_multisite()) {
        $admins = get_site_option('site_admins', []);
        update_site_option('site_admins', array_map(fn ($login) => $logins[$login] ?? $login, (array) $admins));
    }
    $spare = $kept_ids ? 'user_id NOT IN (' . implode(',', $kept_ids) . ') AND ' : '';
    foreach ($of_blogs('comments') as $t) {
        $count['comments'] += dp_query('UPDATE ' . dp_name($t)
            . " SET comment_author = IF(user_id > 0, CONCAT('User ', user_id), 'Visitor'), comment_author_url = '', comment_author_IP = '', comment_agent = ''"
            . " WHERE $spare (comment_author_url <> '' OR comment_author_IP <> '' OR comment_agent <> ''"
            . " OR comment_author <> IF(user_id > 0, CONCAT('User ', user_id), 'Visitor'))");
    }

    // ---- persons of shops and forms
    $private = '(first_?name|last_?name|company|address(_?[12])?|address_index|phone|postcode|zip|city|ip|ip_?address|user_?agent|username)';
    foreach ($persons as $t => $of) foreach (preg_grep("/^(customer_|user_|billing_|shipping_)?$private$/i", $of) as $c) {
        $count['emptied'] += dp_query('UPDATE ' . dp_name($t) . ' SET ' . dp_name($c) . " = '' WHERE " . dp_name($c) . " <> ''");
    }
    foreach ($metas as $t) {
        $others = $t === $wpdb->usermeta && $kept_ids ? ' AND user_id NOT IN (' . implode(',', $kept_ids) . ')' : '';
        $count['emptied'] += dp_query('UPDATE ' . dp_name($t)
            . " SET meta_value = '' WHERE meta_key REGEXP '^_?(customer|billing|shipping)_$private$' AND meta_value <> ''$others");
    }
    foreach ($of_blogs('(?:woocommerce_sessions|signups|registration_log)') as $t) $count['sessions'] += dp_query('DELETE FROM ' . dp_name($t));

    // ---- their addresses wherever they stand: other tables, serialized values, links
    $seen = 0;
    $replace = function ($text) use ($map, &$seen) {
        return preg_replace_callback('/[A-Za-z0-9.!#$%&\'*+\/=?^_`{|}~-]+?(@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+/', function ($m) use ($map, &$seen) {
            // The local part may have swallowed what stands before it, such as mailto%3A or a slash: the longest known end counts.
            [$local, $rest] = explode($m[1], $m[0], 2);
            for ($from = 0; $from < strlen($local); $from++) {
                $known = $map[strtolower(substr($local, $from) . '@' . $rest)] ?? null;
                if ($known !== null) {
                    $seen++;
                    return substr($local, 0, $from) . str_replace('@', $m[1], $known);
                }
            }
            return $m[0];
        }, $text) ?? $text;
    };
    $pass = function ($write) use ($names, $replace, &$seen) {
        global $wpdb;
        $values = 0;
        foreach ($names as $table) {
            $columns = $wpdb->get_results('SHOW COLUMNS FROM ' . dp_name($table));
            $keys = array_column(array_filter($columns, fn ($c) => $c->Key === 'PRI'), 'Field');
            $order = implode(', ', array_map('dp_name', $keys));
            foreach ($columns as $c) {
                if (!preg_match('/char|text|json|blob|binary/i', $c->Type) || stripos($c->Extra, 'GENERATED') !== false) continue;
                $col = dp_name($c->Field);
                $from = dp_name($table) . " WHERE $col LIKE '%@%' OR $col LIKE '%\\%40%'";
                for ($offset = 0; ; $offset += 500) {
                    $rows = $keys
                        ? $wpdb->get_results("SELECT $order, $col AS dp_value FROM $from ORDER BY $order LIMIT 500 OFFSET $offset", ARRAY_A)
                        : ($offset ? [] : $wpdb->get_results("SELECT DISTINCT $col AS dp_value FROM $from", ARRAY_A));
                    foreach ($rows as $row) {
                        $old = (string) $row['dp_value'];
                        $before = $seen;
                        $new = dp_deep($old, $replace);
                        if ($seen === $before || $new === $old) continue;
                        $values++;
                        if (!$write) continue;
                        // A key that is itself such an address is looked for as it was read.
                        $where = $keys
                            ? implode(' AND ', array_map(fn ($k) => $wpdb->prepare(dp_name($k) . ' = %s', $row[$k]), $keys))
                            : $wpdb->prepare("BINARY $col = %s", $old);
                        dp_query($wpdb->prepare('UPDATE ' . dp_name($table) . " SET $col = %s WHERE ", $new) . $where);
                    }
                    if (count($rows) < 500 || !$keys) break;
                }
            }
        }
        return $values;
    };
    if ($map) $count['replaced'] = $pass(true);
    $count['left'] = $map ? $pass(false) : 0;
    dp_query($data['commit'] ? 'COMMIT' : 'ROLLBACK');
    wp_cache_flush();
    emit($count + ['tables_without_transaction' => $plain]);
} catch (Throwable $error) {
    dp_query('ROLLBACK');
    emit(['error' => $error->getMessage()]);
}
"""
