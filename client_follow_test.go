package agloop_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR20Follow: one run after another, what cannot be given is told and skipped, idle ends nothing.
func TestR20Follow(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(
		selects(1, ref, "a", 1), startedOf("a"), fold(1, 2, 4), says("2 to 4"), onto(1, 5), finishedOf("a"),
		`["gone",{"ref":"`+ref+`","threadId":"t","runId":"b","reason":"trimmed"}]`,
		selects(2, ref, "c", 1), startedOf("c"),
	)
	w.want("started a", "2 to 4", "finished a", "gone b trimmed", "started c")
	conn.say(finishedOf("c"), `["idle",{"ref":"`+ref+`"}]`, selects(3, ref, "d", 1), startedOf("d"))
	w.want("finished c", "started d")
	conn.say(`["gone",{"ref":"` + ref + `","threadId":"t","runId":"d"}]`) // in its middle
	w.want("gone d ")
	conn.say(`["gone",{"ref":"` + ref + `","threadId":"t","reason":"revoked"}]`)
	w.wantEnd(agloop.ErrGone)
	conn.silent()
}

// TestR20FollowOfAHalfRun: a server that goes on with the next run before the end of one is told on.
func TestR20FollowOfAHalfRun(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"), selects(2, ref, "b", 1), startedOf("b"), finishedOf("b"))
	w.want("started a", "gone a ", "started b", "finished b")
	conn.say(onto(1, 2)) // the number of a run that is over
	w.wantEnd(agloop.ErrTruncated)
	conn.wantClosed(agloop.CloseProtocolError)
}

// TestR20FollowOfManyGone: what cannot be given is bounded as events are.
func TestR20FollowOfManyGone(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(func(cfg *agloop.ClientConfig) { cfg.MaxPending = 4 << 10 })
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	for range 100 {
		conn.say(`["gone",{"ref":"` + ref + `","threadId":"t","runId":"x"}]`)
	}
	conn.want("leave", "ref", ref)
	for range 12 {
		w.want("gone x ")
	}
	conn.want("follow", "threadId", "t")
}

// TestR20FollowIsLeft by its ref, and what is still under way of it is dropped.
func TestR20FollowIsLeft(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"))
	w.want("started a")
	w.leave()
	w.wantEnd(context.Canceled)
	conn.want("leave", "ref", ref)
	conn.say(says("dropped"), onto(1, 9), says("dropped"), selects(2, ref, "b", 1), startedOf("b"), `["idle",{"ref":"`+ref+`"}]`)
	again := following(t, c)
	ref = conn.want("follow", "threadId", "t")
	conn.say(selects(3, ref, "b", 1), startedOf("b"))
	again.want("started b")
}

// TestR41FollowGoesOn behind what it has, in the middle of a run and between two.
func TestR41FollowGoesOn(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	conn.want("follow", "threadId", "t")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"), says("2"))
	w.want("started a", "2")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	after := func(runID string, offset float64) map[string]any {
		return map[string]any{"runId": runID, "epoch": epoch1, "offset": offset}
	}
	ref = conn.want("follow", "threadId", "t", "after", after("a", 2))
	conn.say(selects(1, ref, "a", 3), says("3"), finishedOf("a"))
	w.want("3", "finished a")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("follow", "threadId", "t", "after", after("a", 4))
	conn.say(selects(1, ref, "b", 1), startedOf("b"), finishedOf("b"))
	w.want("started b", "finished b")
}

// TestR45FollowComesBack: it has no number to come back to, so it is left and follows again.
func TestR45FollowComesBack(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(func(cfg *agloop.ClientConfig) { cfg.MaxPending = 1 })
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"))
	w.want("started a")
	conn.say(says("2"), says("3"), says("4"), says("5"))
	conn.want("leave", "ref", ref)
	w.want("2")
	name, m := conn.next()
	after, _ := m["after"].(map[string]any)
	if name != "follow" || after["runId"] != "a" {
		t.Fatalf("%s %v", name, m)
	}
	kept := int(after["offset"].(float64)) // 2, or 3 when the loop was quick
	for n := 3; n <= kept; n++ {
		w.want(string('0' + byte(n)))
	}
	for n := kept + 1; n <= 5; n++ {
		conn.say(selects(n, m["ref"].(string), "a", n), says(string('0'+byte(n))))
		w.want(string('0' + byte(n)))
		if n < 5 {
			conn.Close(agloop.CloseRestart, "")
			conn = p.accept()
			_, m = conn.next()
		}
	}
}

