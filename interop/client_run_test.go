package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

const (
	started  = `{"type":"RUN_STARTED","threadId":"thread","runId":"run"}`
	finished = `{"type":"RUN_FINISHED","threadId":"thread","runId":"run"}`
)

// scripted serves one run: it sends the events and waits for the client to leave, whose close it
// reports.
func scripted(t *testing.T, accept accepter, frames []string, end func(peer)) (url string, seen chan error) {
	seen = make(chan error, 1)
	return accept(t, func(p peer) {
		_, b, err := p.receive()
		var in struct{ ThreadID, RunID, ProtocolVersion string }
		if err == nil {
			err = json.Unmarshal(b, &in)
		}
		if err != nil || in.ThreadID != "thread" || in.RunID != "run" || in.ProtocolVersion != agui.ProtocolVersion {
			t.Errorf("input %q, %v", b, err)
		}
		for _, frame := range frames {
			text := !strings.HasPrefix(frame, "binary:")
			if err := p.send(text, []byte(strings.TrimPrefix(frame, "binary:"))); err != nil {
				t.Error(err)
			}
		}
		if end != nil {
			end(p)
		}
		for err = nil; err == nil; {
			_, _, err = p.receive()
		}
		seen <- err
	}), seen
}

// runAll makes a run and returns the types it yields, and its error.
func runAll(t testing.TB, c *client.Client) (types string, err error) {
	t.Helper()
	for ev, e := range c.Run(within(t), runInput("run")) {
		if e != nil {
			err = e
			continue
		}
		if err != nil {
			t.Error("an event after an error")
		}
		types = strings.TrimPrefix(types+" "+string(ev.Type()), " ")
	}
	return types, err
}

