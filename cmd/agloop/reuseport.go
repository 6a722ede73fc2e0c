package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort is a net.ListenConfig.Control that lets several processes listen on one port. The
// kernel distributes the connections among them.
func sharePort(_, _ string, rc syscall.RawConn) (err error) {
	if e := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}
