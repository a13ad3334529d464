#!/usr/bin/perl
# A training that proves it is alone, also when it cannot say that it ends: it creates a file that must not be there, logs
# when it began and ended by the monotonic clock, and notes every few milliseconds that it still runs.
#
#   worker.pl FOLDER OWNER polite|stubborn
#
# It lasts until FOLDER/end, or FOLDER/end-PID with its parent's, is there, or the process OWNER is gone. A stubborn one does
# not end for SIGTERM. In FOLDER: journal, occupied, and beat-PID with the moment when it last ran.
use strict;
use warnings;
use Fcntl qw(:DEFAULT SEEK_SET);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my ($folder, $owner, $manners) = @ARGV;
my $wrapper    = getppid;
my $generation = $ENV{TRAINLOCK_GENERATION} // $ENV{ETCD_LOCK_REV} // 0;
my $who        = "$$ " . start_time($$);
my $occupancy  = "$folder/occupied";
$SIG{TERM} = $manners eq 'stubborn' ? 'IGNORE' : sub { leave(143) };

sysopen(my $beat,    "$folder/beat-$$",  O_WRONLY | O_CREAT)            or die "$folder: $!";
sysopen(my $journal, "$folder/journal", O_WRONLY | O_APPEND | O_CREAT) or die "$folder: $!";
beat();
record("enter");
occupy();
until (-e "$folder/end" || -e "$folder/end-$wrapper" || !-d "/proc/$owner") {
    beat();
    sleep 0.002;
}
leave(0);

sub leave {
    # It is another's, if that began beside this one.
    unlink $occupancy if occupant() eq $who;
    record("exit");
    exit $_[0];
}

sub occupant {
    open(my $file, '<', $occupancy) or return '';
    return <$file> // '';
}

sub now { return int(clock_gettime(CLOCK_MONOTONIC) * 1e9) }

sub beat {
    sysseek $beat, 0, SEEK_SET;
    syswrite $beat, now() . "\n";
}

# One write for each line: lines of several processes never mix.
sub record { syswrite $journal, "$_[0] training $who " . now() . " $generation $wrapper\n" }

sub occupy {
    for (;;) {
        if (sysopen(my $mine, $occupancy, O_WRONLY | O_CREAT | O_EXCL)) {
            syswrite $mine, $who;
            return;
        }
        my $other = occupant();
        record("occupied-by-$1") if is_alive($other) && $other =~ /^(\d+)/;
        unlink $occupancy;
    }
}

sub is_alive {
    my ($pid, $started) = split / /, $_[0];
    return defined $started && start_time($pid) eq $started;
}

# Field 22 of /proc/PID/stat; none for a process that has ended, collected by its parent or not.
sub start_time {
    open(my $file, '<', "/proc/$_[0]/stat") or return '';
    my $stat = <$file> // '';
    my @fields = split / /, $stat =~ s/^.*\) //r;
    return @fields < 20 || $fields[0] =~ /[ZX]/ ? '' : $fields[19];
}
