"""Lists the markers of a site with several layouts, as a script of a few lines does: one glob a layout, and each marker read.

  glob_list.py ROOT PATTERN...
"""

import glob
import sys

for pattern in sys.argv[2:]:
    for path in sorted(glob.glob(f"{sys.argv[1]}/{pattern}/.training_lock")):
        with open(path) as marker:
            print(path, marker.read().strip())
