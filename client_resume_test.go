package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

func running(t *testing.T, c *agloop.Client, in *agui.RunAgentInput) *watch {
	t.Helper()
	return watching(t, func(ctx context.Context) iter.Seq2[agui.Event, error] { return c.Run(ctx, in) })
}

func attaching(t *testing.T, c *agloop.Client, runID string, from agloop.Cursor) *watch {
	t.Helper()
	return watching(t, func(ctx context.Context) iter.Seq2[agui.Event, error] { return c.Attach(ctx, "t", runID, from) })
}

func following(t *testing.T, c *agloop.Client) *watch {
	t.Helper()
	return watching(t, func(ctx context.Context) iter.Seq2[agui.Event, error] { return c.Follow(ctx, "t") })
}

// TestClientSeveralRuns: they go on at once on one connection, each with its own events.
func TestClientSeveralRuns(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	if c.Protocol() != "agloop.v1.json" || c.State().Phase != agloop.ConnOpen {
		t.Errorf("%s, %v", c.Protocol(), c.State())
	}
	a := running(t, c, inputFor("a"))
	refA := conn.want("start")
	b := running(t, c, inputFor("b"))
	refB := conn.want("start")
	conn.say(
		selects(1, refA, "a", 1), startedOf("a"), says("a2"),
		selects(2, refB, "b", 1), startedOf("b"),
		onto(1, 3), says("a3"), onto(2, 2), says("b2"), finishedOf("b"), onto(1, 4), finishedOf("a"),
	)
	b.want("started b", "b2", "finished b")
	b.wantEnd(nil)
	a.want("started a", "a2", "a3", "finished a")
	a.wantEnd(nil)
	if _, err := told(c.Run(t.Context(), nil)); err == nil {
		t.Error("a run without an input")
	}
	conn.silent()
}

// TestR10AttachAtACursor: everything behind it comes, and the order of what is open is not known.
func TestR10AttachAtACursor(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	from, err := agloop.ParseCursor(epoch1 + "-7")
	if err != nil {
		t.Fatal(err)
	}
	w := attaching(t, c, "r", from)
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 7.0)
	conn.say(
		selects(1, ref, "r", 8), `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CHUNK","delta":"y"}`, `{"type":"TEXT_MESSAGE_END","messageId":"m"}`, finishedOf("r"),
	)
	w.want("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK", "TEXT_MESSAGE_END", "finished r")
	w.wantEnd(nil)
}

// TestR40CursorIsOfWhatWasApplied: event k has been applied when the loop asks for the next one.
func TestR40CursorIsOfWhatWasApplied(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	ref := conn.want("start")
	conn.say(selects(1, ref, "r", 1), startedOf("r"), says("2"), fold(1, 3, 6), says("3 to 6"), onto(1, 7), says("7"))
	offset := func() uint64 { return c.Cursor("t", "r").Offset }
	w.want("started r")
	testkit.Await(t, "RUN_STARTED is applied", func() bool { return offset() == 1 })
	w.want("2")
	testkit.Await(t, "2 is applied", func() bool { return offset() == 2 })
	w.want("3 to 6")
	testkit.Await(t, "the fold is applied", func() bool { return offset() == 6 })
	if got := c.Cursor("t", "r").String(); got != epoch1+"-6" {
		t.Errorf("cursor %s", got)
	}
	conn.say(finishedOf("r"))
	w.want("7", "finished r")
	w.wantEnd(nil)
	if got := c.Cursor("t", "r"); got != (agloop.Cursor{}) {
		t.Errorf("a run that has ended has cursor %v", got)
	}
}

// TestR40UnknownTypesCount: they are dropped, and counted before that.
func TestR40UnknownTypesCount(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	ref := conn.want("start")
	conn.say(
		selects(1, ref, "r", 1), startedOf("r"), `{"type":"NOBODY_KNOWS"}`, says("3"),
		`["unheard-of",{"x":1}]`, onto(1, 4), finishedOf("r"),
	)
	w.want("started r", "3", "finished r")
	w.wantEnd(nil)
	if got := c.Stats().UnknownEvents; got != 1 {
		t.Errorf("%d unknown events", got)
	}
}

