//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestWire(t *testing.T) {
	const first = `["run",{"run":1,"ref":"","threadId":"t","runId":"r","epoch":"00000000000000aa","last":1,"offset":1}]`
	second := strings.NewReplacer(`"run":1`, `"run":2`, `"r"`, `"s"`, `"offset":1`, `"offset":7`).Replace(first)
	hello := `["hello",{"version":1,"boot":"b","secret":"s"}]`
	event := `{"type":"CUSTOM"}`
	tests := []struct {
		name   string
		frames []string
		want   string // in the error; empty for none
	}{
		{"one run", []string{hello, first, event, event}, ""},
		{"two in turn", []string{
			hello, first, event, second, event, event, `["run",{"run":1,"offset":2}]`, event, `["run",{"run":2,"offset":9}]`, event,
		}, ""},
		{"lost", []string{hello, first, event, second, event, `["run",{"run":1,"offset":3}]`}, "event 3 of r, want 2: lost or doubled"},
		{"doubled", []string{hello, first, event, second, event, `["run",{"run":1,"offset":1}]`}, "event 1 of r, want 2"},
		{"no selector", []string{hello, event}, "before a selector"},
		{"not announced", []string{hello, first, `["run",{"run":2,"offset":1}]`}, "attachment 2, which nobody announced"},
		{"folded", []string{hello, first, `["run",{"run":1,"offset":1,"through":5}]`}, errFolded.Error()},
		{"gone", []string{hello, `["gone",{"ref":"a"}]`}, `refused: ["gone",{"ref":"a"}]`},
		{"malformed", []string{`["hello"`}, "malformed control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w wireConn
			var err error
			for _, f := range tt.frames {
				if isControl([]byte(f)) {
					_, err = w.control([]byte(f))
				} else {
					_, err = w.event()
				}
				if err != nil {
					break
				}
			}
			check(t, err, tt.want)
			if err == nil && (!w.greeted || w.secret != "s" || w.views[0].run != "r" || w.views[0].epoch != "00000000000000aa") {
				t.Errorf("%+v", w)
			}
		})
	}
}

const (
	v1Tokens = 10
	v1Epoch  = "00000000000000aa"
)

// serveV1 is a server of agloop.v1 for resume: runs of ten tokens, of which the first connection of a
// client has three. spoil may change the answer to an attach.
func serveV1(t *testing.T, spoil func(selector string, events []string) (string, []string)) common {
	t.Helper()
	frames := func(selector string, events []string) []byte {
		b := serverFrame(opText, selector)
		for _, ev := range events {
			b = append(b, serverFrame(opText, ev)...)
		}
		return b
	}
	c := serveConns(t, func(c net.Conn) {
		greet := func() { c.Write(serverFrame(opText, `["hello",{"version":1,"secret":"secret"}]`)) }
		talk(c, greet, func(_ int, _ byte, p []byte) []byte {
			var index int32
			var offset int
			switch {
			case bytes.HasPrefix(p, []byte(`["bind",{"ref":"b","secret":"secret"}]`)):
				return []byte{}
			case bytes.HasPrefix(p, []byte(`["attach",`)):
				n, err := fmt.Sscanf(string(p), `["attach",{"ref":"a","threadId":"thread-%d","runId":"run-%d",`+
					`"epoch":"`+v1Epoch+`","offset":%d}]`, &index, new(int), &offset)
				if n != 3 {
					t.Errorf("%s: %v", p, err)
				}
				return frames(spoil(v1Selector(index, offset+1), v1Events(index)[offset:]))
			}
			if _, err := fmt.Sscanf(string(p), `{"threadId":"thread-%d"`, &index); err != nil {
				t.Errorf("%s: %v", p, err)
			}
			return frames(v1Selector(index, 1), v1Events(index)[:5])
		})
	})
	c.drain = time.Second
	return c
}

func v1Selector(run int32, offset int) string {
	return fmt.Sprintf(`["run",{"run":1,"ref":"a","threadId":%q,"runId":%q,"epoch":%q,"last":5,"offset":%d}]`,
		threadOf(run), runOf(run), v1Epoch, offset)
}