func TestClientRun(t *testing.T) {
	text := func(member string) string { return `{"type":"TEXT_MESSAGE_` + member + `}` }
	isFieldError := func(event, field string) func(error) bool {
		return func(err error) bool {
			fe, ok := errors.AsType[*agloop.FieldError](err)
			return ok && fe.Event == event && fe.Field == field
		}
	}
	isOrderError := func(event agui.EventType, rule string) func(error) bool {
		return func(err error) bool {
			oe, ok := errors.AsType[*agloop.OrderError](err)
			return ok && oe.Event == event && oe.Rule == rule
		}
	}
	truncatedWith := func(code server.CloseCode) func(error) bool {
		return func(err error) bool {
			ce, ok := errors.AsType[*client.CloseError](err)
			return errors.Is(err, agloop.ErrTruncated) && ok && ce.Code == code
		}
	}
	tests := []struct {
		name   string
		frames []string
		end    func(peer) // what the server does then; nil waits
		types  string
		wrong  func(error) bool // nil: no error
		sees   int              // the code the server sees; 0: the connection stays
		stats  client.Stats
	}{
		{
			name:   "good",
			frames: []string{started, text(`START","messageId":"m"`), text(`CONTENT","messageId":"m","delta":""`), text(`END","messageId":"m"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED",
		},
		{
			name:   "chunks",
			frames: []string{started, text(`CHUNK","messageId":"m","delta":"a"`), text(`CHUNK","delta":"b"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED",
		},
		{name: "RUN_ERROR is an event", frames: []string{started, `{"type":"RUN_ERROR","message":"sorry"}`}, types: "RUN_STARTED RUN_ERROR"},
		{name: "refused", frames: []string{`{"type":"RUN_ERROR","message":"no"}`}, types: "RUN_ERROR"},
		{
			name:   "unknown event",
			frames: []string{started, `{"type":"SOMETHING_NEW","x":[1]}`, `{"type":"ping"}`, finished},
			types:  "RUN_STARTED RUN_FINISHED", stats: client.Stats{UnknownEvents: 2},
		},
		{
			name:   "unknown members",
			frames: []string{started, `{"type":"CUSTOM","name":"n","value":{"open":1},"toString":1}`, `{"type":"RUN_FINISHED","threadId":"thread","runId":"run","outcome":{"type":"novel"}}`},
			types:  "RUN_STARTED CUSTOM RUN_FINISHED", stats: client.Stats{Stripped: 2},
		},
		{
			name:   "malformed field",
			frames: []string{started, text(`START","messageId":7`), finished},
			types:  "RUN_STARTED", wrong: isFieldError("TEXT_MESSAGE_START", "messageId"), sees: 1002,
		},
		{
			name:   "missing field",
			frames: []string{started, text(`CONTENT","messageId":"m"`), finished},
			types:  "RUN_STARTED", wrong: isFieldError("TEXT_MESSAGE_CONTENT", "delta"), sees: 1002,
		},
		{
			name:   "null for absent",
			frames: []string{`{"type":"RUN_STARTED","threadId":"thread","runId":"run","parentRunId":null}`},
			wrong:  isFieldError("RUN_STARTED", "parentRunId"), sees: 1002,
		},
		{name: "no type", frames: []string{started, `{"kind":"x"}`}, types: "RUN_STARTED", wrong: isFieldError("", "type"), sees: 1002},
		{
			name: "no JSON", frames: []string{started, `data: {}`}, types: "RUN_STARTED",
			wrong: func(err error) bool { _, ok := errors.AsType[*agloop.FieldError](err); return ok }, sees: 1002,
		},
		{
			name:   "content of nothing",
			frames: []string{started, text(`CONTENT","messageId":"m","delta":"x"`), finished},
			types:  "RUN_STARTED", wrong: isOrderError(agui.EventTypeTextMessageContent, agui.RuleNotOpen), sees: 1002,
		},
		{
			name: "started late", frames: []string{text(`START","messageId":"m"`), started},
			wrong: isOrderError(agui.EventTypeTextMessageStart, agui.RuleFirstEvent), sees: 1002,
		},
		{
			name:   "finished too early",
			frames: []string{started, text(`START","messageId":"m"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START", wrong: isOrderError(agui.EventTypeRunFinished, agui.RuleStillOpen), sees: 1002,
		},
		{
			name: "cut off", frames: []string{started}, end: peer.drop,
			types: "RUN_STARTED", wrong: truncatedWith(1006),
		},
		{
			name: "closed in the middle", frames: []string{started}, end: func(p peer) { _ = p.close(1000, "") },
			types: "RUN_STARTED", wrong: truncatedWith(1000),
		},
		{
			name: "closed before the start", end: func(p peer) { _ = p.close(1011, "broken") },
			wrong: truncatedWith(1011),
		},
		{name: "binary", frames: []string{started, "binary:" + finished}, types: "RUN_STARTED", wrong: truncatedWith(1003), sees: 1003},
	}
	eachServer(t, func(t *testing.T, accept accepter) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				url, seen := scripted(t, accept, tt.frames, tt.end)
				c := connect(t, url, clientConfig())
				types, err := runAll(t, c)
				if types != tt.types {
					t.Errorf("got %q, want %q", types, tt.types)
				}
				if (err == nil) != (tt.wrong == nil) || err != nil && !tt.wrong(err) {
					t.Errorf("got error %v", err)
				}
				if got := c.Stats(); got != tt.stats {
					t.Errorf("got %+v, want %+v", got, tt.stats)
				}
				want := tt.sees
				if want == 0 {
					c.Close()
					want = 1000
				}
				if code, _ := closedWith(<-seen); tt.end == nil && code != want {
					t.Errorf("the server saw the client close with %d, want %d", code, want)
				}
				if tt.sees != 0 { // the next run dials again
					again, err := runAll(t, c)
					if again != tt.types || err == nil || !tt.wrong(err) {
						t.Errorf("the next run: %q, %v", again, err)
					}
					<-seen
				}
			})
		}
	})
}

// bareConfig is that of a client that wants no agloop.v1: its runs die with their connection.
func bareConfig() client.Config {
	cfg := clientConfig()
	cfg.Resume.Off = true
	return cfg
}

// TestClientRuns: on a bare wire runs follow one another on one connection, and not at once.
func TestClientRuns(t *testing.T) {
	_, url := serve(t, server.Config{Agent: agentFunc(story)})
	c := connect(t, url, bareConfig())
	for range 3 {
		var got []string
		for ev, err := range c.Run(within(t), runInput("run")) {
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				if _, err := runAll(t, c); !errors.Is(err, agloop.ErrRunActive) {
					t.Errorf("a run inside a run: %v", err)
				}
			}
			got = append(got, string(ev.Type()))
		}
		if strings.Join(got, " ") != strings.Join(storyTypes, " ") {
			t.Errorf("got %q", got)
		}
	}
	for _, err := range c.Run(within(t), &agui.RunAgentInput{ThreadID: "thread", RunID: "run", State: json.RawMessage("{")}) {
		if _, ok := errors.AsType[*agloop.FieldError](err); !ok {
			t.Errorf("a malformed input: %v", err)
		}
	}
	if _, err := runAll(t, c); err != nil {
		t.Errorf("after a malformed input: %v", err)
	}
	c.Close()
	if _, err := runAll(t, c); !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestClientLeaves: however a caller leaves a run on a bare wire, the agent is told.
func TestClientLeaves(t *testing.T) {
	agent := newHeld()
	srv, url := serve(t, server.Config{Agent: agent})
	tests := []struct {
		name  string
		leave func(c *client.Client, cancel context.CancelFunc) bool // whether to go on reading
		want  error
	}{
		{"break", func(*client.Client, context.CancelFunc) bool { return false }, nil},
		{"cancel", func(_ *client.Client, cancel context.CancelFunc) bool { cancel(); return true }, context.Canceled},
		{"Close", func(c *client.Client, _ context.CancelFunc) bool { c.Close(); return true }, agloop.ErrClientClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			c := connect(t, url, bareConfig())
			var last error
			for ev, err := range c.Run(ctx, runInput("run")) {
				if last = err; err == nil && ev.Type() == agui.EventTypeTextMessageStart && !tt.leave(c, cancel) {
					break
				}
			}
			if !errors.Is(last, tt.want) {
				t.Errorf("the run ended with %v, want %v", last, tt.want)
			}
			testkit.Await(t, "the run to end", func() bool { return srv.Stats().Runs == 0 })
			testkit.Await(t, "the connection to end", func() bool { return srv.Stats().Connections == 0 })
		})
	}
}

// TestClientSlowConsumer: events that nobody takes are bounded.
func TestClientSlowConsumer(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		frames := []string{started}
		for range 40 {
			frames = append(frames, `{"type":"CUSTOM","name":"n","value":"`+strings.Repeat("x", 1000)+`"}`)
		}
		sent := make(chan struct{})
		url, seen := scripted(t, accept, frames, func(peer) { close(sent) })
		cfg := clientConfig()
		cfg.MaxPending = 20_000
		c := connect(t, url, cfg)
		n := 0
		for _, err := range c.Run(within(t), runInput("run")) {
			if n == 0 {
				<-sent
				if code, _ := closedWith(<-seen); code != 1008 {
					t.Errorf("the server saw close %d, want 1008", code)
				}
			}
			n++
			if err != nil && !errors.Is(err, agloop.ErrSlowConsumer) {
				t.Error(err)
			}
		}
		if n < 10 || n > 22 {
			t.Errorf("%d events and errors, want what fits into MaxPending", n)
		}
	})
}

// TestClientMany: clients of one process share their loops and do not mix their runs.
func TestClientMany(t *testing.T) {
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		for i := range 50 {
			if err := run.Emit(&agui.Custom{Name: run.Input.RunID, Value: fmt.Append(nil, i)}); err != nil {
				return err
			}
		}
		return nil
	})})
	errs := make(chan error)
	const clients = 20
	for i := range clients {
		go func() {
			errs <- func() error {
				c, err := client.Dial(within(t), url, clientConfig())
				if err != nil {
					return err
				}
				defer c.Close()
				for j := range 5 {
					id, n := fmt.Sprint(i, "-", j), 0
					for ev, err := range c.Run(within(t), runInput(id)) {
						if err != nil {
							return err
						}
						if e, ok := ev.(*agui.Custom); ok {
							if e.Name != id || !bytes.Equal(e.Value, fmt.Append(nil, n)) {
								return fmt.Errorf("run %s: event %s of run %s", id, e.Value, e.Name)
							}
							n++
						}
					}
					if n != 50 {
						return fmt.Errorf("run %s: %d events", id, n)
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
