package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// serverStorm is the storm of the server process: it is killed with SIGKILL, and started again on the same
// port, where it knows nothing of the runs before.
type serverStorm struct {
	*tally
	o      options
	cfg    serverConfig
	proxy  *proxy
	groups []group

	// Any goroutine.
	started atomic.Int64  // runs
	applied atomic.Int64  // events, by those who have started the runs
	calm    chan struct{} // closed when the server is not killed any more

	// Any goroutine, under the tally's mu.
	hearings  map[*hearing]struct{} // under way
	deaths    []time.Time           // of the server, one for each of its lives but the last
	told      []loss
	ended     []heard // runs that have come to their end for somebody
	truncated int     // runs that were lost, for those who had started them
	unknown   int     // of them, those of which nobody knows whether they had begun
	completed int     // runs that have ended well after the first death
}

// heard is what somebody has heard of a run; who is "" for who started it.
type heard struct {
	who   string
	judge *judge
}

// hearing is somebody's hearing of one run.
type hearing struct {
	// Immutable.
	run    string
	who    string // hears it; "" for who started it
	by     *socket
	began  time.Time
	over   chan struct{} // closed when it is
	cancel context.CancelFunc
}

func (h *hearing) String() string {
	if h.who == "" {
		return "run " + h.run
	}
	return h.who + " of run " + h.run
}

// loss is that somebody was told that a run is lost.
type loss struct {
	*hearing
	at   time.Time
	took time.Duration // from the moment at which there was a connection again
}

// stormServer has the server killed again and again in the midst of runs.
func stormServer(ctx context.Context, o options, t *tally) error {
	dir, err := os.MkdirTemp("", "agloop-storm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	addr, err := quietAddr(o.seed)
	if err != nil {
		return err
	}
	s := &serverStorm{tally: t, o: o, hearings: make(map[*hearing]struct{}), calm: make(chan struct{})}
	s.cfg = serverConfig{Addr: addr, Record: filepath.Join(dir, "record"), Length: o.length(), Pace: o.pace / 2, Seed: o.seed}
	c, err := s.start(ctx)
	if err != nil {
		return err
	}
	if s.proxy, err = newProxy(addr, o.seed, false); err == nil {
		c, err = s.serveClients(ctx, c)
		s.proxy.close()
	}
	if c != nil {
		c.kill()
		_ = c.wait() // it was killed
	}
	if err != nil {
		return err
	}
	return s.judge()
}

// serveClients has the clients make their runs, while the server is killed. It returns the last one.
func (s *serverStorm) serveClients(ctx context.Context, c *child) (_ *child, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.groups = make([]group, s.o.sockets)
	for i := range s.groups { // all before the first death
		defer s.groups[i].leave()
		if err := s.groups[i].connect(ctx, s, i); err != nil {
			return c, err
		}
	}
	var all sync.WaitGroup
	for i := range s.groups {
		all.Go(func() { s.groups[i].run(ctx) })
	}
	if c, err = s.kill(ctx, c); err != nil {
		cancel()
	}
	close(s.calm)
	all.Wait()
	return c, err
}

// quietAddr is an address whose port the kernel gives to nobody else: a client that dials it while
// nobody listens there could else be connected to itself.
func quietAddr(seed uint64) (addr string, err error) {
	rnd := random(seed, "port")
	for range 100 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rnd.IntN(10_000))); err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", err
}