// v1Events are those of a whole run.
func v1Events(run int32) []string {
	ids := fmt.Sprintf(`"threadId":%q,"runId":%q`, threadOf(run), runOf(run))
	out := []string{`{"type":"RUN_STARTED",` + ids + `}`, `{"type":"TEXT_MESSAGE_START","messageId":"m"}`}
	for i := range v1Tokens {
		out = append(out, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"`+"abcdefghijklmnopqrstuvwxyz"[i:i+8]+`"}`)
	}
	return append(out, `{"type":"TEXT_MESSAGE_END","messageId":"m"}`, `{"type":"RUN_FINISHED",`+ids+`}`)
}

func TestResume(t *testing.T) {
	type spoil = func(selector string, events []string) (string, []string)
	with := func(old, new string) spoil {
		return func(s string, events []string) (string, []string) { return strings.Replace(s, old, new, 1), events }
	}
	tests := []struct {
		name  string
		spoil spoil
		want  string
	}{
		{"good", func(s string, events []string) (string, []string) { return s, events }, ""},
		{"lost", func(s string, events []string) (string, []string) {
			return s, events[1:]
		}, "its text does not follow \"cdefghij\""},
		{"doubled", func(s string, events []string) (string, []string) {
			return s, append([]string{events[0]}, events...)
		}, "lost or doubled"},
		{"another offset", with(`"offset":6`, `"offset":7`), "goes on at"},
		{"another epoch", with(v1Epoch, "00000000000000ab"), "goes on at"},
		{"another run", with(`"runId":"run-`, `"runId":"ran-`), "goes on at"},
		{"no selector", func(_ string, events []string) (string, []string) { return events[0], events[1:] }, "before a selector"},
		{"gone", func(string, []string) (string, []string) { return `["gone",{"ref":"a","reason":"ended"}]`, nil }, "refused: "},
		{"nothing", func(s string, _ []string) (string, []string) { return s, nil }, "0 of 3 clients had an event again"},
		{"no end", func(s string, events []string) (string, []string) {
			return s, events[:len(events)-1]
		}, "0 of 3 clients had the end"},
		{"more behind the end", func(s string, events []string) (string, []string) {
			return s, append(events, events[0])
		}, "behind the end of the run"},
		{"of another type", func(s string, events []string) (string, []string) {
			return s, []string{strings.Replace(events[0], "CONTENT", "CHUNK", 1)}
		}, "out of order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serveV1(t, tt.spoil)
			m := &resumeMode{rate: v1Tokens, delta: 8, length: 1}
			r, err := resumeRun(&c, m, 3, 10*time.Millisecond, 200*time.Millisecond)
			check(t, err, tt.want)
			if err != nil {
				return
			}
			has(t, r, "p50_us", "p99_us", "max_us", "server_us_per_conn", "load_saturated", "other_cores")
			if n := value[uint64](t, r, "checked"); n != 3*(v1Tokens+4) || value[uint64](t, r, "conns") != 3 {
				t.Errorf("report %s", r.text())
			}
		})
	}
}

// A server that does not greet does not speak agloop.v1.
func TestResumeNeedsAGreeting(t *testing.T) {
	t.Parallel()
	c := serve(t, func(int, byte, []byte) []byte { return []byte{} })
	c.limit = 2 * time.Second
	_, err := resumeRun(&c, &resumeMode{rate: 10, delta: 8, length: 1}, 3, 0, 200*time.Millisecond)
	check(t, err, "connection 0 was not greeted")
}

// Runs without a log are told apart by the order of their events alone.
func TestLiveRunsNoticeLosses(t *testing.T) {
	all := v1Events(0)
	tests := []struct {
		name   string
		events []string
		want   string
	}{
		{"good", all[:12], ""},
		{"lost", append(all[:2:2], all[12]), `event 3 of run-00000 is "{\"type\":\"TEXT_MESSAGE_END\"`},
		{"one missing", all[:11], "0 runs were started or attached to, 0 complete, when the last event was awaited"},
		{"ended", all[:13], "event 13 of run-00000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out []byte
			for _, ev := range tt.events {
				out = append(out, serverFrame(opText, ev)...)
			}
			c := serve(t, func(int, byte, []byte) []byte { return out })
			c.drain = time.Second
			m := &runsMode{runs: 1, events: 10, rate: 100, burst: 10}
			r, err := runsRun(&c, m, 1, 128, 10*time.Millisecond)
			check(t, err, tt.want)
			if err == nil {
				has(t, r, "bytes_per_run", "event_bytes_per_run", "times_events", "rss_before", "pss_after")
			}
		})
	}
}
