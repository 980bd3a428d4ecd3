<?php
// Writes the addresses of the sites that have due events into the file that is named, one a line.
$urls = array();
if ( is_multisite() ) {
	foreach ( get_sites( array( 'number' => 0, 'archived' => 0, 'deleted' => 0, 'spam' => 0 ) ) as $site ) {
		switch_to_blog( $site->blog_id );
		if ( wp_get_ready_cron_jobs() ) {
			$urls[] = home_url();
		}
		restore_current_blog();
	}
} elseif ( wp_get_ready_cron_jobs() ) {
	$urls[] = home_url();
}
file_put_contents( $args[0], $urls ? implode( "\n", $urls ) . "\n" : '' );
