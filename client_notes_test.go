package agloop_test

import (
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// TestClientNotes: the hook is told of an event before the caller has it, and in the place of one that
// nobody knows; every kind of sequence tells it, and the counts are exact beyond sixteen.
func TestClientNotes(t *testing.T) {
	const started = `{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"2.0"}`
	events := []string{
		started, `{"type":"LATER"}`,
		`{"type":"CUSTOM","name":"n","value":1` + strings.Repeat(`,"":0`, 20) + `}`,
		`{"type":"THINKING_START"}`, `{"type":"REASONING_END","messageId":"x"}`,
	}
	finished := `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`
	want := "t/r: warned of protocolVersion; RUN_STARTED; t/r: dropped LATER; " +
		"t/r: " + strings.Repeat(`stripped "", `, 16) + "stripped 4 more; CUSTOM; t/r: translated THINKING_START; REASONING_START"
	var got []string
	hook := func(cfg *agloop.ClientConfig) {
		cfg.OnNotes = func(thread, run string, notes []agloop.Note) {
			texts := make([]string, len(notes))
			for i, n := range notes {
				texts[i] = n.String()
			}
			got = append(got, thread+"/"+run+": "+strings.Join(texts, ", "))
		}
	}
	hear := func(ev agui.Event, err error) bool {
		if err != nil {
			got = append(got, err.Error())
			return false
		}
		got = append(got, string(ev.Type()))
		return ev.Type() != agui.EventTypeReasoningStart
	}
	check := func(name string, stats agloop.ClientStats) {
		t.Helper()
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%s:\n got %s\nwant %s", name, text, want)
		}
		if stats != (agloop.ClientStats{UnknownEvents: 1, Stripped: 20}) {
			t.Errorf("%s: %+v", name, stats)
		}
		got = nil
	}

	_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: append(events, finished)}})
	cfg := agloop.ClientConfig{Logger: quiet}
	hook(&cfg)
	bare, err := agloop.Dial(t.Context(), wsURL(addr), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	bare.Run(t.Context(), inputFor("r"))(hear)
	check("bare", bare.Stats())

	tr, err := agloop.NewTransport(agloop.TransportConfig{URLs: []string{wsURL(addr)}, Client: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer tr.Stop()
	tr.Run(t.Context(), inputFor("r"))(hear)
	stats := tr.Stats()
	check("transport", agloop.ClientStats{UnknownEvents: stats.UnknownEvents, Stripped: stats.Stripped})

	for name, begin := range map[string]func(c *agloop.Client) func(func(agui.Event, error) bool){
		"start": func(c *agloop.Client) func(func(agui.Event, error) bool) { return c.Run(t.Context(), inputFor("r")) },
		"attach": func(c *agloop.Client) func(func(agui.Event, error) bool) {
			return c.Attach(t.Context(), "t", "r", agloop.Cursor{})
		},
		"follow": func(c *agloop.Client) func(func(agui.Event, error) bool) { return c.Follow(t.Context(), "t") },
	} {
		p := newPeer(t)
		c, conn := p.dial(hook)
		over := make(chan struct{})
		go func() {
			defer close(over)
			begin(c)(hear)
		}()
		fields := []any{"threadId", "t"}
		switch name {
		case "attach":
			fields = append(fields, "runId", "r")
		case "start":
			fields = nil
		}
		ref := conn.want(name, fields...)
		conn.say(append([]string{selects(1, ref, "r", 1)}, events...)...)
		<-over
		check(name, c.Stats())
	}
}
