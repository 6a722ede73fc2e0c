package loop_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestWireNoForeignBytes: connections that share buffers never see each other's bytes, however
// their messages are cut. In the debug build buffers given back are poisoned.
func TestWireNoForeignBytes(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	done := make(chan error)
	const peers = 8
	for i := range peers {
		p := s.dial(t)
		go func() { done <- p.canary(byte('a'+i), uint64(i)) }()
	}
	for range peers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// canary sends messages of one letter in odd pieces, the last of which never is whole, and checks
// what comes back.
func (p *peer) canary(letter byte, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 28))
	for range 60 {
		n := rnd.IntN(20_000)
		body := bytes.Repeat([]byte{letter}, n)
		cut := rnd.IntN(n + 1)
		stream := masked(0b1_000_0001, body)
		if n%2 == 0 {
			stream = join(masked(0b0_000_0001, body[:cut]), masked(0b1_000_1010, body[:min(cut, 125)]), masked(0b1_000_0000, body[cut:]))
		}
		for len(stream) > 0 {
			k := min(1+rnd.IntN(6000), len(stream))
			if _, err := p.Write(stream[:k]); err != nil {
				return err
			}
			stream = stream[k:]
		}
		f, err := p.Next()
		if err != nil {
			return err
		}
		if f.Head != 0b1_000_0001 || !bytes.Equal(f.Payload, body) {
			return fmt.Errorf("%c: got frame %08b, %d bytes of which %d are ours; want %d",
				letter, f.Head, len(f.Payload), bytes.Count(f.Payload, []byte{letter}), n)
		}
	}
	// Half a message stays behind when the connection ends.
	_, err := p.Write(masked(0b0_000_0001, bytes.Repeat([]byte{letter}, 5000))[:4000])
	p.Close()
	return err
}
