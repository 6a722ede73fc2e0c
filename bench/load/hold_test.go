//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// holdAnswer is a server for hold: it pongs, and sends a run of so many content events at once.
func holdAnswer(contents int) func(int, byte, []byte) []byte {
	return func(_ int, op byte, p []byte) []byte {
		if op == opPing {
			return serverFrame(opPong, string(p))
		}
		var index int32
		fmt.Sscanf(string(p), `{"threadId":"thread-%d"`, &index)
		ids := fmt.Sprintf(`"threadId":%q,"runId":%q`, threadOf(index), runOf(index))
		b := serverFrame(opText, `{"type":"RUN_STARTED",`+ids+`}`)
		b = append(b, serverFrame(opText, `{"type":"TEXT_MESSAGE_START","messageId":"m"}`)...)
		for range contents {
			b = append(b, serverFrame(opText, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"abcd"}`)...)
		}
		b = append(b, serverFrame(opText, `{"type":"TEXT_MESSAGE_END","messageId":"m"}`)...)
		return append(b, serverFrame(opText, `{"type":"RUN_FINISHED",`+ids+`}`)...)
	}
}

// hold lets 8 connections be held, a run on every fourth, and returns what was said.
func hold(t *testing.T, answer func(int, byte, []byte) []byte, words string) (said []map[string]any, err error) {
	t.Helper()
	c := serve(t, answer)
	c.drain = 300 * time.Millisecond
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := to.WriteString(words); err != nil {
		t.Fatal(err)
	}
	to.Close()
	var out bytes.Buffer
	m := &holdMode{in: int(in.Fd()), out: &out, every: 4}
	m.rate, m.burst, m.delta, m.length = 50, 2, 4, 1
	err = holdRun(&c, m, 8)
	for line := range bytes.Lines(out.Bytes()) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		said = append(said, v)
	}
	return said, err
}

func TestHold(t *testing.T) {
	t.Parallel()
	said, err := hold(t, holdAnswer(100), "open\nping\nrun\nping\nrun\nend\nopen\n")
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]int{}
	for _, v := range said {
		word := v["done"].(string)
		done[word]++
		switch word {
		case "open":
			if v["opened"] != 8.0 {
				t.Errorf("opened: %v", v)
			}
		case "ping":
			if v["pongs"] != 8.0 {
				t.Errorf("pinged: %v", v)
			}
		case "run":
			if v["runs"] != 2.0 || v["events"] != 208.0 {
				t.Errorf("run: %v", v)
			}
			if _, err := hdrhistogram.Decode([]byte(v["latency"].(string))); err != nil {
				t.Errorf("latency: %v", err)
			}
		}
	}
	if done["ready"] != 1 || done["open"] != 1 || done["ping"] != 2 || done["run"] != 2 {
		t.Errorf("done: %v", done)
	}
}

func TestHoldEndsWithStdin(t *testing.T) {
	t.Parallel()
	if said, err := hold(t, holdAnswer(100), "open\n"); err != nil || len(said) != 2 {
		t.Errorf("said %v, error %v", said, err)
	}
}

func TestHoldNoticesLosses(t *testing.T) {
	good := holdAnswer(100)
	on := func(what byte, answer []byte) func(int, byte, []byte) []byte {
		return func(count int, op byte, p []byte) []byte {
			if op == what {
				return answer
			}
			return good(count, op, p)
		}
	}
	tests := []struct {
		name   string
		answer func(int, byte, []byte) []byte
		words  string
		want   string
	}{
		{"dropped when a run is asked for", on(opText, nil), "open\nrun\n", "lost while held"},
		{"closed when a run is asked for", on(opText, serverFrame(opClose, "\x03\xe9idle")), "open\nrun\n", "close 1001 idle"},
		{"a run too short", holdAnswer(99), "open\nrun\n", "run of 99 content events, want 100"},
		{"a run without an end", on(opText, []byte{}), "open\nrun\n", "2 of 2 runs had not finished"},
		{"no pong", on(opPing, []byte{}), "open\nping\n", "8 of 8 connections sent no pong"},
		{"another's pong", on(opPing, serverFrame(opPong, "\x09\x00\x00\x00")), "open\nping\n", "opcode 0xa"},
		{"dropped when pinged", on(opPing, nil), "open\nping\n", "lost while pinged"},
		{"no such word", good, "close\n", `stdin says "close"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := hold(t, tt.answer, tt.words)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}
