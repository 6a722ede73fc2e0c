package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/client"
)

// socketStorm is the storm of the sockets.
type socketStorm struct {
	*tally
	o     options
	agent *teller
	near  string // address of the proxy
	far   string // of the server

	visits, returns, followed, cancelled, steered atomic.Int64
}

// stormSockets has the connections of all clients killed, again and again, until their runs have
// ended.
func stormSockets(ctx context.Context, o options, t *tally) error {
	ln, err := loopback()
	if err != nil {
		return err
	}
	s := &socketStorm{tally: t, o: o, far: ln.Addr().String()}
	s.agent = &teller{length: o.length(), pace: o.pace, seed: o.seed, ahead: o.length() / 2}
	srv, stop := serve(hostConfig(s.agent), ln)
	p, err := newProxy(s.far, o.seed, true)
	if err != nil {
		return err
	}
	s.near = p.addr()
	var all sync.WaitGroup
	for i := range o.sockets {
		all.Go(func() {
			if err := s.own(ctx, i); err != nil {
				t.fault("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
	p.close()
	t.events += s.agent.events()
	for way := killClosed; way < killWays; way++ {
		t.figure(wayNames[way], int(p.killed[way].Load()), o.sockets/8)
	}
	t.figure("cancelled", int(s.cancelled.Load()), o.runs/10)
	t.figure("steered", int(s.steered.Load()), o.runs/20)
	t.figure("visits", int(s.visits.Load()), o.sockets/4)
	t.figure("of them again", int(s.returns.Load()), o.sockets/8)
	t.figure("followed", int(s.followed.Load()), o.sockets/8)
	t.figure("events", t.events, o.events)
	checkStats(ctx, srv, s.agent, o.runs, t)
	return stop()
}

// own is a client with its runs, and those who join them.
func (s *socketStorm) own(ctx context.Context, n int) error {
	c, err := s.dial(ctx, identityOf(n), func(cfg *client.Config) {
		if slow(n) {
			cfg.MaxPending = 4 << 10 // events wait outside
		}
	})
	if err != nil {
		return err
	}
	defer s.leave(c)
	plans := plansOf(s.o, n, s.o.sockets)
	var own, guests sync.WaitGroup
	for _, p := range plans {
		own.Go(func() {
			defer close(p.over)
			s.make(ctx, c, p, slow(n))
		})
	}
	if n%3 == 1 {
		guests.Go(func() { s.guest(ctx, c.who, plans, s.visit) })
	}
	if n%4 == 2 {
		guests.Go(func() { s.guest(ctx, c.who, plans, s.follow) })
	}
	own.Wait()
	guests.Wait()
	return s.verify(ctx, c.who, plans)
}

// dial connects through the proxy, which may kill a connection before it is up.
func (s *socketStorm) dial(ctx context.Context, who identity, edit func(*client.Config)) (*socket, error) {
	for {
		c, err := dial(ctx, s.near, who, edit)
		if err == nil || !linger(ctx, killSoonest) {
			return c, err
		}
	}
}

// slow says which clients take their time over what they hear.
func slow(n int) bool { return n%5 == 3 }

// leave closes a client.
func (s *socketStorm) leave(c *socket) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reconnects += c.reconnects()
}

// make makes a run.
func (s *socketStorm) make(ctx context.Context, c *socket, p *plan, slow bool) {
	s.mu.Lock()
	s.runs++
	s.mu.Unlock()
	var asked sync.WaitGroup
	defer asked.Wait()
	rnd := random(s.o.seed, "owner "+p.run)
	cancelAt, steerAt := p.cancelAt, p.steerAt
	for ev, err := range c.Run(ctx, script{p.run}.input(p.thread, p.wait())) {
		if err != nil {
			s.fault("run %s, place %d: %v", p.run, p.judge.Next, err)
			break
		}
		p.judge.hear(ev)
		s.agent.heard(p.run, p.judge.Next)
		if cancelAt >= 0 && p.judge.Next >= cancelAt {
			cancelAt = -1
			wait := time.Duration(rnd.Int64N(int64(killLatest))) // its connection may have died by then
			asked.Go(func() {
				linger(ctx, wait)
				if err := c.Cancel(ctx, p.thread, p.run); err != nil {
					s.fault("cancel of %s: %v", p.run, err)
				}
				s.cancelled.Add(1)
			})
		}
		if steerAt >= 0 && p.judge.Next >= steerAt {
			steerAt = -1
			asked.Go(func() {
				p.steer(ctx, s.o.seed, c, s.tally)
				s.steered.Add(1)
			})
		}
		if slow {
			idle(rnd)
		}
	}
	asked.Wait()
	p.judgeOwner(s.agent.truth(p.run), s.tally)
}

// idle is an application that is busy with something else now and then.
func idle(rnd *rand.Rand) {
	if rnd.IntN(6) == 0 {
		time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
	}
}

// verify attaches to the runs of a client once more, on a connection that nobody kills.
func (s *socketStorm) verify(ctx context.Context, who identity, plans []*plan) error {
	c, err := dial(ctx, s.far, who, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, p := range plans {
		p.verify(ctx, c, s.agent.truth(p.run), s.tally)
	}
	return nil
}
