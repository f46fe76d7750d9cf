#!/usr/bin/perl
# Writes sdk/lib/path_alnum.c: the code points above ASCII that are alphabetic or numeric,
# as ranges, from the Unicode tables of the perl that runs it.
#
# Usage: scripts/gen-alnum.pl
use strict;
use warnings;
use FindBin;
use Unicode::UCD;

my $version = Unicode::UCD::UnicodeVersion();
my @ranges;
for my $c (0x80 .. 0x10ffff) {
    next if $c >= 0xd800 && $c <= 0xdfff;
    next unless chr($c) =~ /[\p{Alphabetic}\p{N}]/;
    if (@ranges && $ranges[-1][1] == $c - 1) {
        $ranges[-1][1] = $c;
    } else {
        push @ranges, [$c, $c];
    }
}
my $n = @ranges;
open my $out, '>', "$FindBin::Bin/../sdk/lib/path_alnum.c" or die "$!\n";
print $out <<"END";
/* Written by scripts/gen-alnum.pl: letters and digits above ASCII, Unicode $version. */
#include "path_alnum.h"

/* clang-format off */
const struct sx_alnum_range sx_alnum_ranges[SX_ALNUM_RANGES] = {
END
while (my @line = splice @ranges, 0, 4) {
    print $out "    ", join(", ", map { sprintf "{0x%x, 0x%x}", @$_ } @line), ",\n";
}
print $out "};\n/* clang-format on */\n";
close $out;
open $out, '>', "$FindBin::Bin/../sdk/lib/path_alnum.h" or die "$!\n";
print $out <<"END";
/* Written by scripts/gen-alnum.pl: letters and digits above ASCII, ascending. */
#ifndef SX_PATH_ALNUM_H
#define SX_PATH_ALNUM_H

#include <stdint.h>

#define SX_ALNUM_RANGES $n

struct sx_alnum_range {
    uint32_t first, last;
};
extern const struct sx_alnum_range sx_alnum_ranges[SX_ALNUM_RANGES];

#endif
END
close $out;
