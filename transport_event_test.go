package agloop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// relay takes events as messages and remembers the connections they came on.
type relay struct {
	agloop.NopHandler
	got chan relayed
}

type relayed struct {
	conn *agloop.Conn
	text string
}

func (r relay) OnMessage(c *agloop.Conn, _ agloop.Opcode, payload []byte) {
	r.got <- relayed{c, string(payload)}
}

// TestTransportSendEvent: events arrive in the order of the calls, on one connection of several,
// and on another when that has ended.
func TestTransportSendEvent(t *testing.T) {
	r := relay{got: make(chan relayed, 100)}
	_, addr := serve(t, agloop.ServerConfig{Handler: r})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}, ConnectionsPerURL: 3, ReconnectMin: time.Millisecond})
	var first *agloop.Conn
	for range 2 {
		for i := range 50 {
			if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
		conn := first
		for i := range 50 {
			m := <-r.got
			if want := `{"type":"STEP_STARTED","stepName":"` + strconv.Itoa(i) + `"}`; m.text != want {
				t.Errorf("got %s, want %s", m.text, want)
			}
			if i == 0 {
				conn = m.conn
			} else if m.conn != conn {
				t.Error("on another connection")
			}
		}
		if conn == first {
			t.Error("on the connection that has ended")
		}
		first = conn
		lost := tr.Stats().Lost
		conn.Close(agloop.CloseGoingAway, "")
		testkit.Await(t, "the loss is counted", func() bool { return tr.Stats().Lost == lost+1 })
	}
	if st := tr.Stats(); st.EventsOut != 100 || st.Runs != 0 {
		t.Errorf("%+v", st)
	}
	if _, ok := errors.AsType[*agloop.FieldError](tr.SendEvent(t.Context(), &agui.TextMessageStart{MessageID: "m", Role: "nobody"})); !ok {
		t.Error("a malformed event was sent")
	}
	if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: strings.Repeat("x", 1<<20)}); !errors.Is(err, agloop.ErrEventTooBig) {
		t.Errorf("a huge event: %v", err)
	}
}

// TestTransportSendEventWaits: while the peer does not read, and no longer than ctx.
func TestTransportSendEventWaits(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	pipe := newStall()
	config := agloop.TransportConfig{URLs: []string{wsURL(addr)}}
	config.Client.Dial = pipe.dial
	config.Client.Limits.SoftLimit = 64 << 10
	config.Client.Limits.WriteTimeout = -1
	tr := startTransport(t, config)

	big := &agui.StepStarted{StepName: strings.Repeat("x", 32<<10)}
	sent := uint64(0)
	for ; ; sent++ { // until there is no room
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := tr.SendEvent(ctx, big)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	blocked := make(chan error, 1)
	go func() { blocked <- tr.SendEvent(t.Context(), big) }()
	pipe.flow() // now the peer reads
	if err := <-blocked; err != nil {
		t.Errorf("a call when there is room: %v", err)
	}
	if now := tr.Stats().EventsOut; now != sent+1 {
		t.Errorf("%d events out, want %d", now, sent+1)
	}
}

// TestTransportSendEventsShareTheRoom: calls that wait for the same room do not fill it past the
// hard limit, where the connection would be cut.
func TestTransportSendEventsShareTheRoom(t *testing.T) {
	const piece, calls = 8 << 10, 64
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	pipe := newStall()
	pipe.slow = 100 * time.Microsecond
	config := agloop.TransportConfig{URLs: []string{wsURL(addr)}}
	config.Client.Dial = pipe.dial
	config.Client.Limits.SoftLimit = 2 * piece
	config.Client.Limits.HardLimit = 4 * piece
	config.Client.Limits.WriteTimeout = -1
	tr := startTransport(t, config)

	big := &agui.StepStarted{StepName: strings.Repeat("x", piece)}
	for full := false; !full; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := tr.SendEvent(ctx, big)
		cancel()
		if full = errors.Is(err, context.DeadlineExceeded); !full && err != nil {
			t.Fatal(err)
		}
	}
	results := make(chan error, calls)
	for range calls {
		go func() { results <- tr.SendEvent(t.Context(), big) }()
	}
	// One that gives up does not keep its place.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := tr.SendEvent(ctx, big); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call in line whose context ends: %v", err)
	}
	pipe.flow()
	for range calls {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if st := tr.Stats(); st.Lost != 0 {
		t.Errorf("the connection was cut: %v", st.LastError)
	}
}

// stall is a stretch of network between a client and its server that can stand still.
type stall struct {
	open chan struct{}
	slow time.Duration // pause after every 4 KiB
}

func newStall() *stall { return &stall{open: make(chan struct{})} }

func (s *stall) flow() { close(s.open) }

// dial connects through a relay that passes the request, and the rest once flow was called.
func (s *stall) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	far, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	near, err := (&net.Dialer{}).DialContext(ctx, network, ln.Addr().String())
	if err != nil {
		return nil, err
	}
	mid, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(mid, far)
		mid.Close()
	}()
	go func() {
		defer far.Close()
		buf := make([]byte, 4<<10)
		n, err := mid.Read(buf) // the request, whole
		if err == nil {
			_, _ = far.Write(buf[:n])
			<-s.open
			for err == nil {
				if n, err = mid.Read(buf); n > 0 {
					_, err = far.Write(buf[:n])
				}
				time.Sleep(s.slow) // a network that is slow
			}
		}
	}()
	return near, nil
}

// TestTransportDropsStrayMessages: what comes while no run is on the connection is not kept and
// does not disturb the next run.
func TestTransportDropsStrayMessages(t *testing.T) {
	_, addr := serveBare(t, agloop.ServerConfig{Agent: hello})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	// An agent answers an event, which is no input, with RUN_ERROR.
	for i := range 3 {
		if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: "s"}); err != nil {
			t.Fatal(err)
		}
		testkit.Await(t, "the stray message is counted", func() bool { return tr.Stats().Unclaimed == uint64(i+1) })
		if types, err := transportRun(t.Context(), tr, "r"); types != helloTypes || err != nil {
			t.Error(types, err)
		}
	}
	if st := tr.Stats(); st.EventsIn != 15 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// TestTransportSendEventAllocatesNothing per event.
func TestTransportSendEventAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	ev, ctx := &agui.StepStarted{StepName: "step"}, t.Context()
	if n := testing.AllocsPerRun(2000, func() {
		if err := tr.SendEvent(ctx, ev); err != nil {
			t.Error(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations per event", n)
	}
}

// TestTransportSendEventDropped: a call that waits for room learns that its connection has ended.
func TestTransportSendEventDropped(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	pipe := newStall()
	defer pipe.flow()
	config := agloop.TransportConfig{URLs: []string{wsURL(addr)}, ReconnectMin: time.Hour, ReconnectMax: time.Hour}
	config.Client.Dial = pipe.dial
	config.Client.Limits.SoftLimit = 64 << 10
	config.Client.Limits.WriteTimeout = 100 * time.Millisecond // then a peer that takes nothing is cut
	tr := startTransport(t, config)
	for {
		err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: strings.Repeat("x", 32<<10)})
		if err == nil {
			continue
		}
		if ce, ok := errors.AsType[*agloop.CloseError](err); !errors.Is(err, agloop.ErrEventDropped) || !errors.Is(err, net.ErrClosed) || !ok || ce.Remote {
			t.Errorf("SendEvent: %v", err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.SendEvent(ctx, &agui.StepStarted{StepName: "s"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}
