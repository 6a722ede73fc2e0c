package loop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// A loop is late while it has been in one callback for longer than lateAfter: some handler blocks,
// and every other connection of the loop waits. The watchdog says so once, with the stack; new
// connections go to other loops, and Engine.Ready fails from unreadyAfter on. It ends nothing by
// itself: the loop recovers when the handler returns.
const (
	watchEvery   = 100 * time.Millisecond
	lateAfter    = 100 * time.Millisecond
	unreadyAfter = time.Second
)

// health is what the watchdog knows of one loop.
type health struct {
	// The watchdog.
	turn uint64        // Loop.turns when it last looked
	at   time.Duration // when that began
	told bool          // the stack was logged
}

// watch is the watchdog's goroutine.
func (e *Engine) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-tick.C:
			for _, l := range e.all() {
				l.inspect(time.Since(e.start))
				l.checkArrivals()
			}
		}
	}
}

// inspect notes how long the loop has been in one callback. now is real time, which tests do not
// move.
func (l *Loop) inspect(now time.Duration) {
	h := &l.health
	turn := l.turns.Load()
	if turn != h.turn || turn%2 == 0 { // even: it rests
		if h.told {
			l.eng.log.Info("agloop: a blocked loop goes on", "after", time.Duration(l.late.Load()))
		}
		*h = health{turn: turn, at: now}
		l.late.Store(0)
		return
	}
	late := now - h.at
	if late < lateAfter {
		return
	}
	l.late.Store(int64(late))
	if !h.told {
		h.told = true
		l.eng.log.Warn("agloop: a handler blocks its loop", "for", late, "stack", l.stack())
	}
}

// stack is that of the loop's goroutine.
func (l *Loop) stack() string {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	for _, one := range bytes.Split(all, []byte("\n\n")) {
		if bytes.HasPrefix(one, []byte(l.goroutine+" ")) {
			return string(one)
		}
	}
	return "not found"
}

// goroutine is the first words of the stack trace, "goroutine 12".
func goroutine() string {
	var b [64]byte
	words := bytes.Fields(b[:runtime.Stack(b[:], false)])
	return string(words[0]) + " " + string(words[1])
}

// usable reports whether there is a loop that new connections may go to.
func (l *Loop) usable() bool { return l != nil && !l.dead.Load() && l.late.Load() == 0 }

// Ready is nil while every loop answers, or says why one does not: it has been in one callback for
// a second, or it ended. Any goroutine.
func (e *Engine) Ready() error {
	for i, l := range e.all() {
		late := time.Duration(l.late.Load())
		switch {
		case l.dead.Load():
			return fmt.Errorf("agloop: loop %d of %d has ended", i+1, e.Loops())
		case late >= unreadyAfter:
			return fmt.Errorf("agloop: loop %d of %d is blocked by a handler for %v", i+1, e.Loops(), late.Round(time.Millisecond))
		}
	}
	return nil
}

// run does work for c on the loop: in a callback of gnet's, or for one connection of a list. A
// panic that nobody recovered is a mistake of ours: it ends that one connection and is counted, and
// the loop goes on.
func (l *Loop) run(c *Conn, work func(*Conn)) {
	if l.depth++; l.depth == 1 {
		l.turns.Add(1)
	}
	returned := false
	defer func() {
		switch r := recover(); {
		case r != nil:
			l.fault(c, r)
		case !returned:
			l.exit()
		}
		if l.depth--; l.depth == 0 {
			l.turns.Add(1)
		}
	}()
	work(c)
	returned = true
}

// errFault is how a connection ends in whose handling we made a mistake.
var errFault = errors.New("a mistake of agloop's own")

// fault ends the connection in whose handling a panic was ours; c is nil when it was in none.
func (l *Loop) fault(c *Conn, r any) {
	l.report(c, r)
	// Whatever the turn was about to do at its end is done here.
	if l.corked != nil {
		l.corked.marks.And(^(markCorked | markReplying))
		l.endCork()
	}
	if l.depth == 1 {
		l.flushSure.Store(false)
	}
	if c != nil && c.state != closed {
		c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: errFault})
		c.closeNow()
	}
	if l.depth == 1 && l.pending.Load() > 0 {
		l.wake()
	}
}

// report counts and logs a panic that was ours. Any goroutine.
func (l *Loop) report(c *Conn, r any) {
	l.Counters.Panics.Add(1)
	log := l.eng.log
	if c != nil {
		log = c.endpoint.log
	}
	log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in the loop's own code",
		slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
}

// exit is the last act of a loop whose goroutine ends, because a handler called runtime.Goexit, as
// t.FailNow does: it cannot be stopped, but nobody is left to wait.
func (l *Loop) exit() {
	if l.dead.Swap(true) {
		return
	}
	l.eng.log.Error("agloop: a handler ended its loop by runtime.Goexit", "stack", string(debug.Stack()))
	for _, c := range l.wheel.all() {
		l.run(c, func(c *Conn) {
			c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: errLoopEnded})
			c.closeNow()
		})
	}
}

var errLoopEnded = errors.New("its loop has ended")
