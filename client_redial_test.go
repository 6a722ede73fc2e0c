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
	"github.com/agloop/agloop/agui"
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

const helloDurable = `["hello",{"version":1,"boot":"b1","resumable":"durable","limits":{"message":400,"attachments":2,"controls":4,"steer":10}}]`

// TestR41GoingProcess: the client moves when its own runs have ended, and starts none before.
func TestR41GoingProcess(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	asked, goOn := pauses(c)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), `["going",{"retryAfter":1.5}]`, says("2"))
	w.want("started r", "2")
	if got := c.State().Phase; got != agloop.ConnGoing {
		t.Errorf("state %v", got)
	}
	late := running(t, c, inputFor("late"))
	if err := c.Cancel(t.Context(), "t", "r"); err != nil {
		t.Error(err)
	}
	conn.want("cancel", "threadId", "t", "runId", "r") // and no start before it
	conn.say(finishedOf("r"))
	w.want("finished r")
	w.wantEnd(nil)
	conn.wantClosed(agloop.CloseNormal)
	wantPause(t, asked, goOn, 1500*time.Millisecond+time.Millisecond)
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "late", 1), startedOf("late"), finishedOf("late"))
	late.want("started late", "finished late")
	late.wantEnd(nil)
}

// TestR41GoingDurable: the client moves at once.
func TestR41GoingDurable(t *testing.T) {
	p := newPeer(t, helloDurable)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.say(`["going",{"retryAfter":-3}]`)
	conn.wantClosed(agloop.CloseNormal)
	conn = p.accept()
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), finishedOf("r"))
	w.want("finished r")
	w.wantEnd(nil)
}

// TestR41StartThatCameTooLate: a server that goes has not begun it, so the next one is asked.
func TestR41StartThatCameTooLate(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(`["rejected",{"ref":"` + conn.want("start") + `","code":"shutting_down"}]`)
	conn.wantClosed(agloop.CloseNormal)
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), finishedOf("r"))
	w.want("started r", "finished r")
	w.wantEnd(nil)
}

// TestR27LimitsOfHello are kept to.
func TestR27LimitsOfHello(t *testing.T) {
	p := newPeer(t, helloDurable)
	c, conn := p.dial(nil)
	in := inputFor("big")
	in.State = []byte(`"` + strings.Repeat("x", 400) + `"`)
	if _, err := told(c.Run(t.Context(), in)); !errors.Is(err, agloop.ErrInputTooBig) {
		t.Errorf("a large input: %v", err)
	}
	a, b := running(t, c, inputFor("a")), (*watch)(nil)
	refA := conn.want("start")
	b = running(t, c, inputFor("b"))
	refB := conn.want("start")
	_, err := told(c.Attach(t.Context(), "t", "c", agloop.Cursor{}))
	if full, ok := errors.AsType[*agloop.RejectedError](err); !ok || full.Code != control.CodeAttachments {
		t.Errorf("a third attachment of two: %v", err)
	}
	conn.say(selects(1, refA, "a", 1), startedOf("a"), selects(2, refB, "b", 1), startedOf("b"))
	a.want("started a")
	b.want("started b")
	conn.say(onto(1, 2), finishedOf("a"), onto(2, 2), finishedOf("b"))
	a.want("finished a")
	b.want("finished b")
}

// TestR27FewControlsWait: after a reconnect no more are unanswered than a server lets wait.
func TestR27FewControlsWait(t *testing.T) {
	p := newPeer(t, strings.Replace(helloProcess, `"controls":64`, `"controls":4`, 1))
	c, conn := p.dial(nil)
	const n = 5
	var all [n]*watch
	for i := range n {
		id := fmt.Sprint(i)
		all[i] = running(t, c, inputFor(id))
		conn.say(selects(i+1, conn.want("start"), id, 1), startedOf(id))
		all[i].want("started " + id)
	}
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	refs, sent := map[string]string{}, []string{}
	read := func() {
		_, m := conn.next()
		refs[m["runId"].(string)] = m["ref"].(string)
		sent = append(sent, m["runId"].(string))
	}
	read()
	read()
	for i := range n {
		id := sent[i]
		conn.silent()
		if id == "2" {
			conn.say(`["gone",{"ref":"` + refs[id] + `"}]`)
			all[2].wantEnd(agloop.ErrGone)
		} else {
			conn.say(selects(i+1, refs[id], id, 2))
		}
		if i+2 < n {
			read()
		}
	}
	conn.silent()
}

// TestR25Secret: the session of the first connection is joined by the later ones, and by another
// client that was given its secret.
func TestR25Secret(t *testing.T) {
	hello := func(secret string) string {
		return strings.Replace(helloProcess, `"boot"`, `"secret":"`+secret+`","boot"`, 1)
	}
	p := newPeer(t, hello("s1"), hello("s2"), hello("s3"), hello("s4"))
	c, conn := p.dial(nil)
	conn.silent()
	if got := c.Secret(); got != "s1" {
		t.Errorf("secret %q", got)
	}
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("bind", "secret", "s1")
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), says("2"))
	w.want("2")

	other, conn2 := p.dial(func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = c.Secret() })
	ref = conn2.want("bind", "secret", "s1")
	if got := other.Secret(); got != "s1" {
		t.Errorf("secret %q", got)
	}
	conn2.say(`["gone",{"ref":"` + ref + `"}]`)
	testkit.Await(t, "the session is another one", func() bool { return other.Secret() == "s3" })
}

