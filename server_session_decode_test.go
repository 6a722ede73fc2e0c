package agloop_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// decodings are the inputs being decoded on a server, each of which goes on when it is let.
type decodings struct {
	begun chan int // the size of each
	leave chan struct{}

	mu        sync.Mutex
	now, most int // bytes
}

func (d *decodings) hook(raw []byte, decode func()) {
	d.mu.Lock()
	d.now += len(raw)
	d.most = max(d.most, d.now)
	d.mu.Unlock()
	d.begun <- len(raw)
	<-d.leave
	decode()
	d.mu.Lock()
	d.now -= len(raw)
	d.mu.Unlock()
}

func (d *decodings) largest() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.most
}

func serveDecodings(t *testing.T, budget func() int64) (*decodings, *agloop.Server, string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &decodings{begun: make(chan int, 100), leave: make(chan struct{})}
	srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
	srv.SetDecodeBudget(budget)
	srv.OnDecode(d.hook)
	_, addr := serveOn(t, ln, srv)
	return d, srv, addr
}

// TestDecodingKeepsToItsBudget: twelve times what is being decoded fits into it, over all
// connections, and everybody is served.
func TestDecodingKeepsToItsBudget(t *testing.T) {
	d, srv, addr := serveDecodings(t, func() int64 { return 12 * 10_000 })
	wires := make([]*wire, 9)
	for i := range wires {
		wires[i] = newWire(t, srv, addr)
		wires[i].send(inputOf(fmt.Sprint(i), 4000))
	}
	<-d.begun
	<-d.begun
	for range wires { // each that ends lets at most one more begin
		d.leave <- struct{}{}
	}
	for i, w := range wires {
		if got := w.ends(1); got != fmt.Sprint(i) {
			t.Errorf("input %d: %s", i, got)
		}
	}
	if n := d.largest(); n != 8000 {
		t.Errorf("%d bytes were decoded at once, want 8000", n)
	}
	if n := len(d.begun); n != len(wires)-2 {
		t.Errorf("%d more were decoded", n)
	}
}

// TestInputBeyondTheDecodeBudget: it is decoded when nothing else is.
func TestInputBeyondTheDecodeBudget(t *testing.T) {
	d, srv, addr := serveDecodings(t, func() int64 { return 12 * 10_000 })
	var wires []*wire
	for i, size := range []int{2000, 50_000, 2001} {
		w := newWire(t, srv, addr)
		w.send(inputOf(fmt.Sprint(i), size))
		wires = append(wires, w)
		if i == 0 {
			<-d.begun
		}
	}
	for range wires {
		d.leave <- struct{}{}
	}
	for i, w := range wires {
		if got := w.ends(1); got != fmt.Sprint(i) {
			t.Errorf("input %d: %s", i, got)
		}
	}
	if n := d.largest(); n != 50_000 {
		t.Errorf("%d bytes were decoded at once, want 50000", n)
	}
}

// TestDecodeBudgetChanges: a new one holds for the next input. Waiting for an old one ends with the
// connection.
func TestDecodeBudgetChanges(t *testing.T) {
	var budget, asked atomic.Int64
	budget.Store(12 * 1000)
	d, srv, addr := serveDecodings(t, func() int64 {
		defer asked.Add(1)
		return budget.Load()
	})
	first := newWire(t, srv, addr)
	first.send(inputOf("1", 1000))
	<-d.begun
	second := newWire(t, srv, addr)
	second.send(inputOf("2", 1000))
	testkit.Await(t, "both inputs have asked for the budget", func() bool { return asked.Load() == 2 })
	budget.Store(12 * 2000)
	third := newWire(t, srv, addr)
	third.send(inputOf("3", 2000))
	<-d.begun
	second.Close()
	testkit.Await(t, "the run of the client that left is over", func() bool { return srv.Stats().Runs == 2 })
	d.leave <- struct{}{}
	d.leave <- struct{}{}
	if a, b := first.ends(1), third.ends(1); a != "1" || b != "3" {
		t.Errorf("ends %s and %s", a, b)
	}
}
