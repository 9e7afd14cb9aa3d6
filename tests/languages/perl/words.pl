use strict;
use warnings;

my $count = 0;
while (<STDIN>) {
    my @words = split;
    $count += @words;
}
print "$count\n";
