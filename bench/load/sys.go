//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These three skip the scheduler's bookkeeping around a system call (about 50 ns, and a monitor thread kept awake).
// The first two never block, the sockets being non-blocking. epollWait may: nothing else runs in this process, the
// collector is off, and a thread asleep in it holds up nobody.

func sysRead(fd int32, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), e
}

func sysWrite(fd int32, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

func epollWait(ep int, evs []unix.EpollEvent, ms int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(evs))),
		uintptr(len(evs)), uintptr(ms), 0, 0)
	return int(n), e
}
