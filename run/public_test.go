package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// record is what the tests look at in a record of the log.
type record struct{ Level, Msg, ID, Thread, Run, Err, Panic, Stack string }

// logged runs agent and returns what was sent and what was logged.
func logged(t *testing.T, with *run.Setup, agent func(cancel func(), r *run.Run) error) (*sink, []record) {
	t.Helper()
	var log bytes.Buffer
	s, over := &sink{}, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	with.Sink, with.Log = s, slog.New(slog.NewJSONHandler(&log, nil))
	with.Agent = run.AgentFunc(func(_ context.Context, r *run.Run) error { return agent(cancel, r) })
	go func() {
		defer close(over)
		_ = run.Do(ctx, input, with)
	}()
	<-over
	return s, readLog(t, &log)
}

func readLog(t *testing.T, log *bytes.Buffer) (records []record) {
	t.Helper()
	for dec := json.NewDecoder(log); dec.More(); {
		var r record
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// readError is the RUN_ERROR at the end of what was sent.
func (s *sink) readError(t *testing.T) (ev struct{ Type, Message, Code string }) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.last()), &ev); err != nil {
		t.Fatalf("%s: %v", s.last(), err)
	}
	return ev
}

// TestPublicErrors: a client reads what an agent says to it, and of what else is in the error
// nothing.
func TestPublicErrors(t *testing.T) {
	broke := &agui.PublicError{Code: "no_credit", Message: "buy some"}
	var none *agui.PublicError
	secret := errors.New("pq: password secret")
	for _, tc := range []struct {
		name          string
		err           error
		message, code string
		logged        int
	}{
		{"bare", broke, "buy some", "no_credit", 0},
		{"wrapped", fmt.Errorf("secret: %w", broke), "buy some", "no_credit", 1},
		{"joined", errors.Join(secret, broke), "buy some", "no_credit", 1},
		{"two of them", errors.Join(broke, &agui.PublicError{Message: "second"}), "buy some", "no_credit", 1},
		{"no code", &agui.PublicError{Message: "sorry"}, "sorry", run.CodeAgent, 0},
		{"no message", &agui.PublicError{Code: "c"}, "the agent failed", "c", 0},
		{"nothing", &agui.PublicError{}, "the agent failed", run.CodeAgent, 0},
		{"broken text", &agui.PublicError{Code: "\xff", Message: "a\xffb"}, "a\uFFFDb", "\uFFFD", 0},
		{"nil", none, "", run.CodeAgent, 1},
		{"joined nil", errors.Join(secret, none), "", run.CodeAgent, 1},
	} {
		s, log := logged(t, setup(nil, nil), func(func(), *run.Run) error { return tc.err })
		ev := s.readError(t)
		if ev.Type != "RUN_ERROR" || ev.Code != tc.code || tc.message != "" && ev.Message != tc.message {
			t.Errorf("%s: sent %s", tc.name, s.last())
		}
		if strings.Contains(s.last(), "secret") || len(log) != tc.logged {
			t.Errorf("%s: sent %s, logged %v", tc.name, s.last(), log)
		}
	}
}

// TestErrorsAreHidden: what an agent does not say to the client is in the log, once, under the id
// that the client reads.
func TestErrorsAreHidden(t *testing.T) {
	secret := errors.New("pq: password secret")
	for _, tc := range []struct {
		name          string
		encoder       run.Encoder
		agent         func(cancel func(), r *run.Run) error
		message, code string
		log           string // part of the record
	}{
		{
			"error", encoder, func(func(), *run.Run) error { return secret },
			"the agent failed", run.CodeAgent, "secret",
		},
		{
			"error of agloop's", encoder, func(_ func(), r *run.Run) error { return r.Emit(&agui.StepFinished{StepName: "secret"}) },
			"the agent failed", run.CodeAgent, "secret",
		},
		{
			"panic", encoder, func(func(), *run.Run) error { panic("secret") },
			"the agent failed", run.CodePanic, "public_test.go",
		},
		{
			"Goexit", encoder, func(func(), *run.Run) error { runtime.Goexit(); return nil },
			"the agent failed", run.CodeAgent, "goroutine",
		},
		{
			"panic while cancelled", encoder, func(cancel func(), _ *run.Run) error { cancel(); panic("secret") },
			"the agent failed", run.CodePanic, "secret",
		},
		{
			"panic of the encoder",
			fragile{encoder, "RUN_FINISHED", false},
			func(func(), *run.Run) error { return nil },
			"the run failed", run.CodeInternal, "fragile",
		},
		{
			"Goexit of the encoder",
			fragile{encoder, "RUN_FINISHED", true},
			func(func(), *run.Run) error { return nil },
			"the run failed", run.CodeInternal, "goroutine",
		},
		{
			"error of the encoder",
			sour{encoder},
			func(func(), *run.Run) error { return nil },
			"the agent left its run incomplete", run.CodeIncomplete, "secret",
		},
		{
			"error of the encoder while cancelled",
			sour{encoder},
			func(cancel func(), _ *run.Run) error { cancel(); return nil },
			"the run was cancelled", run.CodeIncomplete, "secret",
		},
		{
			"error of the encoder at an open step",
			sour{encoder},
			func(cancel func(), r *run.Run) error {
				defer cancel()
				return r.Emit(&agui.StepStarted{StepName: "s"})
			},
			"the run was cancelled", run.CodeIncomplete, "secret",
		},
	} {
		with := setup(nil, nil)
		with.Encoder = tc.encoder
		s, log := logged(t, with, tc.agent)
		ev := s.readError(t)
		text := regexp.MustCompile(`^` + tc.message + ` \(id ([0-9a-f]{12})\)$`).FindStringSubmatch(ev.Message)
		if text == nil || ev.Code != tc.code {
			t.Errorf("%s: sent %s", tc.name, s.last())
			continue
		}
		if len(log) != 1 {
			t.Errorf("%s: logged %v", tc.name, log)
			continue
		}
		r := log[0]
		if r.Level != "ERROR" || r.ID != text[1] || r.Thread != "t" || r.Run != "r" ||
			!strings.Contains(r.Err+r.Panic+r.Stack, tc.log) || (r.Stack != "") != (r.Panic != "") {
			t.Errorf("%s: logged %+v", tc.name, r)
		}
	}
}

