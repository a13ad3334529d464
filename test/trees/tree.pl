# tree.pl JOURNAL LABEL SECONDS STEP…: takes one step out of its parent's reach after the other, and then trains: it notes the
# time in the journal until its seconds are over. Knows nothing of trainlock, and nothing but its arguments.
use strict; use warnings;
use POSIX qw(setsid _exit);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);
my ($journal, $label, $seconds, @steps) = @ARGV;
$SIG{TERM} = "IGNORE" if $label =~ /deaf/;
while (defined(my $step = shift @steps)) {
  if ($step eq "close") { POSIX::close($_) for 3 .. 63 }
  elsif ($step eq "clear") { %ENV = (); exec "/usr/bin/perl", $0, $journal, $label, $seconds, @steps }
  else {
    my @children;
    for (1 .. ($step eq "two" ? 2 : 1)) {
      my $pid = fork();
      if ($pid) { push @children, $pid; next }
      setsid() if $step eq "session" || $step eq "daemon";
      setpgrp(0, 0) if $step eq "group";
      # Its parent ends at once: it is nobody's child that we know of.
      if (($step eq "orphan" || $step eq "daemon") && fork()) { _exit(0) }
      @children = ();
      last;
    }
    if (@children) {
      waitpid($_, 0) for @children;
      # Long enough for an orphan, which nobody can wait for.
      sleep($seconds + 0.1) if $step eq "orphan" || $step eq "daemon";
      _exit(0);
    }
  }
}
open(my $log, ">>", $journal) or die;
my $now = clock_gettime(CLOCK_MONOTONIC);
my $end = $now + $seconds;
# At least once: a machine that stands still for these seconds has trained all the same.
do { syswrite($log, sprintf("%s %d %.6f\n", $label, $$, $now)); sleep(0.01) } while (($now = clock_gettime(CLOCK_MONOTONIC)) < $end);