// TestR9Prelude: the state behind RUN_STARTED stands for no offset. A connection that ends between
// the two makes the client ask for both again, and the caller gets each once.
func TestR9Prelude(t *testing.T) {
	const state = `{"type":"STATE_SNAPSHOT","snapshot":{}}`
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := attaching(t, c, "r", agloop.Cursor{})
	ref := conn.want("attach", "threadId", "t", "runId", "r")
	conn.say(selects(1, ref, "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	if got := c.Cursor("t", "r"); got != (agloop.Cursor{}) {
		t.Errorf("the prelude has not come whole, and the cursor is %v", got)
	}
	ref = conn.want("attach", "threadId", "t", "runId", "r")
	conn.say(selects(1, ref, "r", 1), startedOf("r"), fold(1, 2, 1), state)
	w.want("STATE_SNAPSHOT")
	testkit.Await(t, "the prelude is applied", func() bool { return c.Cursor("t", "r").Offset == 1 })
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), says("2"), finishedOf("r"))
	w.want("2", "finished r")
	w.wantEnd(nil)
}

// TestR9PreludeOfAnotherLog: what came of one log is not mixed with another of the same name.
func TestR9PreludeOfAnotherLog(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := attaching(t, c, "r", agloop.Cursor{})
	ref := conn.want("attach", "threadId", "t", "runId", "r")
	conn.say(selects(1, ref, "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("attach", "threadId", "t", "runId", "r")
	conn.say(strings.Replace(selects(1, ref, "r", 1), epoch1, "00000000000000aa", 1), startedOf("r"))
	conn.want("leave", "run", 1.0)
	if err := w.wantEnd(agloop.ErrTruncated); !errors.Is(err, agloop.ErrGone) {
		t.Errorf("the sequence ended with %v", err)
	}
}

// TestR51EpochChanges: an attachment goes on under another epoch, which is that of its cursor then.
func TestR51EpochChanges(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(
		selects(1, conn.want("start"), "r", 1), startedOf("r"),
		`["run",{"run":1,"epoch":"00000000000000aa","offset":2}]`, says("2"),
	)
	w.want("started r", "2")
	testkit.Await(t, "2 is applied", func() bool { return c.Cursor("t", "r").String() == "00000000000000aa-2" })
	conn.Close(agloop.CloseRestart, "")
	p.accept().want("attach", "threadId", "t", "runId", "r", "epoch", "00000000000000aa", "offset", 2.0)
}

// TestClientLeavesRuns: leaving is not stopping, and the client goes on.
func TestClientLeavesRuns(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	w.leave()
	w.wantEnd(context.Canceled)
	conn.want("leave", "run", 1.0)
	early := running(t, c, inputFor("early")) // left before it has a number
	ref := conn.want("start")
	early.leave()
	early.wantEnd(context.Canceled)
	conn.say(says("dropped"), selects(2, ref, "early", 1), startedOf("early"))
	conn.want("leave", "run", 2.0)
	wrong := running(t, c, inputFor("wrong"))
	conn.say(selects(3, conn.want("start"), "wrong", 1), says("before RUN_STARTED"))
	wrong.want("error: agloop: CUSTOM: a stream starts with RUN_STARTED or RUN_ERROR")
	conn.want("leave", "run", 3.0)
	last := running(t, c, inputFor("last"))
	conn.say(selects(4, conn.want("start"), "last", 1), startedOf("last"), finishedOf("last"))
	last.want("started last", "finished last")
	last.wantEnd(nil)
}

// TestClientAttachesTwice: the later sequence of a run takes the place of the earlier one.
func TestClientAttachesTwice(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	first := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	first.want("started r")
	second := attaching(t, c, "r", agloop.Cursor{})
	conn.want("leave", "run", 1.0)
	first.wantEnd(agloop.ErrGone)
	conn.say(selects(2, conn.want("attach", "threadId", "t", "runId", "r"), "r", 1), startedOf("r"), finishedOf("r"))
	second.want("started r", "finished r")
	second.wantEnd(nil)
}

// TestR18Cancel is sent at once, and with the run again: nobody answers it.
func TestR18Cancel(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	for _, id := range []string{"r", "other"} {
		if err := c.Cancel(t.Context(), "t", id); err != nil {
			t.Fatal(err)
		}
		conn.want("cancel", "threadId", "t", "runId", id)
	}
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.want("cancel", "threadId", "t", "runId", "r")
	conn.say(selects(1, ref, "r", 2), `{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"cancelled"}}`)
	w.want("finished r")
	w.wantEnd(nil)
}

// TestR18CancelIsOfOneRun: a Follow that goes on with the next run does not cancel that.
func TestR18CancelIsOfOneRun(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"))
	w.want("started a")
	if err := c.Cancel(t.Context(), "t", "a"); err != nil {
		t.Fatal(err)
	}
	conn.want("cancel", "threadId", "t", "runId", "a")
	conn.say(finishedOf("a"), selects(2, ref, "b", 1), startedOf("b"), says("2"))
	w.want("finished a", "started b", "2")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("follow", "threadId", "t", "after", map[string]any{"runId": "b", "epoch": epoch1, "offset": 2.0})
	if err := c.Cancel(t.Context(), "t", "x"); err != nil {
		t.Fatal(err)
	}
	conn.want("cancel", "threadId", "t", "runId", "x") // and none before it
}

// TestR22Steer is asked once, under one id, over whatever connection.
func TestR22Steer(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	type answer struct {
		ok  bool
		err error
	}
	answers := make(chan answer, 1)
	ask := func(text string) {
		go func() {
			ok, err := c.Steer(t.Context(), "t", "r", text)
			answers <- answer{ok, err}
		}()
	}
	ask("left")
	_, m := conn.next()
	id := m["id"].(string)
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref := conn.want("steer", "threadId", "t", "runId", "r", "id", id, "text", "left")
	conn.say(`["steered",{"ref":"` + ref + `","id":"` + id + `","ok":true}]`)
	if got := testkit.Receive(t, "the answer", answers); got != (answer{true, nil}) {
		t.Errorf("%+v", got)
	}
	ask("right")
	_, m = conn.next()
	conn.say(`["steered",{"ref":"` + m["ref"].(string) + `","id":"` + m["id"].(string) + `","ok":false}]`)
	if got := testkit.Receive(t, "the answer", answers); got != (answer{false, nil}) {
		t.Errorf("%+v", got)
	}
	ask("gone")
	_, m = conn.next()
	conn.say(`["gone",{"ref":"` + m["ref"].(string) + `"}]`)
	if got := testkit.Receive(t, "the answer", answers); got.ok || !errors.Is(got.err, agloop.ErrGone) {
		t.Errorf("%+v", got)
	}
	if _, err := c.Steer(t.Context(), "t", "r", strings.Repeat("x", 64<<10+1)); !errors.Is(err, agloop.ErrInputTooBig) {
		t.Errorf("a long text: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { conn.next(); cancel() }()
	if _, err := c.Steer(ctx, "t", "r", "nobody answers"); !errors.Is(err, context.Canceled) {
		t.Errorf("a steer that was given up: %v", err)
	}
}

// TestR15Answers: conflict and rejected are errors of their own.
func TestR15Answers(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("a"))
	conn.say(`["conflict",{"ref":"` + conn.want("start") + `"}]`)
	w.wantEnd(agloop.ErrConflict)
	w = running(t, c, inputFor("b"))
	conn.say(`["rejected",{"ref":"` + conn.want("start") + `","code":"invalid_input","field":"messages"}]`)
	w.want("error: agloop: the server refused: invalid_input: messages")
	w = running(t, c, inputFor("c"))
	conn.say(`["gone",{"ref":"` + conn.want("start") + `"}]`)
	if err := w.wantEnd(agloop.ErrGone); errors.Is(err, agloop.ErrTruncated) {
		t.Errorf("a run that was never seen is truncated: %v", err)
	}
}
