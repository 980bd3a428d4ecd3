<?php
// Written by Ansible (dockpress.hosting.wordpress). Holds no secrets: they are read from the files that Compose mounts.
( function () {
	$secret = fn( $name ) => rtrim( file_get_contents( "/run/secrets/$name" ), "\r\n" );
	$declared = array(
{% for name, value in _wordpress_constants.items() %}
		'{{ name }}' => {{ value | dockpress.hosting.php }},
{% endfor %}
		'DB_PASSWORD' => $secret( 'db_password' ),
	) + json_decode( $secret( 'wp_salts' ), true ) + json_decode( $secret( 'wp_constants' ), true );
	// Changing code is for the command line: the web server cannot write it, and says so.
{% if not wordpress_code_writable %}
	if ( PHP_SAPI !== 'cli' ) {
		$declared += array( 'DISALLOW_FILE_MODS' => true );
	}
{% endif %}
	foreach ( $declared as $name => $value ) {
		defined( $name ) || define( $name, $value );
	}
} )();
$table_prefix = {{ wordpress_table_prefix | dockpress.hosting.php }};
{% if wordpress_mail == 'catch' %}
// Plugins that bring a mail server of their own do not get past the catcher. And where the domain is "localhost", WordPress'
// sender would be refused as no address.
$GLOBALS['wp_filter']['phpmailer_init'][ PHP_INT_MAX ]['dockpress'] = array(
	'function'      => fn( $mailer ) => $mailer->isMail(),
	'accepted_args' => 1,
);
$GLOBALS['wp_filter']['wp_mail_from'][1]['dockpress'] = array(
	'function'      => fn( $from ) => str_ends_with( $from, '@localhost' ) ? "$from.localdomain" : $from,
	'accepted_args' => 1,
);
{% endif %}
