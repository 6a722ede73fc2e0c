package loop

import (
	"sync"
	"syscall"

	"github.com/agloop/agloop/bufpool"
)

// ahead are bytes as they go to the kernel, which has not taken them yet. It is empty at rest.
type ahead struct {
	// Any goroutine, under mu. Conn.mu may be held; nothing is locked under it.
	mu   sync.Mutex
	buf  *bufpool.Buffer // nil: empty
	done int             // bytes of buf that the kernel has taken
}

// add appends a copy of p. It fails when nobody has written for long: the peer reads nothing and
// makes us answer.
func (a *ahead) add(p []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf == nil {
		a.buf = bufpool.Get(len(p))
	}
	if len(a.buf.B)-a.done > 4*maxAhead { // what waits is at most one maxAhead, and answers to KeyUpdate
		return errNoProgress
	}
	a.buf = a.buf.Append(p)
	return nil
}

// size is the number of bytes that wait.
func (a *ahead) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf == nil {
		return 0
	}
	return len(a.buf.B) - a.done
}

// memory is what it holds, in bytes.
func (a *ahead) memory() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf == nil {
		return 0
	}
	return a.buf.Cap()
}

// flush writes until nothing waits or the kernel is full, which is EAGAIN. n is what the kernel took.
func (a *ahead) flush(fd int) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.buf != nil {
		p := a.buf.B[a.done:]
		var m int
		if len(p) <= maxRaw {
			m, err = sendRaw(fd, p)
		} else {
			m, err = sendParts(fd, [][]byte{p})
		}
		n += m
		a.done += m
		switch {
		case a.done == len(a.buf.B):
			a.drop()
		case err == syscall.EINTR:
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// take returns what waits and leaves nothing.
func (a *ahead) take() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf == nil {
		return nil
	}
	p := append([]byte(nil), a.buf.B[a.done:]...)
	a.drop()
	return p
}

// release drops what waits.
func (a *ahead) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf != nil {
		a.drop()
	}
}

func (a *ahead) drop() {
	a.buf.Release()
	a.buf, a.done = nil, 0
}
