package agloop_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// refusing refuses whatever has to do with a thread, and lets everything else be.
func refusing(thread string) func(context.Context, agloop.Principal, agloop.Action, agloop.RunKey) (agloop.RunKey, error) {
	return func(_ context.Context, _ agloop.Principal, _ agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
		if k.Thread == thread {
			return k, &agloop.RefusedError{Status: 403, Reason: "not yours"}
		}
		return k, nil
	}
}

// TestR10R25R26Isolation: whoever asks for a run of somebody else, live or ended, is told in the same
// bytes what they would be told of a run that never was, gets no event of it, and cannot end it.
func TestR10R25R26Isolation(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{
		Rates: agloop.Rates{Guesses: -1}, Runs: agloop.RunsConfig{AuthorizeRun: refusing("refused")},
	})
	ann, nobody := newViewer(t, addr, "ann"), newViewer(t, addr, "")
	ann.start("1", namedInput("t", "live"))
	p.say("live", "secret")
	at := ann.await("TEXT_MESSAGE_CONTENT").of.cursor()
	ann.start("2", namedInput("other", "ended"))
	p.end("ended")
	ann.await("RUN_FINISHED")
	nobody.start("3", namedInput("t", "anonymous"))
	p.say("anonymous", "secret")
	nobody.await("TEXT_MESSAGE_CONTENT")

	names := [][2]string{{"t", "live"}, {"other", "ended"}, {"t", "anonymous"}, {"t", "guessed"}, {"guessed", "live"}, {"refused", "live"}}
	for _, who := range []string{"bob", ""} {
		v := newViewer(t, addr, who)
		gone := func(what string) {
			t.Helper()
			if f := v.next(); f.name != control.NameGone || string(f.body) != `{"ref":"x"}` {
				t.Errorf("%q is told of %s: %s %s", who, what, f.name, f.body)
			}
		}
		for _, n := range names {
			for _, from := range []run.Cursor{{}, {Epoch: at.Epoch}, at, {Epoch: at.Epoch, Offset: run.MaxOffset}, {Epoch: 1}} {
				v.attachAt("x", n[0], n[1], from)
				gone(fmt.Sprint(n, from))
			}
			v.ask(control.NameSteer, &control.Steer{Ref: "x", ThreadID: n[0], RunID: n[1], ID: "id", Text: "text"})
			gone(fmt.Sprint("a steer of ", n))
			v.ask(control.NameCancel, &control.Cancel{ThreadID: n[0], RunID: n[1]})
		}
		v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t", After: &control.After{
			RunID: "live", Epoch: run.FormatEpoch(at.Epoch), Offset: at.Offset,
		}})
		if f := v.next(); f.name != control.NameGone || strings.Contains(string(f.body), "secret") {
			t.Errorf("%s %s", f.name, f.body)
		}
		v.want(control.NameIdle, &control.Idle{Ref: "f"})
	}
	for _, secret := range []string{"", "A", strings.Repeat("A", 22), nobody.hello.Secret + "A", strings.ToUpper(nobody.hello.Secret)} {
		v := newViewer(t, addr, "")
		v.ask(control.NameBind, &control.Bind{Ref: "x", Secret: secret})
		if f := v.next(); f.name != control.NameGone || string(f.body) != `{"ref":"x"}` {
			t.Errorf("secret %q: %s %s", secret, f.name, f.body)
		}
		v.attachAt("x", "t", "anonymous", run.Cursor{})
		v.want(control.NameGone, &control.Gone{Ref: "x"})
	}
	if n := srv.Stats().Logged.Viewers; n != 2 {
		t.Errorf("%d viewers", n)
	}
	for _, id := range []string{"live", "anonymous"} { // nobody has cancelled them
		p.closes(id)
		p.end(id)
	}
	ann.await("RUN_FINISHED")
	nobody.await("RUN_FINISHED")
	testkit.Await(t, "all runs are counted as ended", func() bool {
		ended := srv.Stats().Logged.Ended
		return ended.Success == 3 && ended.Cancelled == 0
	})
}

// knock asks for a connection from an address.
func knock(t *testing.T, from, addr string) *testkit.Peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := testkit.Attach(t, nc)
	p.Put(testkit.Request("Sec-WebSocket-Protocol: " + control.Protocol))
	return p
}

