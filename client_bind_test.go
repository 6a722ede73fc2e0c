package agloop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// anonymous is the hello of a session with that secret.
func anonymous(secret string) string {
	return strings.Replace(helloProcess, `"boot"`, `"secret":"`+secret+`","boot"`, 1)
}

// TestR25SecretOfTheFirstHello names the session, though that connection has ended before Dial returns.
func TestR25SecretOfTheFirstHello(t *testing.T) {
	for range 20 { // in most rounds it has
		url, conns := greeters(t, anonymous("s1"), anonymous("s2"))
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			(<-conns).Close()
		}()
		c, err := agloop.Dial(t.Context(), url, agloop.ClientConfig{
			Logger: quiet, Resume: agloop.Resume{MinBackoff: time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		<-closed
		if got := c.Secret(); got != "s1" {
			t.Fatalf("Dial has returned, and the secret is %q", got)
		}
		conn := testkit.Receive(t, "a connection", conns)
		if f, err := conn.Next(); err != nil || string(f.Payload) != `["bind",{"ref":"1","secret":"s1"}]` {
			t.Fatalf("got %s, %v", f.Payload, err)
		}
	}
}

// TestR17StartWaitsForItsSession: a start that had no answer is sent again only in the session that
// it was sent in. In another one the run would begin a second time.
func TestR17StartWaitsForItsSession(t *testing.T) {
	p := newPeer(t, anonymous("s1"), anonymous("s2"), anonymous("s3"), anonymous("s4"))
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.want("start")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("bind", "secret", "s1")
	probe := conn.want("attach", "threadId", "t", "runId", "r", "epoch", "0000000000000000", "offset", 9007199254740991.0)
	conn.silent()
	conn.say(`["gone",{"ref":"` + probe + `"}]`) // and none for the bind, which holds
	conn.want("start")
	fresh := running(t, c, inputFor("fresh"))
	conn.want("start") // the session is known
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	bind := conn.want("bind", "secret", "s1")
	probe = conn.want("attach", "threadId", "t", "runId", "r", "epoch", "0000000000000000", "offset", 9007199254740991.0)
	late := running(t, c, inputFor("late"))
	ref := conn.want("start") // nobody has seen it yet
	conn.say(`["gone",{"ref":"`+bind+`"}]`, `["gone",{"ref":"`+probe+`"}]`, selects(1, ref, "late", 1), startedOf("late"))
	w.wantEnd(agloop.ErrStartUnknown)
	fresh.wantEnd(agloop.ErrStartUnknown)
	late.want("started late")
	if got := c.Secret(); got != "s3" {
		t.Errorf("secret %q", got)
	}
	conn.silent()
}

// TestR20FollowLeavesOutOwnRuns: those of an earlier connection as well, which the server of the next
// one knows nothing of.
func TestR20FollowLeavesOutOwnRuns(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	follow := following(t, c)
	conn.want("follow", "threadId", "t")
	w := running(t, c, inputFor("own"))
	conn.say(selects(1, conn.want("start"), "own", 1), startedOf("own"), finishedOf("own"))
	w.want("started own", "finished own")
	w.wantEnd(nil)
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "own", 1), startedOf("own"))
	conn.want("leave", "run", 1.0)
	conn.say(finishedOf("own"), selects(2, ref, "other", 1), startedOf("other"), finishedOf("other"))
	follow.want("started other", "finished other")
}

// TestR20FollowedToItsEnd: a run that the server has no more, and that came whole, is no news.
func TestR20FollowedToItsEnd(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := following(t, c)
	ref := conn.want("follow", "threadId", "t")
	conn.say(selects(1, ref, "a", 1), startedOf("a"), finishedOf("a"))
	w.want("started a", "finished a")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("follow", "threadId", "t", "after", map[string]any{"runId": "a", "epoch": epoch1, "offset": 2.0})
	conn.say(`["gone",{"ref":"`+ref+`","runId":"a"}]`, selects(1, ref, "b", 1), startedOf("b"))
	w.want("started b")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("follow", "threadId", "t", "after", map[string]any{"runId": "b", "epoch": epoch1, "offset": 0.0})
	conn.say(`["gone",{"ref":"` + ref + `","runId":"b"}]`)
	w.want("gone b ") // it did not come whole
}

// TestR25AnotherServerIsAskedForNoSession: a secret is worth nothing to a server with another boot, and
// would count there as a guess.
func TestR25AnotherServerIsAskedForNoSession(t *testing.T) {
	other := func(secret string) string { return strings.Replace(anonymous(secret), "b1", "b2", 1) }
	p := newPeer(t, anonymous("s1"), anonymous("s2"), other("s3"), other("s4"))
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("bind", "secret", "s1")
	conn.want("attach", "threadId", "t", "runId", "r", "epoch", "00f1e2d3c4b5a697", "offset", 1.0)
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("attach", "threadId", "t", "runId", "r", "epoch", "00f1e2d3c4b5a697", "offset", 1.0) // without a bind
	if got := c.Secret(); got != "s3" {
		t.Errorf("secret %q", got)
	}
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("bind", "secret", "s3")
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", "00f1e2d3c4b5a697", "offset", 1.0)
	conn.say(`["gone",{"ref":"` + ref + `"}]`)
	w.wantEnd(agloop.ErrGone)
}
