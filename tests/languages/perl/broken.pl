use strict;
print "never\n";
print $undeclared; # HERE
