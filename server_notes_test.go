package agloop_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// noted is what a hook was told of an input, or of a run.
type noted struct {
	info  agloop.ConnInfo
	key   agloop.RunKey
	notes []agloop.Note
}

// TestInputNotes: what an input had that nobody knows is logged, with its run and its connection, and
// told to the hook before the run starts, whatever the client speaks.
func TestInputNotes(t *testing.T) {
	const more = 100
	input := func(run string) string {
		return fmt.Sprintf(`{"threadId":"t","runId":"%s","messages":[],"protocolVersion":"1.7","later":1,"tools":[{"name":"","description":"","x":0}]%s}`,
			run, strings.Repeat(`,"":0`, more))
	}
	for name, tc := range map[string]struct {
		key   string
		start func(t *testing.T, srv *agloop.Server, addr, run string)
	}{
		"bare": {"", func(t *testing.T, srv *agloop.Server, addr, run string) {
			w := newWireOf(t, srv, addr, "")
			w.send(input(run))
			w.ends(1)
		}},
		"bare of a principal": {"ada", func(t *testing.T, srv *agloop.Server, addr, run string) {
			w := newWireOf(t, srv, addr, "ada")
			w.send(input(run))
			w.ends(1)
		}},
		"agloop.v1": {"ada", func(t *testing.T, _ *agloop.Server, addr, run string) {
			v := newViewer(t, addr, "ada")
			v.start("1", input(run))
			for v.next().name != "RUN_FINISHED" {
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			told := make(chan noted, 10)
			srv, addr := serveEach(t, agloop.ServerConfig{
				Agent: hello, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				Hooks: agloop.Hooks{
					InputNoted: func(info agloop.ConnInfo, key agloop.RunKey, notes []agloop.Note) { told <- noted{info, key, notes} },
					RunStarted: func(info agloop.RunInfo) { told <- noted{key: info.RunKey} },
				},
			})
			tc.start(t, srv, addr, "r")
			n := testkit.Receive(t, "the notes", told)
			if n.key != (agloop.RunKey{Scope: tc.key, Thread: "t", Run: "r"}) || n.info.Principal.Key != tc.key || !n.info.Remote.IsValid() {
				t.Errorf("told of %+v over %+v", n.key, n.info)
			}
			texts := make([]string, len(n.notes))
			for i, note := range n.notes {
				texts[i] = note.String()
			}
			got, wanted := strings.Join(texts, ", "), []string{"stripped later", "stripped tools[0].x", "warned of protocolVersion", "stripped 86 more"}
			for _, want := range wanted {
				if !strings.Contains(got, want) || !log.has(want) {
					t.Errorf("no note %q in %s, log %s", want, got, log.b.String())
				}
			}
			if len(n.notes) != 18 {
				t.Errorf("%d notes", len(n.notes))
			}
			if !log.has("level=WARN", "thread=t", "run=r", "principal="+tc.key, "remote="+n.info.Remote.String()) || log.count("level=WARN") != 1 {
				t.Errorf("log %s", log.b.String())
			}
			if n := testkit.Receive(t, "the start", told); n.notes != nil || n.key.Run != "r" {
				t.Errorf("then %+v", n)
			}
			// An input of which there is nothing to say.
			w := newWireOf(t, srv, addr, tc.key)
			w.send(inputOf("plain", 0))
			w.ends(1)
			if n := testkit.Receive(t, "the start", told); n.notes != nil || n.key.Run != "plain" {
				t.Errorf("a plain input: %+v", n)
			}
		})
	}
}

// TestInputNotesOfAConnectionComeInOrder: behind the hook of the connection, one after another, and a
// hook that panics or ends its goroutine holds up nobody.
func TestInputNotesOfAConnectionComeInOrder(t *testing.T) {
	order := make(chan string, 20)
	connected := make(chan struct{})
	srv, addr := serve(t, agloop.ServerConfig{
		Agent: hello, Logger: slog.New(slog.DiscardHandler),
		Hooks: agloop.Hooks{
			Connected: func(agloop.ConnInfo) { <-connected; order <- "connected" },
			InputNoted: func(_ agloop.ConnInfo, key agloop.RunKey, _ []agloop.Note) {
				switch order <- "noted " + key.Run; key.Run {
				case "1":
					panic("boom")
				case "2":
					runtime.Goexit()
				}
			},
			RunEnded: func(end agloop.RunEnd) { order <- "ended " + end.Run },
		},
	})
	w := newWire(t, srv, addr)
	for i := range 4 {
		w.send(strings.Replace(inputOf(fmt.Sprint(i), 0), "{", `{"later":1,`, 1))
	}
	close(connected)
	if got := w.ends(4); got != "0 1 2 3" {
		t.Errorf("ends %s", got)
	}
	for _, want := range []string{
		"connected", "noted 0", "ended 0", "noted 1", "ended 1", "noted 2", "ended 2", "noted 3", "ended 3",
	} {
		if got := testkit.Receive(t, want, order); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