// TestR40HostileServers: what breaks the rules ends the connection with 1002, and what was going on
// with an error that says so.
func TestR40HostileServers(t *testing.T) {
	const ok = helloProcess
	begin := func(ref string) []string { return []string{selects(1, ref, "r", 1), startedOf("r")} }
	for name, script := range map[string]func(ref string) []string{
		"an event before any selector": func(string) []string { return []string{startedOf("r")} },
		"a wrong offset":               func(ref string) []string { return append(begin(ref), onto(1, 3)) },
		"an offset again":              func(ref string) []string { return append(begin(ref), onto(1, 1)) },
		"a wrong first offset":         func(ref string) []string { return []string{selects(1, ref, "r", 2)} },
		"offset 0":                     func(ref string) []string { return []string{selects(1, ref, "r", 0)} },
		"a negative offset":            func(ref string) []string { return []string{selects(1, ref, "r", -1)} },
		"an unknown attachment":        func(ref string) []string { return append(begin(ref), onto(2, 2)) },
		"an unknown ref":               func(string) []string { return []string{selects(1, "none", "r", 1)} },
		"one ref for two":              func(ref string) []string { return append(begin(ref), selects(2, ref, "r", 1)) },
		"another thread": func(ref string) []string {
			return []string{strings.Replace(selects(1, ref, "r", 1), `"t"`, `"u"`, 1)}
		},
		"another run":           func(ref string) []string { return []string{selects(1, ref, "s", 1)} },
		"an epoch that is none": func(ref string) []string { return []string{strings.Replace(selects(1, ref, "r", 1), epoch1, "1", 1)} },
		"no JSON":               func(string) []string { return []string{`["run",{]`} },
		"control of three":      func(string) []string { return []string{`["run",{},1]`} },
		"a string for a number": func(ref string) []string { return []string{`["run",{"run":"1"}]`} },
		"through far ahead":     func(ref string) []string { return append(begin(ref), fold(1, 2, 1<<53)) },
		"through behind":        func(ref string) []string { return append(begin(ref), `["run",{"run":1,"offset":2,"through":0}]`) },
		"an event behind a fold": func(ref string) []string {
			return append(begin(ref), fold(1, 2, 3), says("2"), says("4"))
		},
		"beyond the last offset": func(ref string) []string {
			return append(begin(ref), fold(1, 2, 1<<53-1), says("all"), fold(1, 1<<53, 1<<53))
		},
		"counted beyond it": func(ref string) []string {
			return append(begin(ref), fold(1, 2, 1<<53-2), says("all"), onto(1, 1<<53-1), says("last"), says("more"))
		},
		"run after gone": func(ref string) []string {
			return append(begin(ref), `["gone",{"ref":"`+ref+`"}]`, onto(1, 2))
		},
		"an event after gone": func(ref string) []string {
			return append(begin(ref), `["gone",{"ref":"`+ref+`"}]`, says("2"))
		},
		"attachment 0":           func(ref string) []string { return []string{selects(0, ref, "r", 1)} },
		"a number of two refs":   func(ref string) []string { return append(begin(ref), selects(1, "none", "r", 2)) },
		"a new epoch of no form": func(ref string) []string { return append(begin(ref), `["run",{"run":1,"offset":2,"epoch":"x"}]`) },
		"a malformed hello":      func(string) []string { return []string{`["hello",{"version":"1"}]`} },
		"a malformed gone":       func(string) []string { return []string{`["gone",{"ref":1}]`} },
		"a malformed conflict":   func(string) []string { return []string{`["conflict",{"ref":1}]`} },
		"a malformed rejected":   func(string) []string { return []string{`["rejected",{"code":1}]`} },
		"a malformed steered":    func(string) []string { return []string{`["steered",{"ok":1}]`} },
		"a malformed idle":       func(string) []string { return []string{`["idle",{"ref":[]}]`} },
		"a malformed going":      func(string) []string { return []string{`["going",{"retryAfter":"soon"}]`} },
		"two hellos":             func(string) []string { return []string{ok} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			c, conn := p.dial(nil)
			w := running(t, c, inputFor("r"))
			conn.say(script(conn.want("start"))...)
			conn.wantClosed(agloop.CloseProtocolError)
			go func() { // what came before is good
				for range w.words {
				}
			}()
			err := testkit.Receive(t, "the end", w.done)
			_, broken := errors.AsType[*agloop.ProtocolError](err)
			// A start that had no selector may have begun.
			cut := errors.Is(err, agloop.ErrTruncated) || errors.Is(err, agloop.ErrStartUnknown)
			if gone := errors.Is(err, agloop.ErrGone); !cut || !broken && !gone {
				t.Errorf("the run ended with %v", err)
			}
			again := running(t, c, inputFor("again")) // the client is of use
			next := p.accept()
			next.say(`["rejected",{"ref":"` + next.want("start") + `","code":"no"}]`)
			if got := testkit.Receive(t, "the refusal", again.words); got != "error: agloop: the server refused: no" {
				t.Errorf("the next run: %s", got)
			}
		})
	}
}

