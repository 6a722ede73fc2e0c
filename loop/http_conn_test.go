package loop_test

import (
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop/loop"
)

// deadlines is a connection that tells of the deadlines of its writes.
type deadlines struct {
	net.Conn
	set func(time.Time)
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set(t); return nil }
func (d *deadlines) Write(p []byte) (int, error)        { return len(p), nil }

// TestWriteDeadlineSetMeanwhile: one that is set while a write begins holds for it.
func TestWriteDeadlineSetMeanwhile(t *testing.T) {
	want := time.Unix(1, 0)
	d := new(deadlines)
	h := &loop.HTTPConn{Conn: d}
	set := make(chan time.Time, 2)
	began := false
	d.set = func(at time.Time) {
		if at.Equal(want) {
			set <- at
			return
		}
		if !began {
			began = true
			go h.SetWriteDeadline(want)
			select { // it comes first, if it can
			case at := <-set:
				set <- at
			case <-time.After(50 * time.Millisecond):
			}
		}
		set <- at
	}
	if _, err := h.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	receive(t, "a deadline", set)
	if last := receive(t, "a deadline", set); !last.Equal(want) {
		t.Errorf("%v holds, want %v", last, want)
	}
}
