<?php
// Written by Ansible (dockpress.hosting.wordpress). Holds no secrets: they are read from the files that Compose mounts.
( function () {
	$secret = fn( $name ) => rtrim( file_get_contents( "/run/secrets/$name" ), "\r\n" );
	$declared = array(
{% for name, value in _wordpress_constants.items() %}
		'{{ name }}' => {{ value | dockpress.hosting.php }},
{% endfor %}
		'DB_PASSWORD' => $secret( 'db_password' ),
	) + json_decode( $secret( 'wp_salts' ), true );
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
