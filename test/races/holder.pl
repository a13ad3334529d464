#!/usr/bin/perl
# A training that proves it is alone: it creates an occupancy file that must not be there, and logs when it began and
# when it ended by the monotonic clock, which all processes of a machine share.
#
#   holder.pl OCCUPANCY LOG CONFIGURATION MILLISECONDS|-FILE
#
# It lasts for so long, or until FILE is there; and never longer than the folder of LOG, which is the test's own.
use strict;
use warnings;
use Fcntl;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my ($occupancy, $log, $configuration, $duration) = @ARGV;
my $generation = $ENV{TRAINLOCK_GENERATION} // 0;
my $who        = "$$ " . start_time($$);
my $lost_name  = 0;

# A wrapper that has lost its lock asks to leave: that is the end of the interval, too.
$SIG{TERM} = sub { leave(143) };

sysopen(my $journal, $log, O_WRONLY | O_APPEND | O_CREAT) or die "$log: $!";
record("enter");
occupy();

my $until = $duration =~ /^-(.+)/ ? undef : now() + $duration * 1e6;
my $file  = $duration =~ /^-(.+)/ ? $1 : undef;
until (defined $until ? now() >= $until : -e $file || !-e $log) {
    watch_lock();
    sleep 0.001;
}
watch_lock();
leave(0);

sub leave {
    unlink $occupancy;
    record("exit");
    exit $_[0];
}

sub now { return int(clock_gettime(CLOCK_MONOTONIC) * 1e9) }

# One write for each line: lines of several processes never mix.
sub record { syswrite $journal, "$_[0] $configuration $who " . now() . " $generation trainlock\n" }

sub occupy {
    for (;;) {
        if (sysopen(my $file, $occupancy, O_WRONLY | O_CREAT | O_EXCL)) {
            syswrite $file, $who;
            return;
        }
        open(my $file, '<', $occupancy) or next;
        my $other = <$file> // '';
        # A holder that was killed leaves its file, and is in the process table for a moment after its lock has gone.
        for (1 .. 1000) {
            last if !is_alive($other);
            sleep 0.001;
        }
        record("occupied-by-$1") if is_alive($other) && $other =~ /^(\d+)/;
        unlink $occupancy;
    }
}

sub is_alive {
    my ($pid, $started) = split / /, $_[0];
    return 0 if !defined $started;
    my $now = start_time($pid);
    return $now ne '' && $now eq $started;
}

# Field 22 of /proc/PID/stat; none for a process that has ended, collected by its parent or not.
sub start_time {
    open(my $file, '<', "/proc/$_[0]/stat") or return '';
    my $stat = <$file> // '';
    my @fields = split / /, $stat =~ s/^.*\) //r;
    return @fields < 20 || $fields[0] =~ /[ZX]/ ? '' : $fields[19];
}

# The lock's descriptor is inherited. A lock file that has lost its name no longer keeps anybody out.
sub watch_lock {
    return if $lost_name;
    opendir(my $folder, "/proc/$$/fd") or return;
    for my $fd (readdir $folder) {
        my $path = readlink("/proc/$$/fd/$fd") // next;
        next if $path !~ /\.lock \(deleted\)$/;
        $lost_name = 1;
        record("unnamed");
    }
}