// TestGuessesKeepANetworkOut: ten a minute, of whatever kind, and the connection that makes the tenth is
// closed behind its answer; further ones of its network are refused, while those that there are, and
// other networks, are not touched.
func TestGuessesKeepANetworkOut(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{Runs: agloop.RunsConfig{AuthorizeRun: refusing("refused")}})
	ann := newViewer(t, addr, "ann")
	ann.start("1", namedInput("t", "r"))
	p.say("r", "one ")
	at := ann.await("TEXT_MESSAGE_CONTENT").of.cursor()

	// What a healthy client does counts for nothing, however often: it comes back to a run that was
	// lost, or is over; it starts what it may not; it cancels what never was; it follows what is empty.
	for i := range 20 {
		ann.attachAt("x", "t", "lost", at)
		ann.want(control.NameGone, &control.Gone{Ref: "x"})
		ann.start("x", namedInput("refused", fmt.Sprint(i)))
		ann.want(control.NameGone, &control.Gone{Ref: "x"})
		ann.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: fmt.Sprint("lost", i)})
		ann.attachAt("x", "t", fmt.Sprint("lost", i), run.Cursor{}) // it is known by now
		ann.want(control.NameGone, &control.Gone{Ref: "x", Reason: control.ReasonEnded})
		ann.ask(control.NameFollow, &control.Follow{Ref: fmt.Sprint(i), ThreadID: fmt.Sprint("empty", i)})
		ann.want(control.NameIdle, &control.Idle{Ref: fmt.Sprint(i)})
	}

	bob := newViewer(t, addr, "bob")
	for i := range 2 {
		bob.attachAt("x", "t", "r", run.Cursor{})
		bob.want(control.NameGone, &control.Gone{Ref: "x"})
		bob.ask(control.NameSteer, &control.Steer{Ref: "x", ThreadID: "t", RunID: "r", ID: "id", Text: "text"})
		bob.want(control.NameGone, &control.Gone{Ref: "x"})
		bob.attachAt("x", "refused", "r", at)
		bob.want(control.NameGone, &control.Gone{Ref: "x"})
		bob.ask(control.NameFollow, &control.Follow{Ref: "x", ThreadID: "refused"})
		bob.want(control.NameGone, &control.Gone{Ref: "x"})
		other := newViewer(t, addr, "")
		other.ask(control.NameBind, &control.Bind{Ref: "x", Secret: strings.Repeat("A", 22)})
		other.want(control.NameGone, &control.Gone{Ref: "x"})
		if i == 1 {
			other.WantGoodbye(frame.ClosePolicy)
		} else {
			other.Close()
		}
	}
	if after := knock(t, "127.0.0.9", addr).WantRefusal(429)["Retry-After"]; after != "6" {
		t.Errorf("Retry-After %q", after)
	}
	if n := srv.Stats().Refusals.Guesses; n != 1 {
		t.Errorf("%d refused", n)
	}
	knock(t, "127.0.1.9", addr).WantSwitch()
	p.add("r", "two")
	if f := ann.await("TEXT_MESSAGE_CONTENT"); !strings.Contains(string(f.body), "two") {
		t.Errorf("who was there gets %s", f.body)
	}
	ann.attachAt("again", "t", "r", at)
	ann.await("TEXT_MESSAGE_CONTENT")
	// It is the connections that guess on that are closed, and nothing behind the guess is carried out.
	bob.attachAt("x", "t", "r", run.Cursor{})
	bob.start("y", namedInput("t", "bobs"))
	bob.want(control.NameGone, &control.Gone{Ref: "x"})
	bob.WantGoodbye(frame.ClosePolicy)
	if n := srv.Live(); n != 1 {
		t.Errorf("%d runs", n)
	}
	p.closes("r")
	p.end("r")
	ann.await("RUN_FINISHED")
}

// BenchmarkGone times the answer to a guess on a fresh connection: somebody else's run, one that never
// was, one that the host refuses, a stale secret. They are asked in turn, so that they can be compared.
func BenchmarkGone(b *testing.B) {
	kinds := []struct {
		name string
		ask  string
	}{
		{"another's", `["attach",{"ref":"x","threadId":"t","runId":"r"}]`},
		{"guessed", `["attach",{"ref":"x","threadId":"t","runId":"q"}]`},
		{"refused", `["attach",{"ref":"x","threadId":"n","runId":"r"}]`},
		{"stale", `["bind",{"ref":"x","secret":"AAAAAAAAAAAAAAAAAAAAAA"}]`},
	}
	p := newPuppets(b)
	_, addr := serveEach(b, agloop.ServerConfig{
		Agent: p, Rates: agloop.Rates{Guesses: -1}, Runs: agloop.RunsConfig{AuthorizeRun: refusing("n")},
	})
	ann := testkit.Dial(b, addr, "Sec-WebSocket-Protocol: "+control.Protocol, "Authorization: ann")
	ann.Put(testkit.Text(namedInput("t", "r")))
	p.say("r", "text")
	took := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, k := range kinds {
			nc := testkit.Dial(b, addr, "Sec-WebSocket-Protocol: "+control.Protocol)
			if _, _, err := nc.Message(); err != nil { // hello
				b.Fatal(err)
			}
			from := time.Now()
			nc.Put(testkit.Text(k.ask))
			_, answer, err := nc.Message()
			took[i] = append(took[i], time.Since(from))
			if err != nil || string(answer) != `["gone",{"ref":"x"}]` {
				b.Fatalf("%s: %s, %v", k.name, answer, err)
			}
			nc.Close()
		}
	}
	for i, k := range kinds {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2].Nanoseconds()), k.name+"-ns")
	}
	p.closes("r")
	p.end("r")
}
