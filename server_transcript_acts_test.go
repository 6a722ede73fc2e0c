package agloop_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// serverTranscripts is how each file comes to be said by the real server.
var serverTranscripts = map[string]func(t *testing.T, name string){
	"start":   plain,
	"several": plain,
	"leave":   plain,
	"cancel":  plain,
	"steer":   plain,
	"start-again": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{})
		for p.lines[0].Close == 0 {
			p.line()
		}
		testkit.Await(t, "the run begins", func() bool { return p.srv.Stats().Runs == 1 })
		p.all()
	},
	"attach": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{Runs: small})
		p.before("r", "")
		p.runs.say("r", "a ", "b ", "the ", "rest ", "of ", "a fold", " and more")
		p.has("r", 9)
		p.settles("r", 3, 8)
		p.epochOf("r")
		p.all()
	},
	"attach-start": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{Runs: small})
		p.before("r", `{"count":1}`)
		p.runs.say("r", "four ", "pieces ", "as ", "one")
		p.runs.closes("r")
		p.has("r", 7)
		p.settles("r", 3, 6)
		p.all()
	},
	"leave-back": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{Runs: small})
		for !strings.Contains(string(p.lines[0].Frame), `"attach"`) {
			p.line()
		}
		p.v.alive() // and it has left
		p.runs.closes("r")
		p.has("r", 5)
		p.settles("r", 3, 4)
		p.all()
	},
	"follow": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{Runs: agloop.RunsConfig{WindowEvents: 2, FoldedBytes: 400}})
		p.before("a", "")
		p.runs.end("a")
		p.has("a", 2)
		endsThere(t, p.srv, "t", "a")
		p.before("b", "")
		p.runs.say("b", strings.Repeat("x", 300), strings.Repeat("x", 300))
		p.runs.closes("b")
		p.isTrimmed("b")
		p.runs.end("b")
		endsThere(t, p.srv, "t", "b")
		p.before("c", "")
		p.runs.end("c")
		p.has("c", 2)
		endsThere(t, p.srv, "t", "c")
		p.line()
		p.line()
		for len(p.lines) > 0 {
			if strings.Contains(string(p.lines[0].Frame), `"run":3`) {
				p.before("d", "")
			}
			p.line()
		}
	},
	"follow-after": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{})
		p.before("a", "")
		p.runs.say("a")
		p.has("a", 2)
		p.before("b", "") // it waits for a
		p.all()
	},
	"gone": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{
			Runs: agloop.RunsConfig{WindowEvents: 2, FoldedBytes: 400, Retention: time.Nanosecond, OnBusyThread: agloop.BusyEnqueue},
		})
		startThere(t, p.srv, "t", "old")
		p.runs.end("old")
		testkit.Await(t, "old is a tombstone", func() bool { return p.srv.Stats().Logged.Tombstones == 1 })
		p.before("r", "")
		p.epochOf("r")
		p.runs.say("r", strings.Repeat("x", 300), "y", strings.Repeat("x", 300), strings.Repeat("x", 300))
		p.runs.closes("r")
		p.isTrimmed("r")
		p.all()
	},
	"conflict": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{})
		p.before("r", "")
		p.all()
	},
	"rejected": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{
			Runs: agloop.RunsConfig{OnBusyThread: agloop.BusyReject},
		})
		startThere(t, p.srv, "t", "busy")
		p.line()
		var want control.Rejected // of what an input may have, a host decides most
		_, body, _ := control.Parse(p.lines[1].Frame)
		p.v.into(seen{body: body}, &want)
		p.lines = p.lines[2:]
		p.v.start(want.Ref, `{"threadId":"t","runId":"r","messages":1}`)
		var got control.Rejected
		f := p.v.next()
		if p.v.into(f, &got); f.name != control.NameRejected || got.Code != want.Code || got.Ref != want.Ref || got.Field == "" {
			t.Errorf("got %s %+v, want %+v", f.name, got, want)
		}
		p.all()
	},
	"bind": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{})
		p.key = ""
		p.all()
	},
	"going": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{DrainTimeout: time.Minute})
		down := make(chan error, 1)
		for len(p.lines) > 0 {
			switch frame := string(p.lines[0].Frame); {
			case strings.Contains(frame, `"going"`):
				go func() { down <- p.srv.Shutdown(t.Context()) }()
			case strings.Contains(frame, `"b2"`):
				if err := testkit.Receive(t, "the server is down", down); err != nil {
					t.Error(err)
				}
				p.serve()
				p.emitted = make(map[string]uint64)
			}
			p.line()
		}
	},
	"auth": func(t *testing.T, name string) {
		p := play(t, name, agloop.ServerConfig{Authorize: func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
			switch req.Header.Get("Authorization") {
			case "":
				return agloop.Grant{}, agloop.ErrAuthLater
			case "Bearer expired":
				return agloop.Grant{}, &agloop.RefusedError{Status: 401, Reason: "expired"}
			}
			return agloop.Grant{Principal: agloop.Principal{Key: "ann"}}, nil
		}})
		p.key = ""
		p.all()
	},
}

func plain(t *testing.T, name string) { play(t, name, agloop.ServerConfig{}).all() }

// epochOf learns the epoch of a run that is there before.
func (p *played) epochOf(id string) {
	p.t.Helper()
	v := newViewer(p.t, p.addr, p.key)
	defer v.Reset()
	v.attachAt("1", "t", id, run.Cursor{})
	p.names["00f1e2d3c4b5a697"] = v.next().of.Epoch
}

// isTrimmed waits until the start of a run is gone.
func (p *played) isTrimmed(id string) {
	p.t.Helper()
	testkit.Await(p.t, "it is trimmed", func() bool {
		v := newViewer(p.t, p.addr, p.key)
		defer v.Reset()
		v.attachAt("1", "t", id, run.Cursor{})
		return v.next().name == control.NameGone
	})
}
