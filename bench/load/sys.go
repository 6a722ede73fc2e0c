//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These three skip the scheduler's bookkeeping around a system call (about 50 ns, and a monitor
// thread kept awake). The first two never block, the sockets being non-blocking. epollWait may:
// nothing else runs in this process, the collector is off, and a thread asleep in it holds up
// nobody.

func sysRead(fd int32, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		0, 0, 0)
	return int(n), e
}

func sysWrite(fd int32, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// coarse is set on kernels before 5.11, which count the wait of an epoll in milliseconds only.
var coarse bool

// epollWait waits up to ns nanoseconds.
func epollWait(ep int, evs []unix.EpollEvent, ns int64) (int, unix.Errno) {
	at, room := uintptr(unsafe.Pointer(unsafe.SliceData(evs))), uintptr(len(evs))
	if !coarse {
		wait := unix.NsecToTimespec(ns)
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), at, room, uintptr(unsafe.Pointer(&wait)), 0, 0)
		if e != unix.ENOSYS {
			return int(n), e
		}
		coarse = true
	}
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), at, room, uintptr((ns+999_999)/1_000_000), 0, 0)
	return int(n), e
}
