<?php
// Runs the first due event, in the way wp-cron.php does. What became of it stands in the file that is named: "none", "running HOOK" for one
// that did not come to its end (it exited, threw, was killed or took too long), "done HOOK", and "kept HOOK" for one that could not be taken out
// of the list: the database takes no writes, as in a move. Run all the same, it would be run again and again.
foreach ( wp_get_ready_cron_jobs() as $timestamp => $hooks ) {
	foreach ( $hooks as $hook => $events ) {
		foreach ( $events as $event ) {
			defined( 'DOING_CRON' ) || define( 'DOING_CRON', true );
			// Out of the list before it runs, so that none runs twice.
			if ( $event['schedule'] ) {
				wp_reschedule_event( $timestamp, $event['schedule'], $hook, $event['args'] );
			}
			$name = preg_replace( '/\s+/', '_', $hook );
			if ( ! wp_unschedule_event( $timestamp, $hook, $event['args'] ) ) {
				file_put_contents( $args[0], "kept $name\n" );
				return;
			}
			file_put_contents( $args[0], "running $name\n" );
			do_action_ref_array( $hook, $event['args'] );
			file_put_contents( $args[0], "done $name\n" );
			return;
		}
	}
}
file_put_contents( $args[0], "none\n" );
