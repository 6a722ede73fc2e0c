package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

// breaker is a TCP proxy between clients and a server, which breaks connections as its test says.
type breaker struct {
	// Immutable.
	ln     net.Listener
	silent chan *broken // connections that have fallen silent, for the test to end

	// Any goroutine, under mu.
	mu      sync.Mutex
	to      string     // address of the server
	plan    func() cut // what becomes of the next connection; nil: nothing
	open    map[*broken]struct{}
	refuses bool // it ends new connections at once
	cuts    int  // connections that were ended
	work    sync.WaitGroup
}

// cut is how a connection ends.
type cut struct {
	after      int  // bytes of one direction; 0 is never
	fromClient bool // which of the two
	way        cutWay
}

type cutWay int

const (
	cutClosed cutWay = iota
	cutReset
	cutSilent // until the test ends it
	cutWays
)

// broken is one connection through a breaker.
type broken struct {
	near, far *net.TCPConn
	mute      atomic.Bool // nothing gets through
	deaf      atomic.Bool // nothing of the server's does
}

// newBreaker is a breaker to a server, which ends with the test.
func newBreaker(t testing.TB, to string) *breaker {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &breaker{ln: ln, to: to, open: make(map[*broken]struct{}), silent: make(chan *broken, 1000)}
	r.work.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		r.cutAll(cutReset)
		r.work.Wait()
	})
	return r
}

func (r *breaker) url() string { return wsURL(r.ln.Addr().String()) }

func (r *breaker) accept() {
	for {
		nc, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.connect(nc.(*net.TCPConn)) })
	}
}

// connect relays one connection.
func (r *breaker) connect(near *net.TCPConn) {
	defer near.Close()
	r.mu.Lock()
	to, refuses := r.to, r.refuses
	r.mu.Unlock()
	if refuses {
		return
	}
	nc, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	c := &broken{near: near, far: nc.(*net.TCPConn)}
	defer c.far.Close()
	r.mu.Lock()
	if r.refuses {
		r.mu.Unlock()
		return
	}
	var end cut
	if r.plan != nil {
		end = r.plan()
	}
	r.open[c] = struct{}{}
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { r.pipe(c, true, end) })
	both.Go(func() { r.pipe(c, false, end) })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
}

// pipe relays one direction.
func (r *breaker) pipe(c *broken, fromClient bool, end cut) {
	from, to := c.far, c.near
	if fromClient {
		from, to = to, from
	}
	left := 0
	if end.fromClient == fromClient {
		left = end.after
	}
	buf := make([]byte, 4096)
	for {
		b := buf
		if left > 0 {
			b = buf[:min(len(buf), left)]
		}
		n, err := from.Read(b)
		if n > 0 && !c.mute.Load() && (fromClient || !c.deaf.Load()) {
			_, _ = to.Write(b[:n]) // who is gone is seen when it is read from
		}
		if err != nil {
			c.cut(cutClosed)
			return
		}
		if left > 0 {
			if left -= n; left == 0 {
				r.mu.Lock()
				r.cuts++
				r.mu.Unlock()
				if end.way == cutSilent {
					c.mute.Store(true)
					r.silent <- c
				} else {
					c.cut(end.way)
				}
			}
		}
	}
}

// cut ends a connection.
func (c *broken) cut(way cutWay) {
	if way == cutReset {
		_ = c.near.SetLinger(0)
		_ = c.far.SetLinger(0)
	}
	c.near.Close()
	c.far.Close()
}

// cutAll ends what is open.
func (r *breaker) cutAll(way cutWay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.cut(way)
	}
}

// down ends what is open, and what comes until up is called.
func (r *breaker) down() {
	r.set(func() { r.refuses = true })
	r.cutAll(cutReset)
}

func (r *breaker) up() { r.set(func() { r.refuses = false }) }

// moveTo has new connections go to another server.
func (r *breaker) moveTo(addr string) { r.set(func() { r.to = addr }) }

// deafen has nothing of the server's get through any more on what is open.
func (r *breaker) deafen() {
	r.set(func() {
		for c := range r.open {
			c.deaf.Store(true)
		}
	})
}

func (r *breaker) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// killing plans the ends of the next connections, n of them: at any byte, in any way. Those after
// them last.
func (r *breaker) killing(seed uint64, n, most int, ways ...cutWay) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	r.set(func() {
		r.plan = func() cut {
			if n == 0 {
				return cut{}
			}
			n--
			end := cut{after: 1 + rnd.IntN(most), way: ways[rnd.IntN(len(ways))]}
			if rnd.IntN(4) == 0 {
				end.fromClient, end.after = true, 1+rnd.IntN(600)
			}
			return end
		}
	})
}

// chronicle is the events of a run, a line for each; the pieces of a text are one line as long as
// they follow each other, since a server may join them.
type chronicle struct {
	lines []string
	piece string // what the last line is a text of; "" for another event
	units int    // events, a joined one counts for all
}

