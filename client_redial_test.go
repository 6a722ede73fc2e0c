package agloop_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
)

// pauses has the client wait for the test between two attempts, and tells how long it would wait.
func pauses(c *agloop.Client) (asked chan time.Duration, goOn chan bool) {
	asked, goOn = make(chan time.Duration, 100), make(chan bool)
	c.OnPause(func(wait time.Duration) bool {
		asked <- wait
		return <-goOn
	})
	return asked, goOn
}

// wantPause takes the next pause and ends it.
func wantPause(t *testing.T, asked chan time.Duration, goOn chan bool, want time.Duration) {
	t.Helper()
	if got := testkit.Receive(t, "a pause", asked); got != want {
		t.Errorf("a pause of %v, want %v", got, want)
	}
	goOn <- true
}

// TestR41Backoff: pauses double while connections do not last, and start anew behind one of use;
// Auth is asked each time, the host is told.
func TestR41Backoff(t *testing.T) {
	p := newPeer(t)
	var mu sync.Mutex
	tokens := 0
	states := make(chan agloop.ConnState, 100)
	c, conn := p.dial(func(cfg *agloop.ClientConfig) {
		cfg.Resume = agloop.Resume{MinBackoff: 100 * time.Millisecond, MaxBackoff: 300 * time.Millisecond, MaxElapsed: -1}
		cfg.Auth = func(context.Context) (http.Header, error) {
			mu.Lock()
			defer mu.Unlock()
			tokens++
			if tokens == 3 {
				panic("a mistake of the host's")
			}
			return http.Header{"Authorization": {fmt.Sprint(tokens)}}, nil
		}
		cfg.OnState = func(s agloop.ConnState) { states <- s }
	})
	asked, goOn := pauses(c)
	conn.Close(agloop.CloseRestart, "")
	wantPause(t, asked, goOn, 100*time.Millisecond)
	conn = p.accept()
	conn.Close(agloop.CloseRestart, "") // it was of no use
	wantPause(t, asked, goOn, 200*time.Millisecond)
	wantPause(t, asked, goOn, 300*time.Millisecond) // Auth has panicked
	conn = p.accept()
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	wantPause(t, asked, goOn, 100*time.Millisecond)
	p.accept().want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	c.Close()
	w.wantEnd(agloop.ErrClientClosed)
	var got []string
	for range 18 {
		s := testkit.Receive(t, "a state", states)
		got = append(got, fmt.Sprint(s.Phase, s.Attempt, !s.At.IsZero()))
		if s.Phase == agloop.ConnClosed {
			break
		}
	}
	want := "connecting 0 false, open 0 false, " +
		"reconnecting 1 true, reconnecting 1 false, open 0 false, " +
		"reconnecting 2 true, reconnecting 2 false, reconnecting 3 true, reconnecting 3 false, open 0 false, " +
		"reconnecting 1 true, reconnecting 1 false, open 0 false, closed 0 false"
	if strings.Join(got, ", ") != want {
		t.Errorf("states\n%s\nwant\n%s", strings.Join(got, ", "), want)
	}
	if tokens != 5 {
		t.Errorf("Auth was asked %d times", tokens)
	}
	if s := c.State(); s.Phase != agloop.ConnClosed || s.Err != agloop.ErrClientClosed {
		t.Errorf("%+v", s)
	}
}

// TestR41FunctionsOfTheHost: what they do to their goroutine ends neither the dialling nor the telling.
func TestR41FunctionsOfTheHost(t *testing.T) {
	p := newPeer(t)
	var asked atomic.Int32
	open := make(chan struct{}, 10)
	_, conn := p.dial(func(cfg *agloop.ClientConfig) {
		cfg.Auth = func(context.Context) (http.Header, error) {
			if asked.Add(1) == 2 {
				runtime.Goexit()
			}
			return nil, nil
		}
		cfg.OnState = func(s agloop.ConnState) {
			switch s.Phase {
			case agloop.ConnOpen:
				open <- struct{}{}
			case agloop.ConnConnecting:
				panic("a mistake of the host's")
			default:
				runtime.Goexit()
			}
		}
	})
	testkit.Receive(t, "the state open", open)
	conn.Close(agloop.CloseRestart, "")
	p.accept()
	testkit.Receive(t, "the state open", open)
	if n := asked.Load(); n != 3 {
		t.Errorf("Auth was asked %d times", n)
	}
}

