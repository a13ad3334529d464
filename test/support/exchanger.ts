/**
 * A Python program that swaps two names, such as a folder and a link, as fast as it can until its input ends. In one step: nobody
 * finds either missing and makes it anew. renameat2(2), RENAME_EXCHANGE.
 */
export const exchanger = `
import ctypes, os, select, sys
folder, link = (os.fsencode(each) for each in sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
print("SWAPPING", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        assert libc.renameat2(-100, folder, -100, link, 2) == 0, ctypes.get_errno()
if os.path.islink(folder): libc.renameat2(-100, folder, -100, link, 2)
`;
