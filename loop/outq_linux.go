package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unsent is the number of bytes in the kernel's send queue that the peer has not acknowledged
// (SIOCOUTQ, see tcp(7)); 0 when it cannot be told.
func unsent(fd int) int {
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}

// acknowledged grows when the peer takes bytes: how many it has acknowledged since it connected
// (TCP_INFO, see tcp(7)). For unix sockets it grows as the kernel's queue shrinks, which bytes that
// are added meanwhile can hide.
func acknowledged(fd int) uint64 {
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 1<<62 - uint64(unsent(fd))
	}
	return info.Bytes_acked
}
