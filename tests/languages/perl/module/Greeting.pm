package Greeting;
use strict;

sub greet { print "Hello, $_[0]!\n" }

1;
