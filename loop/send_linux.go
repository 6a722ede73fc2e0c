//go:build !race

package loop

import (
	"syscall"
	"unsafe"

	"github.com/agloop/agloop/batch"
)

// sendRaw writes p to a non-blocking socket and returns how many bytes the kernel took. It does not
// tell the Go scheduler: a send to a socket that cannot block is over in microseconds, and entering
// and leaving a system call the usual way adds to it, as does the scheduler's monitor by taking the
// processor away (docs/adr/0010-writer.md).
func sendRaw(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sendParts writes at most batch.MaxSlices parts in one call, and returns how many bytes the kernel
// took. It may take longer, so the scheduler is told.
func sendParts(fd int, parts [][]byte) (int, error) {
	var iov [batch.MaxSlices]syscall.Iovec
	for i, p := range parts {
		iov[i].Base = unsafe.SliceData(p)
		iov[i].SetLen(len(p))
	}
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), uintptr(len(parts)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
