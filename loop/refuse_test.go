package loop_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// dialFrom connects from a local address, which stands for a network, and sends nothing.
func dialFrom(t *testing.T, ip, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(testkit.Patience))
	return nc
}

// answered reads to the end and tells whether it was a whole response of that status.
func answered(nc net.Conn, status string) bool {
	b, err := io.ReadAll(nc)
	return err == nil && strings.HasPrefix(string(b), "HTTP/1.1 "+status+" ")
}

// TestRefusalsDoNotHoldUpOthers: with every refusal of the reserve under way, silent connections of
// a network above its rate are answered at once, and another network is let in behind them.
func TestRefusalsDoNotHoldUpOthers(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Handler: loop.NopHandler{},
		Rates:   loop.Rates{AcceptsPerIP: 0.001, AcceptsPerIPBurst: 1},
	})
	release := h.door.HoldRefusals()
	defer release() // the end of the test would hang otherwise
	dialFrom(t, "127.0.9.9", h.addr)
	const n = 200
	var silent []net.Conn
	for range n {
		silent = append(silent, dialFrom(t, "127.0.9.9", h.addr))
	}
	nc := testkit.Attach(t, dialFrom(t, "127.0.7.9", h.addr))
	nc.Put(request())
	nc.WantSwitch()
	for i, nc := range silent {
		if !answered(nc, "429") {
			t.Fatalf("silent connection %d was not answered", i)
		}
	}
	if got := h.door.Counters.Refused.Load(); got != n {
		t.Errorf("%d refused, want %d", got, n)
	}
}

// TestRefusalsEndWithAccepting: a refusal that still waits for its request is answered when
// accepting stops, and Accept does not return before.
func TestRefusalsEndWithAccepting(t *testing.T) {
	eng, err := loop.NewEngine(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Stop(context.Background())
	door, err := eng.NewDoorWithDefaults(loop.DoorConfig{
		Handler: loop.NopHandler{}, Path: loop.AnyPath, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	door.NoHeads()
	door.SetShedding(true)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- door.Accept(ln) }()
	const n = 10
	var silent []net.Conn
	for range n {
		silent = append(silent, dialFrom(t, "127.0.0.1", ln.Addr().String()))
	}
	await(t, "all are being refused", func() bool { return door.Counters.Refused.Load() == n })
	ln.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	for i, nc := range silent {
		if !answered(nc, "503") {
			t.Errorf("silent connection %d was not answered", i)
		}
	}
}
