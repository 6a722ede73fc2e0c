package frame

import (
	"crypto/rand"
	"sync"
)

// Masks hands out frame masks from the system's cryptographic source, as a
// client must (RFC 6455 section 10.3), reading it in blocks. Any goroutine may call; the
// zero value is ready.
type Masks struct {
	mu   sync.Mutex
	buf  [256]byte
	left int
}

// Next returns a mask never handed out before.
func (m *Masks) Next() (mask [4]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < len(mask) {
		rand.Read(m.buf[:]) // never fails: it ends the process rather than be weak
		m.left = len(m.buf)
	}
	m.left -= copy(mask[:], m.buf[m.left-len(mask):])
	return mask
}