func (c *chronicle) add(ev agui.Event) {
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		c.addPiece("text "+e.MessageID+": ", e.Delta)
	case *agui.ToolCallArgs:
		c.addPiece("args "+e.ToolCallID+": ", e.Delta)
	case *agui.RunStarted: // its input depends on who asks
		c.addLine("started " + e.ThreadID + " " + e.RunID)
	default:
		line, err := event.Append(nil, ev)
		if err != nil {
			line = []byte(err.Error())
		}
		c.addLine(string(line))
	}
}

func (c *chronicle) addLine(line string) {
	c.lines, c.piece = append(c.lines, line), ""
	c.units++
}

// addPiece adds a piece, whose words end with a space each.
func (c *chronicle) addPiece(of, delta string) {
	if c.piece == of {
		c.lines[len(c.lines)-1] += delta
	} else {
		c.lines, c.piece = append(c.lines, of+delta), of
	}
	c.units += strings.Count(delta, " ")
}

// clone is a copy that may be added to.
func (c *chronicle) clone() chronicle {
	return chronicle{slices.Clone(c.lines), c.piece, c.units}
}

// same compares what was heard of a run with what there was.
func (c *chronicle) same(t testing.TB, what string, want []string) {
	t.Helper()
	if slices.Equal(c.lines, want) {
		return
	}
	for i := range max(len(c.lines), len(want)) {
		got, wanted := "nothing", "nothing"
		if i < len(c.lines) {
			got = c.lines[i]
		}
		if i < len(want) {
			wanted = want[i]
		}
		if got != wanted {
			t.Errorf("%s: line %d of %d, %d wanted, is\n%s\nwant\n%s", what, i, len(c.lines), len(want), got, wanted)
			return
		}
	}
}

// teller is an agent whose runs tell tales, and which knows what each has told.
type teller struct {
	rounds int // messages of a run
	lag    int // how many units a run is ahead of who hears it; 0 is any number

	// Any goroutine.
	running atomic.Int64
	waiting atomic.Int64 // of running, those that are far enough ahead

	// Any goroutine, under mu.
	mu    sync.Mutex
	tales map[string]*tale
}

// tale is one run of a teller.
type tale struct {
	// Immutable.
	thread, run string
	heard       atomic.Int64
	more        chan struct{} // holds a token when heard has changed
	began       chan struct{} // closed at the agent's first call

	// Any goroutine, under the teller's mu.
	calls   int
	told    chronicle
	closing string // line of what is open, "" for nothing
	ended   error  // what the agent returned
	steered []string
}

func newTeller(rounds, lag int) *teller {
	return &teller{rounds: rounds, lag: lag, tales: make(map[string]*tale)}
}

// of is the tale of a run.
func (s *teller) of(thread, run string) *tale {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := thread + "/" + run
	if s.tales[k] == nil {
		s.tales[k] = &tale{thread: thread, run: run, more: make(chan struct{}, 1), began: make(chan struct{})}
	}
	return s.tales[k]
}

