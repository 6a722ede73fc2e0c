package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// socketsOfProcess is how many sockets of the first storm a client process stands for. Each has the
// runs of all of them.
const socketsOfProcess = 8

// clientStorm is the storm of the client processes.
type clientStorm struct {
	*tally
	o       options
	clients int
	dir     string
	addr    string
	agent   *teller

	cancelled, steered atomic.Int64
}

// stormClients has client processes killed with SIGKILL, and started again, until their runs have
// ended.
func stormClients(ctx context.Context, o options, t *tally) error {
	dir, err := os.MkdirTemp("", "agloop-storm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ln, err := loopback()
	if err != nil {
		return err
	}
	s := &clientStorm{tally: t, o: o, clients: max(o.sockets/socketsOfProcess, 2), dir: dir, addr: ln.Addr().String()}
	s.agent = &teller{length: o.length(), pace: o.pace, seed: o.seed, ahead: o.length() / 4}
	srv, stop := serve(hostConfig(s.agent), ln)
	var all sync.WaitGroup
	for i := range s.clients {
		all.Go(func() {
			if err := s.keep(ctx, i); err != nil {
				t.fault("client process %d: %v", i, err)
			}
		})
	}
	all.Wait()
	t.events += s.agent.events()
	t.figure("processes", s.clients, 2)
	t.figure("killed", t.reconnects, 2*s.clients)
	t.figure("cancelled", int(s.cancelled.Load()), o.runs/10)
	t.figure("steered", int(s.steered.Load()), o.runs/20)
	t.figure("events", t.events, o.events)
	checkStats(ctx, srv, s.agent, o.runs, t)
	return stop()
}

// keep keeps one client process running until its runs have ended, and judges what it has stored.
func (s *clientStorm) keep(ctx context.Context, number int) error {
	cfg := clientConfig{
		Dir: filepath.Join(s.dir, fmt.Sprint(number)), Addr: s.addr, Number: number, Principal: identityOf(number).principal,
		Runs: s.o.runs, Clients: s.clients, Events: s.o.events, Seed: s.o.seed,
	}
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		return err
	}
	plans := plansOf(s.o, number, s.clients)
	var steers sync.WaitGroup
	for _, p := range plans {
		if p.steerAt >= 0 {
			steers.Go(func() { s.steer(ctx, &cfg, p) })
		}
	}
	for life, done := 0, false; !done; life++ {
		var err error
		if done, err = s.oneLife(ctx, cfg, life); err != nil {
			return err
		}
	}
	steers.Wait()
	return s.verify(ctx, &cfg, plans)
}

// oneLife is the life of one process. It reports whether that had nothing left to do.
func (s *clientStorm) oneLife(ctx context.Context, cfg clientConfig, life int) (done bool, err error) {
	cfg.Life = life
	arg, err := json.Marshal(cfg)
	if err != nil {
		return false, err
	}
	c, err := startChild(clientCommand, string(arg))
	if err != nil {
		return false, err
	}
	defer context.AfterFunc(ctx, c.kill)()
	rnd := random(s.o.seed, fmt.Sprint("killer ", cfg.Number, " ", life))
	killed := false
	var due <-chan time.Time
	kills := life < s.o.kills
	if kills && rnd.IntN(4) == 0 { // before anything may have come
		due = time.After(time.Duration(rnd.Int64N(int64(killLatest))))
	}
	for {
		select {
		case <-due:
			killed = true
			c.kill()
		case line, ok := <-c.lines:
			var run string
			var at int
			stored, _ := fmt.Sscanf(line, lineStored, &run, &at)
			switch {
			case stored == 2:
				s.agent.heard(run, at)
				if due == nil && kills {
					due = time.After(killSoonest + time.Duration(rnd.Int64N(int64(killLatest-killSoonest))))
				}
			case ok && line == lineDone:
				done = true
			case ok:
				s.fault("client process %d: %s", cfg.Number, line)
			default:
				err := c.wait()
				switch {
				case ctx.Err() != nil:
					return false, context.Cause(ctx)
				case err == nil && done:
					return true, nil
				case !killed:
					return false, fmt.Errorf("it ended with %w", err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.reconnects++
				return done, nil
			}
		}
	}
}

// steer says something to a run of a client process, as another client of that user.
func (s *clientStorm) steer(ctx context.Context, cfg *clientConfig, p *plan) {
	select {
	case <-s.agent.of(p.run).began:
	case <-ctx.Done():
		return
	}
	who, err := cfg.identity()
	if err != nil {
		s.fault("steer of %s: %v", p.run, err)
		return
	}
	c, err := dial(ctx, s.addr, who, nil)
	if err != nil {
		s.fault("steer of %s: %v", p.run, err)
		return
	}
	defer c.Close()
	p.steer(ctx, s.o.seed, c, s.tally)
	s.steered.Add(1)
}

// verify judges what a client process has stored, and attaches to its runs once more.
func (s *clientStorm) verify(ctx context.Context, cfg *clientConfig, plans []*plan) error {
	who, err := cfg.identity()
	if err != nil {
		return err
	}
	c, err := dial(ctx, s.addr, who, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	state := &store{dir: cfg.Dir}
	for _, p := range plans {
		k, err := state.open(p.run)
		if err != nil {
			return err
		}
		k.file.Close()
		p.judge = &k.Judge
		s.mu.Lock()
		s.runs++
		s.mu.Unlock()
		t := s.agent.truth(p.run)
		p.judgeOwner(t, s.tally)
		if p.judge.cancelled() {
			s.cancelled.Add(1)
		}
		p.verify(ctx, c, t, s.tally)
	}
	return nil
}
