<?php
// Asks the pool for its ping page by FastCGI; the image has no client for that.
$socket = @fsockopen( '127.0.0.1', 9000, $code, $message, 2 ) or exit( 1 );
stream_set_timeout( $socket, 3 );
$record     = fn( $type, $body ) => pack( 'CCnnCC', 1, $type, 1, strlen( $body ), 0, 0 ) . $body;
$parameters = '';
foreach ( array( 'SCRIPT_NAME' => '/-/fpm-ping', 'SCRIPT_FILENAME' => '/-/fpm-ping', 'REQUEST_METHOD' => 'GET' ) as $name => $value ) {
	$parameters .= chr( strlen( $name ) ) . chr( strlen( $value ) ) . $name . $value;
}
fwrite( $socket, $record( 1, pack( 'nCx5', 1, 0 ) ) . $record( 4, $parameters ) . $record( 4, '' ) . $record( 5, '' ) );
exit( strpos( (string) stream_get_contents( $socket, 4096 ), 'pong' ) === false ? 1 : 0 );
