package main

import (
	"context"
	"fmt"
	"time"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// plan is one run of a storm: who starts it, and what becomes of it.
type plan struct {
	// Immutable.
	number      int
	run, thread string
	cancelAt    int // place behind which it is cancelled; -1 is never
	steerAt     int // place behind which something is said to it; -1 is never

	over chan struct{} // closed when its owner has heard all of it

	// The owner, until over is closed.
	judge *judge
}

// plansOf are the runs of the n-th of so many clients. Two of them follow each other in one thread.
// Of all, one in ten is cancelled, and one in twenty told something.
func plansOf(o options, n, clients int) (list []*plan) {
	for number := n; number < o.runs; number += clients {
		nth := len(list)
		p := &plan{
			number: number, run: fmt.Sprintf("r%d-%d", n, nth), thread: fmt.Sprintf("t%d-%d", n, nth/2),
			cancelAt: -1, steerAt: -1, over: make(chan struct{}),
		}
		rnd := random(o.seed, "plan "+p.run)
		switch {
		case number%10 == 3:
			p.cancelAt = rnd.IntN(o.length() * 3 / 4)
		case number%20 == 7:
			p.steerAt = 1 + rnd.IntN(o.length()/4)
		}
		p.judge = &judge{Run: p.run}
		list = append(list, p)
	}
	return list
}

// wait says what the run's agent waits for.
func (p *plan) wait() (w wait) {
	if w.Cancel = p.cancelAt >= 0; p.steerAt >= 0 {
		w.Steers = steers
	}
	return w
}

// steer says something to the run, several times. Its agent takes each text, once.
func (p *plan) steer(ctx context.Context, seed uint64, c *socket, sum *tally) {
	rnd := random(seed, "steer "+p.run)
	for n := range steers {
		if !linger(ctx, time.Duration(rnd.Int64N(int64(killLatest)))) {
			return
		}
		accepted, err := c.Steer(ctx, p.thread, p.run, fmt.Sprint(n, " to ", p.run))
		if err != nil {
			sum.fault("steer of %s: %v", p.run, err)
			return
		}
		if !accepted {
			sum.fault("steer of %s was not accepted", p.run)
		}
	}
}

// steers is how often something is said to a run that is told something.
const steers = 3

// judgeOwner judges what its owner has heard of a run that is over.
func (p *plan) judgeOwner(t truth, sum *tally) {
	p.judge.finish(t)
	sum.heard("", p.judge)
	if t.Calls > 1 {
		sum.fault("run %s was executed %d times", p.run, t.Calls)
	}
	if taken := len(t.Steers); taken != p.wait().Steers {
		sum.fault("the agent of %s has taken %d steers, and was told %d", p.run, taken, p.wait().Steers)
	}
	if (p.cancelAt >= 0) != p.judge.cancelled() {
		sum.fault("run %s has ended with %s", p.run, p.judge.End)
	}
}

// verify attaches to a run that has ended, from its start.
func (p *plan) verify(ctx context.Context, c *socket, t truth, sum *tally) {
	j := &judge{Run: p.run, Joined: true}
	for ev, err := range c.Attach(ctx, p.thread, p.run, client.Cursor{}) {
		if err != nil {
			sum.fault("attach to %s when all is over, place %d: %v", p.run, j.Next, err)
			break
		}
		j.hear(ev)
	}
	j.finish(t)
	sum.heard("attach when all is over", j)
	if j.End != p.judge.End {
		sum.fault("run %s ended with %s for who started it, and when all is over with %s", p.run, p.judge.End, j.End)
	}
}

// checkStats compares what the server has counted, when all its clients are gone.
func checkStats(ctx context.Context, srv *server.Server, agent *teller, runs int, sum *tally) {
	for {
		s := srv.Stats()
		if s.Connections == 0 && s.Runs == 0 && s.Logged.Viewers == 0 && s.Memory.InOut == 0 {
			break
		}
		if !linger(ctx, 10*time.Millisecond) {
			sum.fault("the server still has %d connections, which hold %d bytes, %d runs, %d viewers",
				s.Connections, s.Memory.InOut, s.Runs, s.Logged.Viewers)
			return
		}
	}
	s := srv.Stats()
	if s.Panics+s.SlowCuts != 0 {
		sum.fault("the server has counted %d panics, and %d connections that were too slow", s.Panics, s.SlowCuts)
	}
	logged := s.Logged
	ended := logged.Ended.Success + logged.Ended.Cancelled
	if int(ended) != runs || logged.Ended.Error+logged.Ended.Interrupt+logged.GivenUp+logged.Conflicts+logged.Shed != 0 {
		sum.fault("the server has counted %+v, and there were %d runs", logged, runs)
	}
	if called := agent.calls(); int(logged.Started) < called || int(logged.Started) > runs {
		sum.fault("the server has started %d runs, the agent was called for %d, and there were %d", logged.Started, called, runs)
	}
}