// TestR30BareServer: what needs agloop.v1 says so, and Resume can be off.
func TestR30BareServer(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, attach := told(c.Attach(t.Context(), "t", "r", agloop.Cursor{}))
	_, follow := told(c.Follow(t.Context(), "t"))
	_, steer := c.Steer(t.Context(), "t", "r", "x")
	for _, err := range []error{attach, follow, steer, c.Cancel(t.Context(), "t", "r")} {
		if !errors.Is(err, agloop.ErrNoResume) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
	offered := make(chan []string, 1)
	_, addr = serve(t, agloop.ServerConfig{Agent: hello, Authorize: func(_ context.Context, r *agloop.Request) (agloop.Grant, error) {
		offered <- r.Protocols
		return agloop.Grant{}, nil
	}})
	for _, off := range []bool{false, true} {
		cfg := agloop.ClientConfig{Protocols: []string{"other"}, Resume: agloop.Resume{Off: off}}
		c, err := agloop.Dial(t.Context(), wsURL(addr), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		want := "[agloop.v1.json other]"
		if off {
			want = "[other]"
		}
		if got := fmt.Sprint(testkit.Receive(t, "the offer", offered)); got != want {
			t.Errorf("offered %s, want %s", got, want)
		}
	}
}

// TestR30ServerChanges: the next server does not speak agloop.v1, and the one after that does.
func TestR30ServerChanges(t *testing.T) {
	p := newPeer(t)
	_, bare := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		<-ctx.Done()
		return nil
	})})
	var mu sync.Mutex
	addr := strings.TrimSuffix(strings.TrimPrefix(p.url, "ws://"), "/ws")
	resumable := addr
	set := func(to string) {
		mu.Lock()
		defer mu.Unlock()
		addr = to
	}
	c, conn := p.dial(func(cfg *agloop.ClientConfig) {
		cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	set(bare)
	conn.Close(agloop.CloseRestart, "")
	if err := w.wantEnd(agloop.ErrTruncated); !errors.Is(err, agloop.ErrNoResume) {
		t.Errorf("the run ended with %v", err)
	}
	set(resumable)
	n := 0
	for _, err := range c.Run(t.Context(), inputFor("bare")) {
		if n++; err != nil {
			t.Error(err)
		}
		break // closes the connection
	}
	if n != 1 {
		t.Errorf("%d events of a bare run", n)
	}
	again := running(t, c, inputFor("again"))
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "again", 1), startedOf("again"), finishedOf("again"))
	again.want("started again", "finished again")
	again.wantEnd(nil)
}

// TestR41CutInAFrame: a connection that ends in the middle of a frame, without a word.
func TestR41CutInAFrame(t *testing.T) {
	ln := listenSilently(t)
	conns := make(chan *testkit.Peer, 2)
	go func() {
		for range cap(conns) {
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
				handshake.AppendSwitchingProtocols(nil, key, control.Protocol, nil),
				testkit.Plain(0b1_000_0001, []byte(helloProcess)),
			)
			conns <- conn
		}
	}()
	c, err := agloop.Dial(t.Context(), wsURL(ln.Addr().String()), agloop.ClientConfig{
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

// TestTransportRunSurvives: the run keeps its place while its connection is dialled again, and
// others wait; left early it costs nothing.
func TestTransportRunSurvives(t *testing.T) {
	p := newPeer(t)
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{p.url}, ReconnectMin: time.Millisecond, ReconnectMax: 4 * time.Millisecond})
	conn := p.accept()
	results := make(chan string, 2)
	go func() {
		got, err := transportRun(t.Context(), tr, "r")
		results <- fmt.Sprint(got, " ", err)
	}()
	ref := conn.want("start")
	conn.say(selects(1, ref, "r", 1), startedOf("r"))
	testkit.Await(t, "RUN_STARTED is handled", func() bool { return tr.Stats().EventsIn == 1 })
	go func() {
		got, err := transportRun(t.Context(), tr, "next")
		results <- fmt.Sprint(got, " ", err)
	}()
	testkit.Await(t, "a run waits", func() bool { return tr.Stats().Waiting == 1 })
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	if st := tr.Stats(); st.Busy != 1 || st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	conn.say(selects(1, ref, "r", 2), says("2"), finishedOf("r"))
	if got := testkit.Receive(t, "the run", results); got != "RUN_STARTED CUSTOM RUN_FINISHED <nil>" {
		t.Errorf("got %s", got)
	}
	conn.say(selects(2, conn.want("start"), "next", 1), startedOf("next"), finishedOf("next"))
	if got := testkit.Receive(t, "the next run", results); got != "RUN_STARTED RUN_FINISHED <nil>" {
		t.Errorf("got %s", got)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "left"}) {
			break
		}
	}()
	conn.say(selects(3, conn.want("start"), "left", 1), startedOf("left"))
	conn.want("leave", "run", 3.0)
	testkit.Receive(t, "the end of the loop", ended)
	if st := tr.Stats(); st.Up != 1 || st.Lost != 1 || st.Runs != 3 || st.RunsFailed != 0 || st.Busy != 0 {
		t.Errorf("%+v", st)
	}
	if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: "s"}); !errors.Is(err, agloop.ErrEventsOneWay) {
		t.Errorf("SendEvent: %v", err)
	}
	waits := make(chan error, 1)
	go func() { _, err := transportRun(t.Context(), tr, "stopped"); waits <- err }()
	conn.say(selects(4, conn.want("start"), "stopped", 1), startedOf("stopped"))
	if err := tr.Stop(); err != nil {
		t.Error(err)
	}
	if err := testkit.Receive(t, "the run", waits); !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("a run of a transport that stops: %v", err)
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
