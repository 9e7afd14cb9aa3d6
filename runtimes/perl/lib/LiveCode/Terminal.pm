package LiveCode::Terminal;

# Perl loads this module before a program (PERL5OPT). Output to a terminal appears at once; a pipe
# would get it in large blocks.
$| = 1;

1;