// sour is an encoder of which an error of its own names the host.
type sour struct{ run.Encoder }

func (e sour) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	switch ev.Type() {
	case agui.EventTypeRunFinished, agui.EventTypeStepFinished:
		return dst, errors.New("secret")
	}
	return e.Encoder.AppendEvent(dst, ev)
}

// TestEndsThatNameNoID: what else is logged, and what is not.
func TestEndsThatNameNoID(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name  string
		agent func(cancel func(), r *run.Run) error
		last  string
		log   string // part of the one record; "" for none
	}{
		{"well", func(func(), *run.Run) error { return nil }, "RUN_FINISHED", ""},
		{"cancelled", func(cancel func(), _ *run.Run) error { cancel(); return boom }, "cancelled", ""},
		{"own end", func(_ func(), r *run.Run) error { return r.Emit(&agui.RunError{Message: "mine"}) }, "mine", ""},
		{"own end and an error", func(_ func(), r *run.Run) error {
			return errors.Join(r.Emit(&agui.RunError{Message: "mine"}), boom)
		}, "mine", "boom"},
		{"own end and a public error", func(_ func(), r *run.Run) error {
			_ = r.Emit(&agui.RunError{Message: "mine"})
			return &agui.PublicError{Message: "theirs"}
		}, "mine", ""},
		{"own end, then cancelled", func(cancel func(), r *run.Run) error {
			_ = r.Emit(&agui.RunFinished{})
			cancel()
			return boom
		}, "RUN_FINISHED", ""},
		{"step left open", func(_ func(), r *run.Run) error {
			return r.Emit(&agui.StepStarted{StepName: "look"})
		}, `RUN_FINISHED \"look\": it is still open`, "look"},
	} {
		s, log := logged(t, setup(nil, nil), tc.agent)
		if !strings.Contains(s.last(), tc.last) || strings.Contains(s.last(), "(id ") {
			t.Errorf("%s: sent %s", tc.name, s.last())
		}
		switch {
		case tc.log == "" && len(log) == 0:
		case len(log) != 1 || !strings.Contains(log[0].Err, tc.log) || tc.log == "" || log[0].ID != "":
			t.Errorf("%s: logged %v", tc.name, log)
		}
	}
}

// TestReaderLeaves: that nobody reads the end of a run is nobody's mistake, so the log says nothing.
func TestReaderLeaves(t *testing.T) {
	for name, agent := range map[string]func(cancel func(), r *run.Run, s *sink) error{
		"at the end": func(_ func(), _ *run.Run, s *sink) error {
			s.gone = true
			return nil
		},
		"with a step open": func(cancel func(), r *run.Run, s *sink) error {
			err := r.Emit(&agui.StepStarted{StepName: "s"})
			s.gone = true
			cancel()
			return err
		},
	} {
		with := setup(nil, nil)
		var ended run.RunEnd
		with.Ended = func(end run.RunEnd) { ended = end }
		_, log := logged(t, with, func(cancel func(), r *run.Run) error {
			return agent(cancel, r, with.Sink.(*sink))
		})
		if len(log) != 0 || ended.Err == nil {
			t.Errorf("%s: logged %v, ended with %v", name, log, ended.Err)
		}
	}
}