// TestR41GivesUp: after MaxElapsed the sequences end, and the next call dials again.
func TestR41GivesUp(t *testing.T) {
	p := newPeer(t)
	var mu sync.Mutex
	var refuse error
	c, conn := p.dial(func(cfg *agloop.ClientConfig) {
		cfg.Resume.MaxElapsed = 20 * time.Millisecond
		cfg.Auth = func(context.Context) (http.Header, error) {
			mu.Lock()
			defer mu.Unlock()
			return nil, refuse
		}
	})
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		refuse = err
	}
	unwell := errors.New("unwell")
	set(unwell)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	if err := w.wantEnd(agloop.ErrTruncated); !errors.Is(err, unwell) {
		t.Errorf("the run ended with %v", err)
	}
	testkit.Await(t, "the client rests", func() bool { return c.State().Phase == agloop.ConnClosed })
	if err := c.Cancel(t.Context(), "t", "r"); !errors.Is(err, unwell) {
		t.Errorf("a call that cannot dial: %v", err)
	}
	set(nil)
	again := attaching(t, c, "r", c.Cursor("t", "r"))
	conn = p.accept()
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), finishedOf("r"))
	again.want("finished r")
	again.wantEnd(nil)
}

// TestClientCloseWhileItDials: nothing is left of it, and nothing waits.
func TestClientCloseWhileItDials(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	asked, goOn := pauses(c)
	conn.Close(agloop.CloseRestart, "")
	testkit.Receive(t, "a pause", asked)
	w := running(t, c, inputFor("r"))
	cancelled := make(chan error, 1)
	go func() { cancelled <- c.Cancel(t.Context(), "t", "r") }()
	c.Close()
	goOn <- false
	w.wantEnd(agloop.ErrClientClosed)
	if err := testkit.Receive(t, "the cancel", cancelled); !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("Cancel: %v", err)
	}
	if _, err := c.Steer(t.Context(), "t", "r", "x"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Steer: %v", err)
	}
}

// greeters serves agloop.v1 by hand: each connection begins with the next hello.
func greeters(t *testing.T, hellos ...string) (url string, conns chan *testkit.Peer) {
	ln := listenSilently(t)
	conns = make(chan *testkit.Peer, len(hellos))
	go func() {
		for _, hello := range hellos {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conn := testkit.Attach(t, nc)
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				t.Error(err)
				return
			}
			key := []byte(req.Header.Get("Sec-WebSocket-Key"))
			conn.Put(
				handshake.AppendSwitchingProtocols(nil, key, control.Protocol, "", nil),
				testkit.Plain(0b1_000_0001, []byte(hello)),
			)
			conns <- conn
		}
	}()
	return wsURL(ln.Addr().String()), conns
}

