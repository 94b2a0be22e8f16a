// A library that is loaded before a program (LD_PRELOAD) and makes one of its system calls fail, or kills or stops it there.
//
//   BRIDGE_FAULT_CALL    the call: open, write, pwrite, fsync, rename, ftruncate, mmap, mkdir, unlink, rmdir,
//                       connect or recv; "any" for all of them together
//   BRIDGE_FAULT_NUMBER  which of these calls, from 1 on; 0 for none
//   BRIDGE_FAULT_ACTION  EIO, ENOSPC, EINTR, EINVAL (errors), SHORT (half of the bytes), KILL or STOP (SIGKILL
//                       or SIGSTOP before the call)
//   BRIDGE_FAULT_UNDER   only calls on files below this directory count; sockets always do
//   BRIDGE_FAULT_RANK    only calls of this rank of an MPI world count
//   BRIDGE_FAULT_COUNT   a file that gets one byte for each call that counted
#ifndef FAULT_INJECTION_H
#define FAULT_INJECTION_H
#endif