// Run implements agloop.Agent.
func (s *teller) Run(ctx context.Context, r *agloop.Run) (err error) {
	t := s.of(r.Input.ThreadID, r.Input.RunID)
	s.running.Add(1)
	defer s.running.Add(-1)
	s.mu.Lock()
	if t.calls++; t.calls == 1 {
		close(t.began)
	}
	s.mu.Unlock()
	err = s.tell(ctx, r, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.ended = err
	return err
}

func (s *teller) tell(ctx context.Context, r *agloop.Run, t *tale) error {
	steering := r.Steering()
	for i := range s.rounds {
		id := fmt.Sprintf("%s-%d", t.run, i)
		if err := s.item(ctx, r, t, &agui.TextMessageStart{MessageID: id, Role: agui.RoleAssistant}, &agui.TextMessageEnd{MessageID: id}, 12,
			func(word string) agui.Event { return &agui.TextMessageContent{MessageID: id, Delta: word} }); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := s.item(ctx, r, t, &agui.ToolCallStart{ToolCallID: id, ToolCallName: "f"}, &agui.ToolCallEnd{ToolCallID: id}, 5,
				func(word string) agui.Event { return &agui.ToolCallArgs{ToolCallID: id, Delta: word} }); err != nil {
				return err
			}
		}
		patch := []agui.PatchOp{{Op: agui.PatchAdd, Path: "/" + id, Value: []byte("1")}}
		if err := s.emit(ctx, r, t, &agui.StateDelta{Delta: patch}, ""); err != nil {
			return err
		}
		select {
		case <-steering:
			if err := s.take(r, t); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

// take takes what was said to the run.
func (s *teller) take(r *agloop.Run, t *tale) error {
	text, ok, err := r.TakeSteer()
	if !ok {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.steered = append(t.steered, text)
	t.told.addLine("steered " + text)
	return nil
}

// item tells something that has a begin, pieces and an end.
func (s *teller) item(ctx context.Context, r *agloop.Run, t *tale, begin, end agui.Event, pieces int, piece func(string) agui.Event) error {
	line, err := event.Append(nil, end)
	if err != nil {
		return err
	}
	if err := s.emit(ctx, r, t, begin, string(line)); err != nil {
		return err
	}
	for i := range pieces {
		if err := s.emit(ctx, r, t, piece(fmt.Sprint(i, " ")), string(line)); err != nil {
			return err
		}
	}
	return s.emit(ctx, r, t, end, "")
}

// emit emits an event and notes it, when who hears the run is not too far behind.
func (s *teller) emit(ctx context.Context, r *agloop.Run, t *tale, ev agui.Event, closing string) error {
	if err := s.await(ctx, t); err != nil {
		return err
	}
	if err := r.Emit(ev); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.told.add(ev)
	t.closing = closing
	return nil
}

func (s *teller) await(ctx context.Context, t *tale) error {
	s.mu.Lock()
	units := t.told.units + 1 // RUN_STARTED
	s.mu.Unlock()
	if s.lag == 0 || units < int(t.heard.Load())+s.lag {
		return ctx.Err()
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for units >= int(t.heard.Load())+s.lag {
		select {
		case <-t.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// whole is what there is to hear of a run that has ended.
func (s *teller) whole(thread, run string) []string {
	t := s.of(thread, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := append([]string{"started " + thread + " " + run}, t.told.lines...)
	end := &agui.RunFinished{ThreadID: thread, RunID: run}
	if errors.Is(t.ended, context.Canceled) {
		if t.closing != "" {
			lines = append(lines, t.closing)
		}
		end.Outcome = &agui.Outcome{Type: agui.OutcomeCancelled}
	}
	line, _ := event.Append(nil, end)
	return append(lines, string(line))
}

// calls is how often the agent was called for a run.
func (s *teller) calls(thread, run string) int {
	t := s.of(thread, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.calls
}

// hear reads a sequence to its end, and lets its run go on as it does.
func (s *teller) hear(thread, run string, seq iter.Seq2[agui.Event, error]) (got chronicle, err error) {
	return s.goOn(thread, run, chronicle{}, seq)
}

// goOn is hear behind what was heard before.
func (s *teller) goOn(thread, run string, got chronicle, seq iter.Seq2[agui.Event, error]) (_ chronicle, err error) {
	t := s.of(thread, run)
	for ev, e := range seq {
		if err = e; e == nil {
			got.hear(ev)
			t.advance(got.units)
		}
	}
	return got, err
}

// hear is add of an event that came, in which the message of a steer is one line.
func (c *chronicle) hear(ev agui.Event) {
	switch e := ev.(type) {
	case *agui.TextMessageStart:
		if e.Role == agui.RoleUser {
			return
		}
	case *agui.TextMessageContent:
		if strings.HasPrefix(e.MessageID, "steer-") {
			c.addLine("steered " + e.Delta)
			return
		}
	case *agui.TextMessageEnd:
		if strings.HasPrefix(e.MessageID, "steer-") {
			return
		}
	}
	c.add(ev)
}

// advance lets a run go on to so many units, and what it may be ahead.
func (t *tale) advance(units int) {
	t.heard.Store(int64(units))
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// release lets a run go on to its end.
func (t *tale) release() { t.advance(1 << 40) }

// sweep ends the connections of a breaker that have fallen silent, each when no run goes on any
// further, until the test is over.
func (s *teller) sweep(t testing.TB, r *breaker) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case c := <-r.silent:
				testkit.Await(t, "the runs wait for who hears them", func() bool {
					return ctx.Err() != nil || s.waiting.Load() >= s.running.Load()
				})
				c.cut(cutReset)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// client is one whose connections go through a breaker. Where the server asks it is ann.
func (r *breaker) client(t testing.TB, edit func(*agloop.ClientConfig)) *agloop.Client {
	t.Helper()
	cfg := agloop.ClientConfig{Logger: quiet, Header: http.Header{"Authorization": {"ann"}}}
	cfg.Resume.MinBackoff, cfg.Resume.MaxBackoff = time.Millisecond, 2*time.Millisecond
	if edit != nil {
		edit(&cfg)
	}
	c, err := agloop.Dial(t.Context(), r.url(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// inThread is the input of a run.
func inThread(thread, run string) *agui.RunAgentInput {
	return &agui.RunAgentInput{ThreadID: thread, RunID: run}
}

// runWhole makes a run and compares what it hears.
func (s *teller) runWhole(t testing.TB, c *agloop.Client, thread, run string) {
	t.Helper()
	got, err := s.hear(thread, run, c.Run(t.Context(), inThread(thread, run)))
	s.wantWhole(t, thread, run, got, err)
}

// wantWhole fails unless a run was heard from its first event to its last, once, and its agent was
// called once.
func (s *teller) wantWhole(t testing.TB, thread, run string, got chronicle, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("run %s ended with %v", run, err)
		return
	}
	got.same(t, "run "+run, s.whole(thread, run))
	if n := s.calls(thread, run); n != 1 {
		t.Errorf("the agent was called %d times for run %s", n, run)
	}
}

// folding keeps few events as they are, so that most are folded.
func folding() agloop.RunsConfig { return agloop.RunsConfig{WindowEvents: 8} }