// TestR41CutInAFrame: a connection that ends in the middle of a frame, without a word.
func TestR41CutInAFrame(t *testing.T) {
	url, conns := greeters(t, helloProcess, helloProcess)
	c, err := agloop.Dial(t.Context(), url, agloop.ClientConfig{
		Logger: quiet, Resume: agloop.Resume{MinBackoff: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := testkit.Receive(t, "a connection", conns)
	w := running(t, c, inputFor("r"))
	if f, err := conn.Next(); err != nil || !strings.HasPrefix(string(f.Payload), `["start",{"ref":"1"`) {
		t.Fatalf("got %s, %v", f.Payload, err)
	}
	half := testkit.Plain(0b1_000_0001, []byte(says("2")))
	conn.Put(
		testkit.Plain(0b1_000_0001, []byte(selects(1, "1", "r", 1))), testkit.Plain(0b1_000_0001, []byte(startedOf("r"))),
		half[:len(half)/2],
	)
	w.want("started r")
	conn.Reset()
	conn = testkit.Receive(t, "a connection", conns)
	want := `["attach",{"ref":"2","threadId":"t","runId":"r","epoch":"` + epoch1 + `","offset":1}]`
	if f, err := conn.Next(); err != nil || string(f.Payload) != want {
		t.Fatalf("got %s, %v", f.Payload, err)
	}
	conn.Put(
		testkit.Plain(0b1_000_0001, []byte(selects(1, "2", "r", 2))), half, testkit.Plain(0b1_000_0001, []byte(finishedOf("r"))),
	)
	w.want("2", "finished r")
	w.wantEnd(nil)
}

// keeper is a CursorStore that fails when it is told to.
type keeper struct {
	mu    sync.Mutex
	saved []string
	at    map[string]agloop.Cursor
	err   error
}

func (k *keeper) Load(thread, run string) (agloop.Cursor, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at[thread+"/"+run], k.err
}

func (k *keeper) Save(thread, run string, c agloop.Cursor) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saved = append(k.saved, fmt.Sprint(thread, "/", run, " ", c.Offset))
	k.at[thread+"/"+run] = c
	return k.err
}

// TestR40CursorStore: it is told of each event that was applied; a run it knows is attached to; its
// errors end the sequence.
func TestR40CursorStore(t *testing.T) {
	p := newPeer(t)
	known, err := agloop.ParseCursor(epoch1 + "-4")
	if err != nil {
		t.Fatal(err)
	}
	store := &keeper{at: map[string]agloop.Cursor{"t/known": known}}
	c, conn := p.dial(func(cfg *agloop.ClientConfig) { cfg.Cursors = store })
	w := running(t, c, inputFor("known"))
	ref := conn.want("attach", "threadId", "t", "runId", "known", "epoch", epoch1, "offset", 4.0)
	conn.say(selects(1, ref, "known", 5), says("5"), finishedOf("known"))
	w.want("5", "finished known")
	w.wantEnd(nil)
	if got := c.Cursor("t", "known").Offset; got != 6 || fmt.Sprint(store.saved) != "[t/known 5 t/known 6]" {
		t.Errorf("cursor %d, saved %v", got, store.saved)
	}
	full := errors.New("no space left")
	store.err = full
	w = running(t, c, inputFor("known"))
	w.wantEnd(full)
	if got := c.Cursor("t", "nobody"); got != (agloop.Cursor{}) {
		t.Errorf("cursor %v", got)
	}
	w = attaching(t, c, "x", agloop.Cursor{Epoch: 1, Offset: 1})
	ref = conn.want("attach", "threadId", "t", "runId", "x", "epoch", "0000000000000001", "offset", 1.0)
	conn.say(selects(2, ref, "x", 2), says("2"))
	w.want("2")
	w.wantEnd(full)
	conn.want("leave", "run", 2.0)
}

// TestResumeConfig: what makes no sense is named.
func TestResumeConfig(t *testing.T) {
	for field, r := range map[string]agloop.Resume{
		"Resume.MinBackoff": {MinBackoff: -1},
		"Resume.MaxBackoff": {MinBackoff: time.Second, MaxBackoff: time.Millisecond},
	} {
		_, err := agloop.Dial(t.Context(), "ws://a/", agloop.ClientConfig{Resume: r})
		_, err2 := agloop.NewTransport(agloop.TransportConfig{URLs: []string{"ws://a/"}, Client: agloop.ClientConfig{Resume: r}})
		for _, err := range []error{err, err2} {
			if ce, ok := errors.AsType[*agloop.ConfigError](err); !ok || ce.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
}

// TestClientAtRestHasNoGoroutine: a client that is connected needs none.
func TestClientAtRestHasNoGoroutine(t *testing.T) {
	p := newPeer(t)
	p.dial(nil) // has the loops started
	before := runtime.NumGoroutine()
	const clients = 20
	for range clients {
		p.dial(nil)
	}
	testkit.Await(t, "dialling leaves nothing", func() bool { return runtime.NumGoroutine() <= before+clients/2 })
}
