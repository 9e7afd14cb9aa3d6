use strict;
use warnings;

my @found;

sub is_free {
    my ($column, @queens) = @_;
    for my $row (0 .. $#queens) {
        my $distance = abs($queens[$row] - $column);
        return 0 if $distance == 0 || $distance == @queens - $row;
    }
    return 1;
}

sub place {
    my @queens = @_;
    if (@queens == 8) {
        push @found, "@queens";
        return;
    }
    for my $column (1 .. 8) { place(@queens, $column) if is_free($column, @queens) }
}

place();
print "$found[0]\n", scalar @found, "\n";
