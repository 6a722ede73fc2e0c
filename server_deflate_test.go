package agloop_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// browserOffers is what browsers offer: their context is kept, and their window is large.
const browserOffers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// oneMessage is the name of a message, as agents give them.
const oneMessage = "message-b6a1c2f0-7f0c-4b41-9a52-0a1d4f1c9e11"

// compressing is the config of a server whose events leave at once, compressed.
func compressing(a agloop.Agent) agloop.ServerConfig {
	return agloop.ServerConfig{
		Agent: a, Compression: agloop.Compression{Enabled: true}, Limits: agloop.Limits{MessageBatchTimeout: -1}, Logger: quiet,
	}
}

// cost is what messages were on the wire, their headers included.
type cost struct {
	wire, plain         int // bytes, and what they would be plain
	events, eventsPlain int // of them, those of events
	controls            int // those of selectors and other controls, which go plain
	frames              int
}

func (c *cost) String() string {
	return fmt.Sprintf("%d bytes for %d, %.3f: events %d for %d, %.3f; controls %d", c.wire, c.plain, c.ratio(),
		c.events, c.eventsPlain, float64(c.events)/float64(c.eventsPlain), c.controls)
}

func (c *cost) ratio() float64 { return float64(c.wire) / float64(c.plain) }

// most fails if it was more than that part of plain, with takeover, or much more than plain without.
func (c *cost) most(t *testing.T, what string, takeover bool, part float64) {
	t.Helper()
	if !takeover {
		part = 1.01
	}
	if c.ratio() > part {
		t.Errorf("%s: %.3f of plain, want at most %.2f", what, c.ratio(), part)
	}
}

// inflating is a client that inflates, and counts.
type inflating struct {
	*testkit.Peer
	t    *testing.T
	f    testkit.Inflater
	cost cost
}

func newInflating(t *testing.T, addr string, fields ...string) *inflating {
	t.Helper()
	v := &inflating{t: t, Peer: testkit.Connect(t, addr, 0)}
	answer := v.Upgrade(fields...)["Sec-WebSocket-Extensions"]
	if !strings.HasPrefix(answer, "permessage-deflate") {
		t.Fatalf("agreed on %q", answer)
	}
	v.f.NoContext = strings.Contains(answer, "server_no_context_takeover")
	return v
}

// read returns the next message, and whether it was compressed.
func (v *inflating) read() (plain string, compressed bool) {
	v.t.Helper()
	f := v.Frame()
	if op := frame.Opcode(f.Head & 0xF); op != frame.Text || f.Head&0b1_000_0000 == 0 {
		v.t.Fatalf("frame %08b %.60q", f.Head, f.Payload)
	}
	size := frame.HeaderSize(len(f.Payload), false) + len(f.Payload)
	if plain = string(f.Payload); f.Head&frame.Compressed != 0 {
		plain, compressed = string(v.f.Inflate(v.t, f.Payload)), true
	}
	whole := frame.HeaderSize(len(plain), false) + len(plain)
	v.cost.wire += size
	v.cost.plain += whole
	v.cost.frames++
	if control.IsControl([]byte(plain)) {
		if compressed {
			v.t.Fatalf("a control was compressed: %s", plain)
		}
		v.cost.controls += size
	} else {
		v.cost.events += size
		v.cost.eventsPlain += whole
	}
	return plain, compressed
}

// event reads the next event.
func (v *inflating) event() (ev struct{ Type, MessageID, Delta string }) {
	v.t.Helper()
	for {
		m, _ := v.read()
		if control.IsControl([]byte(m)) {
			continue
		}
		if err := json.Unmarshal([]byte(m), &ev); err != nil {
			v.t.Fatalf("%q: %v", m, err)
		}
		return ev
	}
}

// tokensOf are the texts of a run's tokens: those of the command that streams for measurements, or the
// words of a text that stays as it is, as a model says them.
func tokensOf(t *testing.T, kind string, n int) (list []string) {
	t.Helper()
	if kind == "stream" {
		const words = "every token is an event of its own "
		for i := range n {
			at := i % len(words)
			list = append(list, (words + words)[at:at+24])
		}
		return list
	}
	text, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for words := strings.Fields(string(text)); len(list) < n; {
		list = append(list, words[len(list)%len(words)]+" ")
	}
	return list
}

// tokenOf is an event of a run that says text, n-th of all.
func tokenOf(message, text string, n int) agui.Event {
	ev := &agui.TextMessageContent{MessageID: message, Delta: text}
	ev.Timestamp = new(1_769_904_000_000 + int64(n)*23)
	return ev
}

