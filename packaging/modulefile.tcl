#%Module1.0
## Puts trainlock on the PATH. It finds the folder that it is installed in by itself.
proc ModulesHelp { } {
    puts stderr "trainlock: train every configuration once. Begin with: trainlock --help"
}
module-whatis "locks for training jobs on a shared folder"
conflict trainlock

# This file is PREFIX/lib/trainlock/VERSION/share/modulefiles/trainlock/VERSION, or a link to it.
set version [file normalize [file join [file dirname [file normalize [file join $ModulesCurrentModulefile x]]] .. .. .. ..]]
prepend-path PATH    $version/bin
# Without MANPATH, man(1) finds the pages by PATH. A MANPATH of ours alone would hide the system's pages from it.
if { [info exists env(MANPATH)] } {
    prepend-path MANPATH $version/share/man
}
