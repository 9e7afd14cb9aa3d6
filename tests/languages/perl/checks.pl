use strict;
use warnings;

sub failure {
    die "no such luck"; # HERE
}

my %checks = (
    hello   => sub { print "Hello, World!\n" },
    stderr  => sub { print STDERR "oops\n" },
    exit    => sub { exit 3 },
    echo    => sub { print while <STDIN> },
    error   => sub { failure() },
    process => sub { system "echo", "process" },
    threads => sub {
        require threads;
        my $sum = 0;
        my @threads = map { my $n = $_; threads->create(sub { $n }) } 1 .. 4;
        $sum += $_->join for @threads;
        print "$sum\n";
    },
    lines => sub { print "$_\n" for 1 .. 100_000 },
    live  => sub { print "live\n"; sleep 60 },
    prompt => sub { print "name? "; print "hello ", scalar <STDIN> },
);
$checks{ $ARGV[0] }->();
