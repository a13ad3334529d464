# Runs a program in whose kernel flock(2) does not exist, as on a file system that is mounted without it: every call of it and
# of its children fails with ENOSYS. By a filter of system calls, seccomp(2) and prctl(2).
use strict;
use warnings;
use POSIX qw(uname);

my $arm = (uname())[4] eq 'aarch64';
my ($prctl, $flock) = $arm ? (167, 32) : (157, 73);
my ($no_new_privs, $set_seccomp, $mode_filter, $enosys) = (38, 22, 2, 38);
my $filter = join '',
  pack('SCCL', 0x20, 0, 0, 0),                       # load the number of the call
  pack('SCCL', 0x15, 0, 1, $flock),                  # if it is flock,
  pack('SCCL', 0x06, 0, 0, 0x00050000 | $enosys),    # it fails,
  pack('SCCL', 0x06, 0, 0, 0x7fff0000);              # else it goes on
my $program = pack 'S x6 P', length($filter) / 8, $filter;
syscall($prctl, $no_new_privs, 1, 0, 0, 0) == 0 or die "prctl: $!\n";
syscall($prctl, $set_seccomp, $mode_filter, $program, 0, 0) == 0 or die "seccomp: $!\n";
exec { $ARGV[0] } @ARGV or die "exec: $!\n";
