// Utab: what mount(8) and umount(8) note about mounts beside the kernel's table (/run/mount/utab).
//
// umount(8), given an absolute path by root, asks the kernel alone for the type, which is "fuse"
// for every FUSE filesystem, and finds no helper for it: it would unmount the log by itself, and
// return before the store is at rest. Of a mount that is noted here it looks up the whole type, and
// calls umount.fuse.tlogfs.
//
// The notes are written by mount(8) and umount(8) themselves. Only root's mounts are noted; and
// where a note cannot be written (no mount(8), a /run that is read-only) umount(8) does as it did.
//
// One thread. Tested by tests/mount/umount_test.py.

#ifndef MOUNTD_UTAB_H_
#define MOUNTD_UTAB_H_

#include <string>

namespace mountd {

void NoteMount(const std::string& store, const std::string& mountpoint);
// For a mount that umount(8) has not taken away. Nothing to forget is fine.
void ForgetMount(const std::string& mountpoint);

}  // namespace mountd

#endif  // MOUNTD_UTAB_H_
