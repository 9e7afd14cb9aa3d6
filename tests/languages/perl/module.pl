use strict;
use Greeting;

Greeting::greet("module");
