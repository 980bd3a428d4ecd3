<?php
foreach ([
    'DB_NAME' => 'wordpress', 'DB_USER' => 'wordpress', 'DB_PASSWORD' => getenv('LIVE_PASSWORD'), 'DB_HOST' => 'database',
    'DB_CHARSET' => 'utf8mb4', 'DB_COLLATE' => '', 'AUTH_KEY' => 'a', 'SECURE_AUTH_KEY' => 'b', 'LOGGED_IN_KEY' => 'c', 'NONCE_KEY' => 'd',
    'AUTH_SALT' => 'e', 'SECURE_AUTH_SALT' => 'f', 'LOGGED_IN_SALT' => 'g', 'NONCE_SALT' => 'h', 'DISABLE_WP_CRON' => true, 'FS_METHOD' => 'direct',
] as $name => $value) {
    defined($name) || define($name, $value);
}
$table_prefix = 'wp_';