// TestR30Hello: a client waits for it, and takes none that is not one.
func TestR30Hello(t *testing.T) {
	for name, hello := range map[string]string{
		"an event first":   startedOf("r"),
		"a selector first": selects(1, "1", "r", 1),
		"no JSON":          `[hello`,
		"another version":  `["hello",{"version":2,"boot":"b","resumable":"process"}]`,
		"no boot":          `["hello",{"version":1,"resumable":"process"}]`,
		"not resumable":    `["hello",{"version":1,"boot":"b","resumable":"perhaps"}]`,
		"huge":             `["hello",{"version":1,"boot":"` + strings.Repeat("b", 64<<10) + `","resumable":"process"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, hello)
			_, err := agloop.Dial(t.Context(), p.url, agloop.ClientConfig{Protocols: []string{wireProtocol()}})
			if _, ok := errors.AsType[*agloop.ProtocolError](err); !ok {
				t.Errorf("Dial: %v", err)
			}
			testkit.Await(t, "the connection is gone", func() bool { return p.srv.Stats().Connections == 0 })
		})
	}
	t.Run("missing", func(t *testing.T) {
		p := newPeer(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { p.accept(); cancel() }()
		if _, err := agloop.Dial(ctx, p.url, agloop.ClientConfig{Protocols: []string{wireProtocol()}}); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial: %v", err)
		}
		testkit.Await(t, "the connection is gone", func() bool { return p.srv.Stats().Connections == 0 })
	})
	t.Run("the end instead", func(t *testing.T) {
		p := newPeer(t, "")
		go func() { p.accept().Close(agloop.CloseTryLater, "") }()
		if _, err := agloop.Dial(t.Context(), p.url, agloop.ClientConfig{Protocols: []string{wireProtocol()}}); err == nil {
			t.Error("Dial succeeded")
		}
	})
}

// TestR41GoesOnAtTheCursor: the connection ends, by a close frame or without, and the sequences of
// the client go on behind what they have, nothing twice and nothing left out.
func TestR41GoesOnAtTheCursor(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	own := running(t, c, inputFor("own"))
	ref := conn.want("start")
	conn.say(selects(1, ref, "own", 1), startedOf("own"), says("2"), says("3"))
	own.want("started own")
	other := attaching(t, c, "other", agloop.Cursor{})
	ref = conn.want("attach", "threadId", "t", "runId", "other")
	conn.say(selects(2, ref, "other", 1), startedOf("other"), says("x2"), says("x3"))
	other.want("started other", "x2", "x3")

	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	refOwn := conn.want("attach", "threadId", "t", "runId", "own", "epoch", epoch1, "offset", 3.0)
	refOther := conn.want("attach", "threadId", "t", "runId", "other", "epoch", epoch1, "offset", 3.0)
	conn.say(
		selects(1, refOther, "other", 4), says("x4"), selects(2, refOwn, "own", 4), says("4"), finishedOf("own"),
		onto(1, 5), finishedOf("other"),
	)
	own.want("2", "3", "4", "finished own")
	own.wantEnd(nil)
	other.want("x4", "finished other")
	other.wantEnd(nil)
}

// TestR41GoneIsTruncated: a run that is gone meanwhile is truncated, and not started again.
func TestR41GoneIsTruncated(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(`["gone",{"ref":"` + ref + `","threadId":"t","runId":"r","reason":"ended"}]`)
	err := w.wantEnd(agloop.ErrTruncated)
	gone, ok := errors.AsType[*agloop.GoneError](err)
	if !ok || !errors.Is(err, agloop.ErrGone) || gone.Reason != "ended" || gone.Run != "r" {
		t.Errorf("the run ended with %v", err)
	}
	conn.silent()
}

// TestR17StartWithoutAnAnswer is sent again to the same process alone.
func TestR17StartWithoutAnAnswer(t *testing.T) {
	p := newPeer(t, helloProcess, helloProcess, strings.Replace(helloProcess, "b1", "b2", 1))
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	first := testkit.Receive(t, "the start", conn.got)
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	second := testkit.Receive(t, "the start", conn.got)
	input := func(s string) string { _, s, _ = strings.Cut(s, `"input":`); return s }
	if input(first) != input(second) || input(first) == "" {
		t.Errorf("R15: sent\n%s and then\n%s", first, second)
	}
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept() // of another process
	w.wantEnd(agloop.ErrStartUnknown)
	conn.silent()
	again := running(t, c, inputFor("r")) // who asks again takes that upon himself
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), finishedOf("r"))
	again.want("started r", "finished r")
	again.wantEnd(nil)
}

// TestR15ExactBytes: the input of a start is what was encoded, to the byte.
func TestR15ExactBytes(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	in := inputFor("r")
	in.State = []byte(`{"a":"<&> \u2028", "b":1}`)
	w := running(t, c, in)
	frame := testkit.Receive(t, "the start", conn.got)
	if !strings.Contains(frame, `<&>`) || !strings.HasPrefix(frame, `["start",{"ref":"`) || !strings.HasSuffix(frame, `}}]`) {
		t.Errorf("sent %s", frame)
	}
	conn.say(`["conflict",{"ref":"1"}]`)
	w.wantEnd(agloop.ErrConflict)
}

// TestR16SeenIsNeverStarted: a run that was left is attached to behind what was applied.
func TestR16SeenIsNeverStarted(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), says("2"), says("3"))
	w.want("started r", "2")
	testkit.Await(t, "2 is applied", func() bool { return c.Cursor("t", "r").Offset == 2 })
	close(w.breaks) // at 3, which is not applied
	conn.want("leave", "run", 1.0)
	again := running(t, c, inputFor("r"))
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 2.0)
	conn.say(says("dropped"), onto(1, 5), says("dropped"), selects(2, ref, "r", 3), says("3"), finishedOf("r"))
	again.want("3", "finished r")
	again.wantEnd(nil)
}