// start starts the server and waits until it takes connections.
func (s *serverStorm) start(ctx context.Context) (*child, error) {
	arg, err := json.Marshal(s.cfg)
	if err != nil {
		return nil, err
	}
	s.cfg.Life++
	c, err := startChild(serverCommand, string(arg))
	if err != nil {
		return nil, err
	}
	select {
	case line, ok := <-c.lines:
		if ok && line == lineReady {
			return c, nil
		}
		err = fmt.Errorf("the server process says %q", line)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	c.kill()
	_ = c.wait()
	return nil, err
}

// kill kills the server, and starts it again when everybody has heard of it. It returns the last one.
func (s *serverStorm) kill(ctx context.Context, c *child) (*child, error) {
	var unheard sync.WaitGroup
	defer unheard.Wait()
	kills := max(s.o.kills/2, 2)
	for n := range kills {
		rnd := random(s.o.seed, fmt.Sprint("death ", n))
		for int(s.started.Load()) < (n+1)*s.o.runs/(kills+1) {
			if !linger(ctx, time.Millisecond) {
				return c, context.Cause(ctx)
			}
		}
		linger(ctx, killSoonest+time.Duration(rnd.Int64N(int64(s.cfg.Pace))))
		s.proxy.deafen()
		for i := range s.groups {
			unheard.Go(func() { s.groups[i].startUnheard(ctx, n) })
		}
		linger(ctx, killLatest/2+time.Duration(rnd.Int64N(int64(killLatest/2))))
		live := s.live()
		s.mu.Lock()
		s.deaths = append(s.deaths, time.Now())
		s.mu.Unlock()
		c.kill()
		if err := c.wait(); err == nil || c.cmd.ProcessState.Exited() {
			return nil, fmt.Errorf("the server process has ended by itself: %w", err)
		}
		var err error
		if c, err = s.start(ctx); err != nil {
			return nil, err
		}
		s.awaitTold(ctx, live)
	}
	return c, nil
}

// live are the hearings under way.
func (s *serverStorm) live() (list []*hearing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.hearings {
		list = append(list, h)
	}
	return list
}

// awaitTold waits until everybody has been told of the end of a run that the server has lost. Who has
// not after a long time never will.
func (s *serverStorm) awaitTold(ctx context.Context, live []*hearing) {
	patience := time.NewTimer(s.cfg.Pace + 10*s.o.within)
	defer patience.Stop()
	for i, h := range live {
		select {
		case <-h.over:
			continue
		case <-patience.C:
		case <-ctx.Done():
			return
		}
		for _, h := range live[i:] {
			select {
			case <-h.over:
			default:
				s.fault("%v: the server has lost it, and nobody was told", h)
				s.mu.Lock()
				s.lost++
				s.mu.Unlock()
				h.cancel()
			}
		}
		return
	}
}

// begin notes a hearing.
func (s *serverStorm) begin(ctx context.Context, by *socket, who, run string) (context.Context, *hearing) {
	ctx, cancel := context.WithCancel(ctx)
	h := &hearing{run: run, who: who, by: by, began: time.Now(), over: make(chan struct{}), cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearings[h] = struct{}{}
	return ctx, h
}

// end notes that a hearing is over.
func (s *serverStorm) end(h *hearing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hearings, h)
	h.cancel()
	close(h.over)
}

// noteLoss notes that somebody is told that a run is lost.
func (s *serverStorm) noteLoss(h *hearing) {
	now, from := time.Now(), time.Unix(0, h.by.opened.Load())
	if from.Before(h.began) {
		from = h.began
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Duration(0)
	if n := len(s.deaths); n > 0 && from.After(s.deaths[n-1]) { // else the news of the connection is on its way
		took = now.Sub(from)
	}
	s.told = append(s.told, loss{h, now, took})
}

// judge compares what was heard with what the agents of all servers have emitted.
func (s *serverStorm) judge() error {
	records, err := readRecords(s.cfg.Record)
	if err != nil {
		return err
	}
	for _, r := range records {
		if s.events += r.Truth.Events + 1; r.Truth.Over {
			s.events++
		}
		if r.Truth.Calls > 1 {
			s.fault("run %s was executed %d times", r.Run, r.Truth.Calls)
			s.doubled++
		}
	}
	followed := 0
	for _, e := range s.ended {
		t := records[e.judge.Run].Truth
		if !t.Over {
			s.fault("run %s has ended, and its agent has not", e.judge.Run)
		}
		e.judge.finish(t)
		s.heard(e.who, e.judge)
		if e.who == aFollower {
			followed++
		}
	}
	for _, l := range s.told {
		if l.took > s.o.within {
			s.fault("%v: that it is lost was told after %v", l, l.took)
			s.lost++
		}
		r, ran := records[l.run]
		if ran && (r.Life >= len(s.deaths) || l.at.Before(s.deaths[r.Life])) {
			s.fault("%v: it was lost, and its server lived", l)
			s.lost++
		}
	}
	slices.SortFunc(s.told, func(a, b loss) int { return cmp.Compare(a.took, b.took) })
	worst := func(share float64) int {
		if len(s.told) == 0 {
			return 0
		}
		return int(s.told[int(share*float64(len(s.told)-1))].took.Milliseconds())
	}
	deaths := len(s.deaths)
	s.figure("killed", deaths, 1)
	s.figure("runs cut short", s.truncated, deaths)
	s.figure("starts unknown", s.unknown, deaths*s.o.sockets/2)
	s.figure("told", len(s.told), s.truncated)
	s.figure("ms to tell, p99", worst(.99), 0)
	s.figure("at most", worst(1), 0)
	s.figure("completed after a restart", s.completed, s.o.sockets)
	s.figure("followed", followed, s.o.sockets/8)
	s.figure("events", s.events, s.o.events)
	return nil
}
