package loop

import (
	"net"
	"os"
	"syscall"

	"github.com/panjf2000/gnet/v2"
)

// waker wakes one loop from any goroutine: one end of a socket pair is a connection of the loop,
// and a byte written to the other end makes the loop read it. gnet's own ways to run something on a
// loop allocate three times a call; this does not, and it tells us which loops there are
// (docs/adr/0003-waker.md).
type waker struct {
	loop  *Loop
	err   error // why there is none
	index int   // of the loop
	far   net.Conn
}

// oneByte is what is written to wake a loop; its value means nothing.
var oneByte = []byte{1}

// addLoop gives a waker to a loop that has none: gnet chooses the loop with the fewest connections.
func (e *Engine) addLoop(index int) (*Loop, error) {
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	b := &waker{far: far, index: index}
	if _, err := e.client.EnrollContext(near, b); err != nil {
		far.Close()
		return nil, err
	}
	if b.err != nil {
		far.Close()
	}
	return b.loop, b.err
}

// onOpen makes the Loop that the waker wakes. It is gnet's OnOpen.
func (b *waker) onOpen(e *Engine, gc gnet.Conn) {
	b.loop, b.err = newLoop(e, gc, b)
}

// onTraffic does what the loop was woken for. It is gnet's OnTraffic.
func (b *waker) onTraffic() {
	l := b.loop
	l.wakeSent.Store(false) // first: what is handed to the loop from now on wakes it again
	if l.timeUp.CompareAndSwap(true, false) {
		l.onTime()
		return
	}
	l.flushDirty()
}

// socketPair returns two connected unix sockets.
func socketPair() (near, far net.Conn, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if near, err = fileConn(fds[0]); err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	if far, err = fileConn(fds[1]); err != nil {
		near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// fileConn makes a net.Conn of a descriptor, which it takes over.
func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() // FileConn works on a duplicate
	return net.FileConn(f)
}
