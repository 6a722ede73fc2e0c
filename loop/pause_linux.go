//go:build linux && !poll_opt

package loop

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// gnet has no way to stop reading a connection, so its epoll instance is told directly: an instance
// knows a socket by its descriptor, and gnet changes what it has registered only while bytes wait in its
// own buffers, where we put none. The build tag poll_opt has gnet register something else.

// readEvents are the events that gnet registers a connection with.
const readEvents = unix.EPOLLIN | unix.EPOLLPRI

// findEpoll returns the epoll instance of the loop that a connection is on, -1 where none is found. It is
// the one that has the connection.
func findEpoll(fd int) int {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	for _, e := range entries {
		link, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || link != "anon_inode:[eventpoll]" {
			continue
		}
		if epoll, err := strconv.Atoi(e.Name()); err == nil && register(epoll, fd, readEvents) == nil {
			return epoll
		}
	}
	return -1
}

// register changes the events of a connection that the instance has.
func register(epoll, fd int, events uint32) error {
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// mutes reports whether setReading does anything.
func (l *Loop) mutes() bool { return l.epoll >= 0 }

// setReading has gnet read a connection, or not. Errors and the end of both directions are told in any case.
func (l *Loop) setReading(c *Conn, on bool) {
	l.owner.check()
	if !l.mutes() {
		return
	}
	var events uint32
	if on {
		events = readEvents
	}
	if err := register(l.epoll, int(c.fd), events); err != nil {
		l.eng.log.Error("agloop: epoll_ctl of a connection failed", "err", err)
	}
}
