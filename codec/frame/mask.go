package frame

import (
	"crypto/rand"
	"sync"
)

// Masks returns frame masks from the system's cryptographic source, as a client must use them (RFC
// 6455 §10.3), and reads it in blocks. Any goroutine may call it. The zero value is ready.
type Masks struct {
	mu   sync.Mutex
	buf  [256]byte
	left int
}

// Next returns four random bytes that it has not returned before.
func (m *Masks) Next() (mask [4]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < len(mask) {
		rand.Read(m.buf[:]) // never fails: without randomness it ends the process
		m.left = len(m.buf)
	}
	m.left -= copy(mask[:], m.buf[m.left-len(mask):])
	return mask
}
