package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheelAgainstModel: every deadline comes up once, not before its tick, and not later than the
// first advance at or after it.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var w wheel
		w.init(1000)
		now := uint32(1000)
		due := map[*Conn]uint32{}
		conns := make([]*Conn, 50)
		for i := range conns {
			conns[i] = &Conn{}
		}
		for range 500 {
			switch rnd.IntN(3) {
			case 0:
				c := conns[rnd.IntN(len(conns))]
				at := now + 1 + uint32(rnd.IntN(2000)) // beyond one turn of the wheel, too
				w.schedule(c, at)
				due[c] = at
			case 1:
				c := conns[rnd.IntN(len(conns))]
				w.schedule(c, 0)
				delete(due, c)
			case 2:
				now += uint32(rnd.IntN(700))
				fired := map[*Conn]bool{}
				w.advance(now, func(c *Conn) {
					if at, ok := due[c]; !ok || at > now {
						t.Fatalf("seed %d: fired at %d, due %d %v", seed, now, at, ok)
					}
					fired[c] = true
					delete(due, c)
				})
				for c, at := range due {
					if at <= now {
						t.Fatalf("seed %d: deadline %d missed at %d (fired %v)", seed, at, now, fired[c])
					}
				}
			}
			if w.count != len(due) {
				t.Fatalf("seed %d: %d hang in the wheel, want %d", seed, w.count, len(due))
			}
		}
	}
}

// TestWheelDueMayTakeOthersOff: what comes up may close connections beside it.
func TestWheelDueMayTakeOthersOff(t *testing.T) {
	var w wheel
	w.init(0)
	a, b, c := &Conn{}, &Conn{}, &Conn{}
	for _, x := range []*Conn{a, b, c} {
		w.schedule(x, 5)
	}
	n := 0
	w.advance(10, func(x *Conn) {
		n++
		w.schedule(x, 20)
		for _, y := range []*Conn{a, b, c} {
			w.schedule(y, 30)
		}
	})
	if n != 3 || w.count != 3 {
		t.Errorf("%d came up, %d hang; want 3 and 3", n, w.count)
	}
}

// TestWheelNext: the loop sleeps until something is due, but never longer than the coarse clock
// allows.
func TestWheelNext(t *testing.T) {
	var w wheel
	w.init(100)
	if w.next() != never {
		t.Error("an empty wheel wants to be woken")
	}
	c := &Conn{}
	w.schedule(c, 105)
	if got, want := w.next(), 105*int64(tick); got != want {
		t.Errorf("next at %v, want %v", time.Duration(got), time.Duration(want))
	}
	w.schedule(c, 400)
	if got, want := w.next(), 110*int64(tick); got != want {
		t.Errorf("next at %v, want %v", time.Duration(got), time.Duration(want))
	}
}
