package agloop_test

import (
	"testing"
	"time"

	"github.com/agloop/agloop"
)

const helloDurable = `["hello",{"version":1,"boot":"b1","resumable":"durable","limits":{"message":400,"attachments":2,"controls":4,"steer":10}}]`

// TestR41GoingProcess: the client moves when its own runs have ended, and starts none before.
func TestR41GoingProcess(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	asked, goOn := pauses(c)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), `["going",{"retryAfter":1.5}]`, says("2"))
	w.want("started r", "2")
	if got := c.State().Phase; got != agloop.ConnGoing {
		t.Errorf("state %v", got)
	}
	late := running(t, c, inputFor("late"))
	if err := c.Cancel(t.Context(), "t", "r"); err != nil {
		t.Error(err)
	}
	conn.want("cancel", "threadId", "t", "runId", "r") // and no start before it
	conn.say(finishedOf("r"))
	w.want("finished r")
	w.wantEnd(nil)
	conn.wantClosed(agloop.CloseNormal)
	wantPause(t, asked, goOn, 1500*time.Millisecond+time.Millisecond)
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "late", 1), startedOf("late"), finishedOf("late"))
	late.want("started late", "finished late")
	late.wantEnd(nil)
}

// TestR41GoingDurable: the client moves at once.
func TestR41GoingDurable(t *testing.T) {
	p := newPeer(t, helloDurable)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.say(`["going",{"retryAfter":-3}]`)
	conn.wantClosed(agloop.CloseNormal)
	conn = p.accept()
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), finishedOf("r"))
	w.want("finished r")
	w.wantEnd(nil)
}

// TestR41StartThatCameTooLate: a server that goes has not begun it, so the next one is asked.
func TestR41StartThatCameTooLate(t *testing.T) {
	p := newPeer(t)
	c, conn := p.dial(nil)
	w := running(t, c, inputFor("r"))
	conn.say(`["rejected",{"ref":"` + conn.want("start") + `","code":"shutting_down"}]`)
	conn.wantClosed(agloop.CloseNormal)
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"), finishedOf("r"))
	w.want("started r", "finished r")
	w.wantEnd(nil)
}
