package agloop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// overBoth is a config of a client that wants protobuf.
func overBoth() agloop.ClientConfig {
	return agloop.ClientConfig{Logger: quiet, Protocols: []string{control.ProtocolProto}}
}

// TestR30ProtoFrames: everything is binary; control begins with a bracket, and an event is protobuf.
func TestR30ProtoFrames(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: quick})
	p := testkit.Dial(t, addr, "Sec-WebSocket-Protocol: "+control.ProtocolProto)
	p.Put(testkit.Message(frame.Binary, []byte(`["start",{"ref":"1","input":`+namedInput("t", "r")+`}]`)))
	var d eventpb.Decoder
	var got []string
	for !slices.Contains(got, "RUN_FINISHED") {
		op, payload, err := p.Message()
		if err != nil || op != frame.Binary {
			t.Fatalf("opcode %v, %v", op, err)
		}
		if control.IsControl(payload) {
			name, _, err := control.Parse(payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
			continue
		}
		ev, notes, err := d.DecodeEvent(payload)
		if err != nil || notes != nil {
			t.Fatalf("%v, notes %v: %x", err, notes, payload)
		}
		got = append(got, string(ev.Type()))
	}
	if want := "hello run RUN_STARTED RUN_FINISHED"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	p.Put(testkit.Text(`["leave",{"run":1}]`))
	if reason := p.WantGoodbye(frame.CloseUnsupported); reason != "frames of agloop.v1.proto are binary" {
		t.Errorf("reason %q", reason)
	}
}

// TestR30TooLargeMessage: a client of agloop.v1 gets no event that belongs to nothing before the close.
func TestR30TooLargeMessage(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: quick, Limits: agloop.Limits{MaxMessage: 4096}})
	for _, protocol := range []string{control.Protocol, control.ProtocolProto} {
		p := testkit.Dial(t, addr, "Sec-WebSocket-Protocol: "+protocol)
		op := frame.Text
		if protocol == control.ProtocolProto {
			op = frame.Binary
		}
		if _, payload, err := p.Message(); err != nil || !bytes.HasPrefix(payload, []byte(`["hello"`)) {
			t.Fatalf("%s, %v", payload, err)
		}
		p.Put(testkit.Message(op, []byte(`["start",{"ref":"1","input":`+inputOf("r", 5000)+`}]`)))
		p.WantGoodbye(frame.CloseTooBig)
	}
}

// TestProtoEventStaysJSON: where protobuf would have more bytes than an event may, or lose half of a
// character.
func TestProtoEventStaysJSON(t *testing.T) {
	const text = `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"%s"}`
	for _, tt := range []struct {
		event string
		most  int
		stays bool
	}{
		{fmt.Sprintf(text, "hello"), 1000, false},
		{fmt.Sprintf(text, "hello"), 16, false}, // 16 bytes
		{fmt.Sprintf(text, "hello"), 15, true},
		{fmt.Sprintf(text, `hello\ud83d`), 1000, true},
		{fmt.Sprintf(text, `\ude00hello`), 1000, true},
		{fmt.Sprintf(text, `\ud83d\ude00hello`), 1000, false},
		{`{"type":"STATE_SNAPSHOT","snapshot":[0,0,0]}`, 43, false},
		{`{"type":"STATE_SNAPSHOT","snapshot":[0,0,0]}`, 42, true},
		{`{"type":"OF_THE_FUTURE"}`, 1000, true}, // which no log holds
	} {
		got := agloop.ProtoEvent(nil, []byte(tt.event), tt.most)
		want := []byte(tt.event)
		if !tt.stays {
			var err error
			if want, err = eventpb.AppendJSON(nil, want); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s in %d bytes became %q", tt.event, tt.most, got)
		}
	}
}

// TestR30ProtoCarriesLargeStates: a list of small numbers is five times as large in protobuf.
func TestR30ProtoCarriesLargeStates(t *testing.T) {
	state := json.RawMessage("[" + strings.Repeat("0,", 1800) + "9007199254740993]")
	_, addr := serve(t, agloop.ServerConfig{
		Limits: agloop.Limits{MaxEvent: 4096},
		Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
			return r.Emit(&agui.StateSnapshot{Snapshot: state})
		}),
	})
	c, err := agloop.Dial(t.Context(), wsURL(addr), overBoth())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Protocol(); got != control.ProtocolProto {
		t.Errorf("subprotocol %q", got)
	}
	var got []json.RawMessage
	for ev, err := range c.Run(t.Context(), inputFor("r")) {
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := ev.(*agui.StateSnapshot); ok {
			got = append(got, e.Snapshot)
		}
	}
	if len(got) != 1 || !bytes.Equal(got[0], state) {
		t.Errorf("got %d states, %.100s", len(got), got)
	}
}

