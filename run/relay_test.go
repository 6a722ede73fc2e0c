package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// relayed runs an agent that passes on frames, and returns what was sent, what was logged and the
// error of the first frame that was refused.
func relayed(t *testing.T, frames ...string) (s *sink, log []record, refused error) {
	t.Helper()
	s, log = logged(t, setup(nil, nil), func(_ func(), r *run.Run) error {
		for _, f := range frames {
			if refused = r.EmitJSON([]byte(f)); refused != nil {
				return refused
			}
		}
		return nil
	})
	return s, log, refused
}

// TestEmitJSONJudges: what it takes and what it sends for it, by the verdicts of a reader.
func TestEmitJSONJudges(t *testing.T) {
	const began = `{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.0"}`
	for _, tc := range []struct {
		name   string
		frames []string
		want   string // what follows RUN_STARTED
		warned int
	}{
		{"as it is", []string{`{"type":"CUSTOM","name":"n","value":null}`}, `{"type":"CUSTOM","name":"n","value":null}`, 0},
		{"spelled otherwise", []string{" {\"value\" : [ 1.50 ] ,\n\"name\":\"\\u006e\", \"type\":\"CUSTOM\"}"}, `{"type":"CUSTOM","name":"n","value":[ 1.50 ]}`, 0},
		{"unknown type", []string{`{"type":"TELEPORT","x":[]}`, `{"type":"RAW","event":1}`}, `{"type":"RAW","event":1}`, 1},
		{"unknown member", []string{`{"type":"RAW","event":{"x":1},"source":"s","x":1}`}, `{"type":"RAW","event":{"x":1},"source":"s"}`, 1},
		{"a member twice", []string{`{"type":"RAW","event":1,"event":2}`}, `{"type":"RAW","event":2}`, 0},
		{"null where absent is meant", []string{`{"type":"RAW","event":1,"rawEvent":null}`}, `{"type":"RAW","event":1}`, 0},
		{"own RUN_STARTED", []string{began, `{"type":"RAW","event":1}`}, `{"type":"RAW","event":1}`, 0},
		{
			"own end",
			[]string{began, `{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":1}`},
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":1}`, 0,
		},
		{
			"own end without a beginning",
			[]string{`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`},
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`, 0,
		},
		{
			"end of a run of other names",
			[]string{
				`{"type":"RUN_STARTED","threadId":"theirs","runId":"1"}`,
				`{"type":"RUN_FINISHED","threadId":"theirs","runId":"1","outcome":{"type":"cancelled"}}`,
			},
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"cancelled"}}`, 0,
		},
		{
			"end of this run in a stream of other names",
			[]string{
				`{"type":"RUN_STARTED","threadId":"theirs","runId":"1"}`, `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
			},
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`, 0,
		},
		{"their error", []string{began, `{"type":"RUN_ERROR","message":"x","code":"c"}`}, `{"type":"RUN_ERROR","message":"x","code":"c"}`, 0},
		{
			"halves of a character",
			[]string{
				`{"type":"TEXT_MESSAGE_START","messageId":"m"}`, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a\ud83d"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\ude00b"}`, `{"type":"TEXT_MESSAGE_END","messageId":"m"}`,
			},
			`{"type":"TEXT_MESSAGE_START","messageId":"m"} {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a"} ` +
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"😀b"} {"type":"TEXT_MESSAGE_END","messageId":"m"}`, 0,
		},
		{
			"half a character",
			[]string{
				`{"type":"TEXT_MESSAGE_START","messageId":"m"}`, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a\ud83d"}`,
				`{"type":"TEXT_MESSAGE_END","messageId":"m"}`,
			},
			`{"type":"TEXT_MESSAGE_START","messageId":"m"} {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a"} ` +
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"�"} {"type":"TEXT_MESSAGE_END","messageId":"m"}`, 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, log, refused := relayed(t, tc.frames...)
			if refused != nil {
				t.Fatal(refused)
			}
			want := strings.TrimSuffix(tc.want, `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`) // it comes in any case
			got := strings.TrimSuffix(strings.Join(s.events[1:], " "), `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`)
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("\nsent %s\nwant %s", got, want)
			}
			if len(log) != tc.warned {
				t.Errorf("logged %v, want %d", log, tc.warned)
			}
		})
	}
}

// TestEmitJSONTranslatesRetired: one stream has one decoder, so the ids that it makes fit together.
func TestEmitJSONTranslatesRetired(t *testing.T) {
	s, log, refused := relayed(t,
		`{"type":"THINKING_START","title":"t"}`, `{"type":"THINKING_TEXT_MESSAGE_START"}`, `{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"x"}`,
		`{"type":"THINKING_TEXT_MESSAGE_END"}`, `{"type":"THINKING_END"}`)
	want := "RUN_STARTED REASONING_START REASONING_MESSAGE_START REASONING_MESSAGE_CONTENT REASONING_MESSAGE_END REASONING_END RUN_FINISHED"
	if got := s.types(t); got != want || refused != nil || len(log) != 0 {
		t.Errorf("sent %s, error %v, logged %v", got, refused, log)
	}
}

// TestEmitJSONRefuses: nothing is sent then, and the run goes on.
func TestEmitJSONRefuses(t *testing.T) {
	s, err := do(func(_ context.Context, r *run.Run) error {
		for _, tc := range []struct{ raw, say string }{
			{``, "JSON"},
			{`{`, "JSON"},
			{`[]`, "must be a JSON object"},
			{`{"x":1}`, "type"},
			{`{"type":""}`, "type"},
			{`{"type":"RAW","event":1} {}`, "JSON"},
			{`{"type":"CUSTOM","name":"n"}`, "value"},
			{`{"type":"CUSTOM","name":7,"value":1}`, "name"},
			{`{"type":"CUSTOM","name":"n","value":1,"timestamp":1.5}`, "timestamp"},
			{"{\"type\":\"CUSTOM\",\"name\":\"a\xff\",\"value\":1}", "UTF-8"},
			{`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, agui.RuleNotOpen},
			{`{"type":"RUN_FINISHED","threadId":"t","runId":"other"}`, agui.RuleOtherRun},
			{`{"type":"RUN_FINISHED","threadId":"other","runId":"r"}`, agui.RuleOtherThread},
			{`{"type":"CUSTOM","name":"n","value":"` + strings.Repeat("x", maxEvent) + `"}`, run.ErrEventTooBig.Error()},
		} {
			err := r.EmitJSON([]byte(tc.raw))
			if err == nil || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("%.80q: error %v does not say %q", tc.raw, err, tc.say)
			}
		}
		if err := r.EmitJSON([]byte(`{"type":"RUN_STARTED","threadId":"theirs","runId":"1"}`)); err != nil {
			return err
		}
		for _, raw := range []string{
			`{"type":"RUN_STARTED","threadId":"theirs","runId":"1"}`, `{"type":"RUN_FINISHED","threadId":"theirs","runId":"2"}`,
		} {
			if _, ok := errors.AsType[*agui.OrderError](r.EmitJSON([]byte(raw))); !ok {
				t.Errorf("%s was taken", raw)
			}
		}
		return nil
	})
	if got := s.types(t); got != "RUN_STARTED RUN_FINISHED" || err != nil {
		t.Errorf("sent %s, %v", got, err)
	}
}

