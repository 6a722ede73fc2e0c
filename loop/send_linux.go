//go:build !race

package loop

import (
	"syscall"
	"unsafe"
)

// sendRaw writes p to a non-blocking socket and returns how many bytes the kernel took; 0 for any error, which
// whoever writes the rest will meet again. It does not tell the Go scheduler: a send to a socket that cannot block is
// over in microseconds, and entering and leaving a system call the usual way adds to it, as does the
// scheduler's monitor by taking the processor away (docs/adr/0010-writer.md).
func sendRaw(fd int, p []byte) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// sendTwo writes a and then b in one call, and returns how many bytes the kernel took. It may take longer, so the
// scheduler is told.
func sendTwo(fd int, a, b []byte) int {
	iov := [2]syscall.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), uintptr(len(iov)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
