<?php
// With wordpress_mail: catch, in sendmail's place: the message on standard input becomes a file, complete from the moment that it has its name.
$name = '/mail/' . gmdate( 'Ymd\THis' ) . sprintf( '-%05d-', intdiv( hrtime( true ), 1000 ) % 100000 ) . bin2hex( random_bytes( 3 ) );
$good = file_put_contents( "$name.part", stream_get_contents( STDIN ) ) && rename( "$name.part", "$name.eml" );
exit( $good ? 0 : 75 );
