package main

import (
	"context"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
)

// guest is another client of the same user, which joins runs over connections that are killed as well.
func (s *socketStorm) guest(ctx context.Context, who identity, plans []*plan, join func(context.Context, *socket, []*plan)) {
	c, err := s.dial(ctx, who, nil)
	if err != nil {
		s.fault("a guest: %v", err)
		return
	}
	defer s.leave(c)
	join(ctx, c, plans)
}

// visit attaches to runs, leaves them and comes again.
func (s *socketStorm) visit(ctx context.Context, c *socket, plans []*plan) {
	var all sync.WaitGroup
	for i, p := range plans {
		if i%2 == 0 {
			all.Go(func() { s.visitRun(ctx, c, p) })
		}
	}
	all.Wait()
}

// mostVisits is how often somebody comes to one run.
const mostVisits = 4

func (s *socketStorm) visitRun(ctx context.Context, c *socket, p *plan) {
	select {
	case <-s.agent.of(p.run).began:
	case <-p.over: // it was cancelled before it began
	case <-ctx.Done():
		return
	}
	rnd := random(s.o.seed, "visitor "+p.run)
	var j *judge
	for n := range mostVisits {
		if !linger(ctx, time.Duration(rnd.Int64N(int64(s.o.pace/mostVisits)))) {
			return
		}
		s.visits.Add(1)
		at := c.Cursor(p.thread, p.run)
		if n > 0 && at.Offset > 0 {
			s.returns.Add(1)
		} else {
			j = &judge{Run: p.run, Joined: true}
		}
		stay := 1 + rnd.IntN(s.o.length()/2)
		if n == mostVisits-1 {
			stay = -1
		}
		for ev, err := range c.Attach(ctx, p.thread, p.run, at) {
			if err != nil {
				s.fault("a visit of %s at %v, place %d: %v", p.run, at, j.Next, err)
				return
			}
			if stay == 0 {
				break // the event was not applied, and comes again
			}
			stay--
			j.hear(ev)
		}
		if j.Ends > 0 {
			break
		}
	}
	j.finish(s.agent.truth(p.run))
	s.heard("a visitor", j)
}

// follow follows the threads of runs until all have come.
func (s *socketStorm) follow(ctx context.Context, c *socket, plans []*plan) {
	threads := make(map[string][]*plan)
	for _, p := range plans {
		threads[p.thread] = append(threads[p.thread], p)
	}
	var all sync.WaitGroup
	for thread, list := range threads {
		all.Go(func() { s.followThread(ctx, c, thread, list) })
	}
	all.Wait()
}

func (s *socketStorm) followThread(ctx context.Context, c *socket, thread string, plans []*plan) {
	rnd := random(s.o.seed, "follower "+thread)
	if !linger(ctx, time.Duration(rnd.Int64N(int64(s.o.pace)))) {
		return
	}
	missing := make(map[string]*plan)
	for _, p := range plans {
		missing[p.run] = p
	}
	var j *judge // nil between two runs
	for ev, err := range c.Follow(ctx, thread) {
		if err != nil {
			s.fault("the follow of %s: %v", thread, err)
			return
		}
		if started, ok := ev.(*agui.RunStarted); ok && j == nil {
			if missing[started.RunID] == nil {
				s.fault("the follow of %s got run %s, again or of another thread", thread, started.RunID)
				return
			}
			j = &judge{Run: started.RunID, Joined: true}
		}
		if j == nil {
			s.fault("the follow of %s got %s before RUN_STARTED", thread, encoded(ev))
			return
		}
		if j.hear(ev); j.Ends == 0 {
			continue
		}
		j.finish(s.agent.truth(j.Run))
		s.heard("a follower", j)
		s.followed.Add(1)
		delete(missing, j.Run)
		j = nil
		if len(missing) == 0 {
			return
		}
	}
}
