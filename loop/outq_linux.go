package loop

import (
	"syscall"
	"unsafe"
)

// unsent is the number of bytes in the kernel's send queue that the peer has not
// acknowledged (SIOCOUTQ, see tcp(7)); 0 when it cannot be told.
func unsent(fd int) int {
	var n int32
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}
