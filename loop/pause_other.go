//go:build !linux || poll_opt

package loop

// findEpoll returns the epoll instance of a loop, which is not known here.
func findEpoll(int) int { return -1 }

// mutes reports whether setReading does anything.
func (l *Loop) mutes() bool { return false }

// setReading has gnet read a connection, or not: it always does.
func (l *Loop) setReading(*Conn, bool) {}