// TestDeflateBytesOfOneRun: with a client that keeps its context, as browsers do, a run's tokens take at
// most 0.27 of what they take plain. What is without is told.
func TestDeflateBytesOfOneRun(t *testing.T) {
	const n = 1000
	for _, kind := range []string{"stream", "words"} {
		for _, takeover := range []bool{true, false} {
			for _, wire := range []string{"bare", "agloop.v1"} {
				p := newPuppets(t)
				_, addr := serve(t, compressing(p))
				fields := []string{browserOffers}
				if !takeover {
					fields[0] += "; server_no_context_takeover"
				}
				input := namedInput("thread", "r")
				if wire != "bare" {
					fields = append(fields, "Sec-WebSocket-Protocol: "+control.Protocol)
					input = `["start",{"ref":"1","input":` + input + `}]`
				}
				v := newInflating(t, addr, fields...)
				v.Put(testkit.Text(input))
				p.emit("r", &agui.TextMessageStart{MessageID: oneMessage, Role: agui.RoleAssistant})
				words := tokensOf(t, kind, n)
				p.do("r", func(r *agloop.Run) (err error) {
					for i := 0; i < n && err == nil; i++ {
						err = r.Emit(tokenOf(oneMessage, words[i], i))
					}
					return err
				})
				p.emit("r", &agui.TextMessageEnd{MessageID: oneMessage})
				p.end("r")
				got := ""
				for ev := v.event(); ev.Type != "RUN_FINISHED"; ev = v.event() {
					got += ev.Delta
				}
				if got != strings.Join(words, "") {
					t.Errorf("%s, %s: other text came", kind, wire)
				}
				what := fmt.Sprintf("%s, %s, takeover %t", kind, wire, takeover)
				t.Logf("%s: %s", what, &v.cost)
				v.cost.most(t, what, takeover, 0.27)
			}
		}
	}
}

// TestDeflateBytesOfThreeRuns: three runs on one connection take turns, a few tokens each, as bursts of
// models come: no more than those of one. Where the run changes with every token it is more: each has a
// selector of 32 bytes before it, which is a control and goes plain, and the name of another message than
// the one that it is compressed by.
func TestDeflateBytesOfThreeRuns(t *testing.T) {
	const n = 400
	for _, kind := range []string{"stream", "words"} {
		for burst, most := range map[int]float64{1: 0.50, 4: 0.27} {
			for _, takeover := range []bool{true, false} {
				p := newPuppets(t)
				_, addr := serve(t, compressing(p))
				fields := []string{browserOffers, "Sec-WebSocket-Protocol: " + control.Protocol}
				if !takeover {
					fields[0] += "; server_no_context_takeover"
				}
				v := newInflating(t, addr, fields...)
				words := tokensOf(t, kind, n)
				messages := []string{oneMessage, "message-0d4e9a7b-1c55-4f3e-8a86-7e2b90c4d5f3", "message-5c7f3e21-92ab-4d60-b1f8-3f6e8d9a0b47"}
				for k, id := range messages {
					run := fmt.Sprint("r", k)
					v.Put(testkit.Text(`["start",{"ref":"` + run + `","input":` + namedInput("thread-"+run, run) + `}]`))
					p.emit(run, &agui.TextMessageStart{MessageID: id, Role: agui.RoleAssistant})
				}
				got := make(map[string]string)
				hear := func(events int) {
					for range events {
						ev := v.event()
						got[ev.MessageID] += ev.Delta
					}
				}
				hear(2 * len(messages))
				for i := 0; i < n; i += burst {
					for k, id := range messages {
						p.do(fmt.Sprint("r", k), func(r *agloop.Run) (err error) {
							for j := i; j < i+burst && err == nil; j++ {
								err = r.Emit(tokenOf(id, words[j], j))
							}
							return err
						})
						hear(burst)
					}
				}
				for k, id := range messages {
					if got[id] != strings.Join(words, "") {
						t.Errorf("run %d, %d at a time: other text came", k, burst)
					}
					p.emit(fmt.Sprint("r", k), &agui.TextMessageEnd{MessageID: id})
					p.end(fmt.Sprint("r", k))
					hear(2)
				}
				what := fmt.Sprintf("%s, %d at a time, takeover %t", kind, burst, takeover)
				t.Logf("%s: %s", what, &v.cost)
				v.cost.most(t, what, takeover, most)
			}
		}
	}
}

// TestDeflateBytesOfAllEvents: a client gets every kind of event, one after another, which resemble each
// other least.
func TestDeflateBytesOfAllEvents(t *testing.T) {
	text, err := os.ReadFile("agui/testdata/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, takeover := range []bool{true, false} {
		_, addr := serve(t, agloop.ServerConfig{Handler: saying{lines: lines}, Compression: agloop.Compression{Enabled: true}})
		offer := browserOffers
		if !takeover {
			offer += "; server_no_context_takeover"
		}
		v := newInflating(t, addr, offer)
		for _, want := range lines {
			if got, _ := v.read(); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		what := fmt.Sprintf("all events, takeover %t", takeover)
		t.Logf("%s: %s", what, &v.cost)
		v.cost.most(t, what, takeover, 0.40)
	}
}

// saying sends lines to whom it meets.
type saying struct {
	agloop.NopHandler
	lines []string
}

func (s saying) OnOpen(c *agloop.Conn) {
	for _, line := range s.lines {
		c.Send(agloop.Text, []byte(line))
	}
}