// TestEmitJSONOfSequences: whole streams that the reference client has judged.
func TestEmitJSONOfSequences(t *testing.T) {
	data, err := os.ReadFile("../agui/testdata/sequences.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for line := range bytes.Lines(data) {
		var c struct {
			Name, Spec string
			Valid      bool
			Events     []json.RawMessage
			Delivered  []agui.EventType
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(c.Events[0], []byte(`"RUN_STARTED"`)) || bytes.Count(line, []byte(`"type":"RUN_STARTED"`)) > 1 {
			continue // the run has its own, and one of it
		}
		if bytes.Contains(line, []byte(`"THINKING_`)) {
			continue // the data is judged without their translation
		}
		var frames []string
		for _, raw := range c.Events {
			frames = append(frames, string(raw))
			if bytes.Contains(raw, []byte(`"RUN_FINISHED"`)) {
				c.Delivered = slices.DeleteFunc(c.Delivered, func(t agui.EventType) bool { return t == agui.EventTypeRunError })
				break // an error behind it comes too late for a sender
			}
		}
		s, _, refused := relayed(t, frames...)
		if valid := c.Valid && c.Spec != "fatal"; valid != (refused == nil) {
			t.Errorf("%s: valid %v, error %v", c.Name, valid, refused)
		}
		if refused != nil {
			bad++
			continue
		}
		good++
		if got := delivered(t, s.events); !slices.Equal(got, c.Delivered) && c.Spec != "truncated" {
			t.Errorf("%s: a reader has %s", c.Name, got)
		}
	}
	if good < 10 || bad < 10 {
		t.Errorf("%d streams were taken, %d refused: the data shows too little", good, bad)
	}
}

// delivered are the types of what a reader makes of frames.
func delivered(t *testing.T, frames []string) (types []agui.EventType) {
	t.Helper()
	var decoder event.Decoder
	var chunks agui.Expander
	for _, f := range frames {
		ev, notes, err := decoder.DecodeEvent([]byte(f))
		if err != nil || notes != nil {
			t.Fatalf("%s: %v, %v", f, notes, err)
		}
		events, err := chunks.Expand(ev, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			types = append(types, ev.Type())
		}
	}
	return types
}

// TestEmitJSONLogsTheFirstNotes: a stream that has something unknown in each event is heard of a few
// times.
func TestEmitJSONLogsTheFirstNotes(t *testing.T) {
	frames := make([]string, 100)
	for i := range frames {
		frames[i] = fmt.Sprintf(`{"type":"RAW","event":%d,"x":1}`, i)
	}
	s, log, refused := relayed(t, frames...)
	if len(s.events) != 102 || len(log) != 16 || refused != nil {
		t.Errorf("%d events, %d records, %v", len(s.events), len(log), refused)
	}
	if len(log) > 0 && (log[0].Level != "WARN" || log[0].Run != "r" || log[0].Thread != "t") {
		t.Errorf("logged %+v", log[0])
	}
}

// TestEmitJSONAfterTheEnd: also of what would be dropped.
func TestEmitJSONAfterTheEnd(t *testing.T) {
	var kept *run.Run
	_, _ = do(func(_ context.Context, r *run.Run) error {
		kept = r
		if err := r.EmitJSON([]byte(`{"type":"RUN_ERROR","message":"x"}`)); err != nil {
			return err
		}
		for _, raw := range []string{`{"type":"RAW","event":1}`, `{"type":"TELEPORT"}`, `{`} {
			if err := r.EmitJSON([]byte(raw)); !errors.Is(err, run.ErrRunEnded) {
				t.Errorf("%s after the terminal event: %v", raw, err)
			}
		}
		return nil
	})
	if err := kept.EmitJSON([]byte(`{"type":"RAW","event":1}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the run: %v", err)
	}
}

// TestEmitJSONWaitsForRoom: as Emit, and gives up when the run is cancelled.
func TestEmitJSONWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := make(chan error, 1)
		go run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
			for {
				if err := r.EmitJSON([]byte(`{"type":"RAW","event":1}`)); err != nil {
					end <- err
					return err
				}
			}
		}, s))
		for n := range int32(3) {
			synctest.Wait()
			if got := s.taken.Load(); got != n+1 {
				t.Fatalf("%d events taken with room for %d", got, n+1)
			}
			s.tokens <- struct{}{}
		}
		synctest.Wait()
		cancel()
		if err := <-end; !errors.Is(err, context.Canceled) {
			t.Errorf("EmitJSON while cancelled: %v", err)
		}
		synctest.Wait()
	})
}

// TestEmitJSONKeepsOrder: among its own and beside Emit, and nothing of what it was given is kept.
func TestEmitJSONKeepsOrder(t *testing.T) {
	const each = 200
	s, err := do(func(_ context.Context, r *run.Run) error {
		var all sync.WaitGroup
		for who := range 4 {
			all.Go(func() {
				var raw []byte
				for i := range each {
					var err error
					if who%2 == 0 {
						raw = fmt.Appendf(raw[:0], `{"type":"CUSTOM","name":"%d","value":%d}`, who, i)
						err = r.EmitJSON(raw)
						clear(raw)
					} else {
						err = r.Emit(&agui.Custom{Name: fmt.Sprint(who), Value: fmt.Append(nil, i)})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for _, e := range s.events[1 : len(s.events)-1] {
		var ev struct {
			Name  string
			Value int
		}
		if err := json.Unmarshal([]byte(e), &ev); err != nil || ev.Value != next[ev.Name] {
			t.Fatalf("%s, want %d, %v", e, next[ev.Name], err)
		}
		next[ev.Name]++
	}
	if len(s.events) != 2+4*each {
		t.Errorf("%d events", len(s.events))
	}
}