// TestR41NextConnectionSpeaksTheOther: a run goes on where its next connection has the events in another
// encoding, in both directions.
func TestR41NextConnectionSpeaksTheOther(t *testing.T) {
	p := newPuppets(t)
	srv := closing(t, agloop.NewServer(forEach(agloop.ServerConfig{Agent: p, Logger: quiet})))
	var older atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if older.Load() {
			r.Header.Set("Sec-WebSocket-Protocol", control.Protocol)
		}
		srv.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	r := newBreaker(t, front.Listener.Addr().String())
	c := r.client(t, func(cfg *agloop.ClientConfig) { cfg.Protocols = []string{control.ProtocolProto} })
	var text strings.Builder
	said := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		var last error
		for ev, err := range c.Run(t.Context(), inputFor("r")) {
			last = err
			if e, ok := ev.(*agui.TextMessageContent); ok {
				said <- e.Delta
			}
		}
		ended <- last
	}()
	p.say("r")
	for i, protocol := range []string{control.ProtocolProto, control.Protocol, control.ProtocolProto} {
		testkit.Await(t, "the connection speaks "+protocol, func() bool {
			return c.State().Phase == agloop.ConnOpen && c.Protocol() == protocol
		})
		p.add("r", fmt.Sprint("é", i, "\n"))
		text.WriteString(testkit.Receive(t, "a piece", said))
		older.Store(i == 0)
		p.add("r", "while it is cut ")
		if i < 2 {
			r.cutAll(cutReset)
		}
		text.WriteString(testkit.Receive(t, "another piece", said))
	}
	p.closes("r")
	p.end("r")
	if err := testkit.Receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
	if want := "é0\nwhile it is cut é1\nwhile it is cut é2\nwhile it is cut "; text.String() != want {
		t.Errorf("got %q, want %q", text.String(), want)
	}
}

// TestProtoCompressed: compressed or not, events of protobuf come whole, and controls go plain.
func TestProtoCompressed(t *testing.T) {
	const lines = 40
	line := strings.Repeat("the quick brown fox jumps over the lazy dog, ", 20)
	srv, addr := serve(t, agloop.ServerConfig{Compression: compressed, Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		for i := range lines {
			if err := r.Emit(&agui.StateSnapshot{Snapshot: fmt.Appendf(nil, `{"n":%d,"line":%q}`, i, line)}); err != nil {
				return err
			}
		}
		return nil
	})})
	cost := func(cfg agloop.ClientConfig, id string) (bytes uint64) {
		c, err := agloop.Dial(t.Context(), wsURL(addr), cfg)
		if err != nil {
			t.Fatal(err)
		}
		before, states := srv.Stats().BytesOut, 0
		for ev, err := range c.Run(t.Context(), inputFor(id)) {
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := ev.(*agui.StateSnapshot); ok {
				if want := fmt.Sprintf(`{"n":%d,"line":%q}`, states, line); string(e.Snapshot) != want {
					t.Fatalf("state %s, want %s", e.Snapshot, want)
				}
				states++
			}
		}
		if states != lines {
			t.Errorf("%d states", states)
		}
		c.Close()
		testkit.Await(t, "the connection is gone, and all of it is counted", func() bool { return srv.Stats().Connections == 0 })
		return srv.Stats().BytesOut - before
	}
	cfg := overBoth()
	plain := cost(cfg, "plain")
	cfg.Compression = compressed
	if deflated := cost(cfg, "deflated"); deflated > plain/5 {
		t.Errorf("%d bytes compressed, %d plain", deflated, plain)
	}
}

// TestTransportOverProto: the runs of a transport come as protobuf where its client asks for that.
func TestTransportOverProto(t *testing.T) {
	protocols := make(chan string, 1)
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, Hooks: agloop.Hooks{
		Connected: func(info agloop.ConnInfo) { protocols <- info.Protocol },
	}})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}, ConnectionsPerURL: 1, Client: overBoth()})
	if got := testkit.Receive(t, "the connection", protocols); got != control.ProtocolProto {
		t.Errorf("subprotocol %q", got)
	}
	if got, err := transportRun(t.Context(), tr, "r"); got != helloTypes || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}