// TestR45BehindIsLeftAndComesBack: a run whose loop is slow is left, the others go on, and it comes
// back where it was.
func TestR45BehindIsLeftAndComesBack(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(func(cfg *agloop.ClientConfig) { cfg.MaxPending = 4 << 10 })
	slow, fast := running(t, c, inputFor("slow")), (*watch)(nil)
	conn.say(selects(1, conn.want("start"), "slow", 1), startedOf("slow"))
	slow.want("started slow")
	for i := 2; i < 100; i++ {
		conn.say(says(fmt.Sprint(i)))
	}
	conn.want("leave", "run", 1.0, "back", true)
	fast = running(t, c, inputFor("fast"))
	conn.say(selects(2, conn.want("start"), "fast", 1), startedOf("fast"), says("2"), finishedOf("fast"))
	fast.want("started fast", "2", "finished fast")
	fast.wantEnd(nil)
	conn.silent()
	next := 2
	for ; next < 7; next++ { // half of what waits
		slow.want(fmt.Sprint(next))
	}
	name, m := conn.next()
	kept := int(m["offset"].(float64))
	if name != "attach" || kept < 9 || kept > 10 {
		t.Errorf("%s %v when %d were taken", name, m, next)
	}
	conn.say(selects(3, m["ref"].(string), "slow", kept+1))
	for i := kept + 1; i < kept+3; i++ {
		conn.say(says(fmt.Sprint(i)))
	}
	conn.say(finishedOf("slow"))
	for ; next < kept+3; next++ {
		slow.want(fmt.Sprint(next))
	}
	slow.want("finished slow")
	slow.wantEnd(nil)
}
