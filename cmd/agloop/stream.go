package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/server"
)

// streamProps is what a client asks for in RunAgentInput.forwardedProps.
type streamProps struct {
	Rate    float64 `json:"rate"`    // bursts per second
	Burst   int     `json:"burst"`   // events per burst
	Delta   int     `json:"delta"`   // bytes of text per event
	Seconds float64 `json:"seconds"` // length of the run
	Hold    float64 `json:"hold"`    // seconds that it goes on after its last event
}

// parseStreamProps reads props. Absent members have defaults and unknown ones are ignored, as
// everywhere in AG-UI.
func parseStreamProps(raw json.RawMessage) (streamProps, error) {
	p := streamProps{Rate: 10, Burst: 4, Delta: 24, Seconds: 60}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &p); err != nil {
			return p, fmt.Errorf("forwardedProps: %w", err)
		}
	}
	switch {
	case !(p.Rate >= 0.01 && p.Rate <= 1000):
		return p, fmt.Errorf("forwardedProps: rate is %g, must lie between 0.01 and 1000", p.Rate)
	case p.Burst < 1 || p.Burst > 1000:
		return p, fmt.Errorf("forwardedProps: burst is %d, must lie between 1 and 1000", p.Burst)
	case p.Delta < 1 || p.Delta > 64<<10:
		return p, fmt.Errorf("forwardedProps: delta is %d, must lie between 1 and 65536", p.Delta)
	case !(p.Seconds > 0 && p.Seconds <= 24*60*60):
		return p, fmt.Errorf("forwardedProps: seconds is %g, must be positive and at most 86400", p.Seconds)
	case !(p.Hold >= 0 && p.Hold <= 24*60*60):
		return p, fmt.Errorf("forwardedProps: hold is %g, must lie between 0 and 86400", p.Hold)
	}
	return p, nil
}

// bursts is the number of bursts in the run, at least one.
func (p streamProps) bursts() int { return max(1, int(p.Rate*p.Seconds+0.5)) }

func (p streamProps) interval() time.Duration {
	return time.Duration(float64(time.Second) / p.Rate)
}

// words is what tokens say, again and again.
const words = "every token is an event of its own "

// tokens returns what tokens of n bytes say. Each begins one letter later than the one before it, so
// that a client sees when one is missing or comes twice.
func tokens(n int) func(i int) string {
	text := strings.Repeat(words, n/len(words)+2)
	return func(i int) string {
		at := i % len(words)
		return text[at : at+n]
	}
}

func streamAgent(ctx context.Context, run *server.Run) error {
	props, err := parseStreamProps(run.Input.ForwardedProps)
	if err != nil {
		return &server.PublicError{Code: "bad_props", Message: err.Error()}
	}
	id := "message-" + run.Input.RunID
	if err := run.Emit(&agui.TextMessageStart{MessageID: id, Role: agui.RoleAssistant}); err != nil {
		return err
	}
	// One event and one timestamp are used for the whole run, so that a token costs no allocation
	// here. Emit has encoded the event when it returns.
	var now int64
	token := &agui.TextMessageContent{MessageID: id}
	token.Timestamp = &now

	say, begin := tokens(props.Delta), time.Now()
	for i := range props.bursts() {
		if err := sleepUntil(ctx, begin.Add(time.Duration(i+1)*props.interval())); err != nil {
			return err
		}
		now = time.Now().UnixMilli()
		for k := range props.Burst {
			token.Delta = say(i*props.Burst + k)
			if err := run.Emit(token); err != nil {
				return err
			}
		}
	}
	if err := sleepUntil(ctx, time.Now().Add(time.Duration(props.Hold*float64(time.Second)))); err != nil {
		return err
	}
	return run.Emit(&agui.TextMessageEnd{MessageID: id})
}

// sleepUntil sleeps until due, or until at most a second after the end of ctx. After a late burst
// the next one is in time, which it would not be with a ticker, whose ticks are lost. Waiting for a
// channel would cost more.
func sleepUntil(ctx context.Context, due time.Time) error {
	for ctx.Err() == nil {
		left := time.Until(due)
		if left <= 0 {
			return nil
		}
		time.Sleep(min(left, time.Second))
	}
	return context.Cause(ctx)
}

func stream(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("stream", stderr)
	at := listenFlags(flags, "127.0.0.1:9002")
	loops := flags.Int("loops", 0, "`number` of event loops; 0 lets the library choose")
	profile := agloop.ProfileBalanced
	flags.Func("profile", "`name` of the profile: balanced, latency, throughput or memory (default balanced)", func(name string) (err error) {
		profile, err = parseProfile(name)
		return err
	})
	if code, ok := parse(flags, args); !ok {
		return code
	}
	spareProcessor(*loops)
	mux := http.NewServeMux()
	cfg := server.Config{
		Agent:   server.AgentFunc(streamAgent),
		Path:    "/ws",
		HTTP:    mux,
		Origins: []string{"*"},
		Loops:   *loops,
	}
	if err := at.secure(&cfg); err != nil {
		return fail(stderr, "stream", err)
	}
	srv := server.New(cfg)
	mux.HandleFunc("/", agloop.DefaultHTTP)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, srv.Stats().Logged) })
	return serve("stream", at, srv, stderr, func(a net.Addr) {
		_ = srv.GetPerformanceManager().SetProfile(profile) // checked by parseProfile
		fmt.Fprintf(stdout, "agloop stream: %s://%s/ws\n", at.scheme(), a)
	})
}
