package agloop_test

import (
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestR25Bind: it comes before anything else but auth, joins the session that a secret names, and of a
// wrong one says gone; two connections share a session, and others have none of it.
func TestR25Bind(t *testing.T) {
	w := newWriter("r")
	_, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	first := newViewer(t, addr, "")
	first.start("1", namedInput("t", "r"))
	first.await("TEXT_MESSAGE_START")
	first.ask(control.NameBind, &control.Bind{Ref: "late", Secret: first.hello.Secret})
	first.want(control.NameRejected, &control.Rejected{Ref: "late", Code: control.CodeOrder})

	second := newViewer(t, addr, "")
	if a, b := first.hello.Secret, second.hello.Secret; a == b || len(a) < 22 || len(b) < 22 {
		t.Errorf("secrets %q, %q", a, b)
	}
	second.Put(testkit.Text(`["dance",{}]`)) // which counts for nothing
	second.ask(control.NameBind, &control.Bind{Ref: "b", Secret: first.hello.Secret})
	second.attachAt("a", "t", "r", run.Cursor{})
	if f := second.await("TEXT_MESSAGE_START"); f.of.Ref != "a" {
		t.Errorf("by %s", f.of.Ref)
	}
	second.ask(control.NameBind, &control.Bind{Ref: "again", Secret: first.hello.Secret})
	second.want(control.NameRejected, &control.Rejected{Ref: "again", Code: control.CodeOrder})

	for _, wrong := range []string{"", first.hello.Secret + "A", first.hello.Secret[1:], "\u0000"} {
		v := newViewer(t, addr, "")
		v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: wrong})
		v.want(control.NameGone, &control.Gone{Ref: "b"})
		v.attachAt("a", "t", "r", run.Cursor{})
		v.want(control.NameGone, &control.Gone{Ref: "a"})
		v.Close()
	}
	ann := newViewer(t, addr, "ann")
	if ann.hello.Secret != "" {
		t.Errorf("a principal has the secret %q", ann.hello.Secret)
	}
	ann.ask(control.NameBind, &control.Bind{Ref: "b", Secret: first.hello.Secret})
	ann.want(control.NameRejected, &control.Rejected{Ref: "b", Code: control.CodeOrder})
	ann.attachAt("a", "t", "r", run.Cursor{})
	ann.want(control.NameGone, &control.Gone{Ref: "a"})

	// A bind to one's own session changes nothing.
	own := newViewer(t, addr, "")
	own.ask(control.NameBind, &control.Bind{Ref: "b", Secret: own.hello.Secret})
	own.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	own.want(control.NameIdle, &control.Idle{Ref: "f"})

	first.Close()
	second.Close()
	third := newViewer(t, addr, "")
	third.ask(control.NameBind, &control.Bind{Ref: "b", Secret: first.hello.Secret})
	third.attachAt("a", "t", "r", run.Cursor{})
	w.say("r", "text")
	w.end("r")
	if text, _ := third.ends(); text != "text" {
		t.Errorf("got %q", text)
	}
	own.Close()
	third.Close()
}
