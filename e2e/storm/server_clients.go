package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
)

// lanes is how many runs of one client go on at once, each in a thread of its own.
const lanes = 2

// group is a client with its runs, and those who join them.
type group struct {
	storm             *serverStorm
	number            int
	owner             *socket
	visitor, follower *socket // nil where there is none
}

// connect connects the n-th client.
func (g *group) connect(ctx context.Context, s *serverStorm, n int) (err error) {
	g.storm, g.number = s, n
	if g.owner, err = dial(ctx, s.proxy.addr(), identityOf(n), nil); err != nil {
		return err
	}
	// Those who join have a principal, so the next server gives them the same runs.
	if n%4 == 0 {
		if g.visitor, err = dial(ctx, s.proxy.addr(), g.owner.who, nil); err != nil {
			return err
		}
	}
	if n%4 == 2 {
		g.follower, err = dial(ctx, s.proxy.addr(), g.owner.who, nil)
	}
	return err
}

// leave closes the clients.
func (g *group) leave() {
	for _, s := range []*socket{g.owner, g.visitor, g.follower} {
		if s != nil {
			s.Close()
			g.storm.reconnects += s.reconnects()
		}
	}
}

// run makes the runs of a client.
func (g *group) run(ctx context.Context) {
	var all sync.WaitGroup
	for n := range lanes {
		l := &lane{
			serverStorm: g.storm, owner: g.owner, visitor: g.visitor,
			thread: fmt.Sprint("t", g.number, "-", n), name: fmt.Sprint("r", g.number, "-", n),
		}
		if g.follower != nil {
			all.Go(func() { l.follow(ctx, g.follower) })
		}
		all.Go(func() { l.run(ctx) })
	}
	all.Wait()
}

// startUnheard starts a run when nothing that the server says gets through any more.
func (g *group) startUnheard(ctx context.Context, n int) {
	l := &lane{serverStorm: g.storm, owner: g.owner, thread: fmt.Sprint("u", g.number, "-", n)}
	l.make(ctx, l.thread)
}

// lane is the runs of one thread, one after another.
type lane struct {
	*serverStorm
	owner, visitor *socket // visitor is nil where there is none
	thread, name   string
	visits         sync.WaitGroup

	// Any goroutine.
	last atomic.Value // the name of its last run, when that begins
}

// run makes runs as long as the server is killed, and until there were enough; and one more.
func (l *lane) run(ctx context.Context) {
	defer l.visits.Wait()
	rnd := random(l.o.seed, "lane "+l.name)
	for n := 0; ctx.Err() == nil; n++ {
		over := false
		select {
		case <-l.calm:
			over = int(l.started.Load()) >= l.o.runs && int(l.applied.Load()) >= l.o.events
		default:
		}
		name := fmt.Sprint(l.name, "-", n)
		linger(ctx, time.Duration(rnd.Int64N(int64(killLatest))))
		if over {
			l.last.Store(name)
		}
		l.make(ctx, name)
		if over {
			return
		}
	}
}

// make makes a run, to its end or until the server has lost it.
func (l *lane) make(ctx context.Context, name string) {
	l.started.Add(1)
	within, h := l.begin(ctx, l.owner, "", name)
	defer l.end(h)
	j := &judge{Run: name}
	joinAt := random(l.o.seed, "visit "+name).IntN(l.o.length() / 4)
	lost := 0
	for ev, err := range l.owner.Run(within, script{name}.input(l.thread, wait{})) {
		if err != nil {
			lost++
			l.checkLoss(h, j, err)
			continue
		}
		if l.visitor != nil && j.Next >= joinAt && joinAt >= 0 {
			if at := l.owner.Cursor(l.thread, name); at.Offset > 0 { // behind what j has heard
				joinAt = -1
				joined := *j
				l.visits.Go(func() { l.visit(ctx, at, &joined) })
			}
		}
		before := j.Next
		j.hear(ev)
		l.applied.Add(int64(j.Next - before))
	}
	l.mu.Lock()
	l.runs++
	l.ends += lost
	l.truncated += lost
	if j.Ends > 0 && len(l.deaths) > 0 {
		l.completed++
	}
	l.mu.Unlock()
	l.heardOf("", j)
}

// checkLoss checks what somebody is told of a run that the server has lost.
func (l *lane) checkLoss(h *hearing, j *judge, err error) {
	known := errors.Is(err, client.ErrTruncated) && errors.Is(err, client.ErrGone)
	unknown := errors.Is(err, client.ErrStartUnknown)
	if !known && (!unknown || j.Started) {
		l.fault("%v, place %d: %v", h, j.Next, err)
		return
	}
	if unknown {
		l.mu.Lock()
		l.unknown++
		l.mu.Unlock()
	}
	l.noteLoss(h)
}

// visit attaches to a run of the lane where its owner is.
func (l *lane) visit(ctx context.Context, at client.Cursor, j *judge) {
	within, h := l.begin(ctx, l.visitor, "a visitor", j.Run)
	defer l.end(h)
	for ev, err := range l.visitor.Attach(within, l.thread, j.Run, at) {
		switch {
		case err == nil:
			j.hear(ev)
		case errors.Is(err, client.ErrGone):
			l.noteLoss(h)
		default:
			l.fault("%v, place %d: %v", h, j.Next, err)
		}
	}
	l.heardOf(h.who, j)
}

// aFollower is who hears a run since it follows its thread.
const aFollower = "a follower"

// follow follows the thread of the lane until its last run is over.
func (l *lane) follow(ctx context.Context, c *socket) {
	var j *judge // nil between two runs
	var h *hearing
	over := func() {
		l.end(h)
		l.heardOf(aFollower, j)
		j, h = nil, nil
	}
	for ev, err := range c.Follow(ctx, l.thread) {
		gone, isGone := errors.AsType[*client.GoneError](err)
		switch {
		case ctx.Err() != nil:
			// Nobody waits any more.
		case isGone && j != nil && gone.Run == j.Run:
			l.noteLoss(h)
			over()
		case isGone && j == nil && gone.Run != "":
			// A run of which nothing had come.
		case err != nil:
			l.fault("the follow of %s: %v", l.thread, err)
		default:
			if started, ok := ev.(*agui.RunStarted); ok && j == nil {
				j = &judge{Run: started.RunID, Joined: true}
				_, h = l.begin(ctx, c, aFollower, j.Run)
			}
			if j == nil {
				l.fault("the follow of %s got %s before RUN_STARTED", l.thread, encoded(ev))
				return
			}
			j.hear(ev)
			if j.Ends == 0 {
				break
			}
			last := j.Run == l.last.Load()
			if over(); last {
				return
			}
		}
	}
	if h != nil {
		l.end(h)
	}
}

// heardOf keeps what somebody has heard of a run, to be judged when it is known what is true.
func (l *lane) heardOf(who string, j *judge) {
	if j.Ends == 0 {
		l.heard(who, j)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, heard{who, j})
}
