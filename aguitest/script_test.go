package aguitest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/run"
)

// TestScript: each step does what it says, and one that fails ends the script.
func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := make(chan struct{})
		script := aguitest.Script{
			aguitest.Say("one two"),
			aguitest.Call("ask", `{}`, ""),
			aguitest.Sleep(time.Minute),
			aguitest.Until(signal),
			func(_ context.Context, r *run.Run) error {
				return r.Emit(&agui.Custom{Name: r.Input.RunID, Value: []byte("1")})
			},
			aguitest.Fail(&agui.PublicError{Code: "c"}),
			aguitest.Say("never"),
		}
		start := time.Now()
		in := aguitest.Input()
		s := aguitest.Start(t, script, in)
		aguitest.Await[*agui.ToolCallEnd](s)
		time.Sleep(2 * time.Minute)
		if synctest.Wait(); s.Sent() != 8 {
			t.Errorf("%d events before the signal", s.Sent())
		}
		close(signal)
		got := s.Wait()
		if d := time.Since(start); d != 2*time.Minute {
			t.Errorf("it took %v", d)
		}
		got.WantError("c")
		got.WantText("one two")
		if call := got.WantToolCall("ask", `{}`); call.Result != nil {
			t.Errorf("result %v", call.Result)
		}
		if ev := aguitest.EventsOf[*agui.Custom](got); len(ev) != 1 || ev[0].Name != in.RunID {
			t.Errorf("custom events %v", ev)
		}
	})
	aguitest.Run(t, aguitest.Script(nil), aguitest.Input()).WantTypes("RUN_STARTED", "RUN_FINISHED")
}

func TestScriptIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, step := range []aguitest.Step{aguitest.Sleep(time.Hour), aguitest.Until(nil)} {
			start := time.Now()
			s := aguitest.Start(t, aguitest.Script{step, aguitest.Say("never")}, aguitest.Input())
			synctest.Wait()
			s.Cancel(nil)
			got := s.Wait()
			got.WantCancelled()
			got.WantText()
			if time.Since(start) != 0 || !errors.Is(got.Err, run.ErrCancelled) {
				t.Errorf("ended after %v with %v", time.Since(start), got.Err)
			}
		}
	})
}

// TestScriptRefused: an event out of order ends the script, wherever it stands in a step.
func TestScriptRefused(t *testing.T) {
	closing := aguitest.Emit(&agui.RunFinished{})
	for _, step := range []aguitest.Step{
		aguitest.Say("late"), aguitest.Call("late", "{}", "x"), aguitest.Emit(&agui.Custom{Name: "late", Value: []byte("1")}),
	} {
		got := aguitest.Run(quiet{t}, aguitest.Script{closing, step}, aguitest.Input())
		if !errors.Is(got.Err, run.ErrRunEnded) && !errors.Is(got.Err, context.Canceled) {
			t.Errorf("the error is %v", got.Err)
		}
	}
}

// TestScriptIsShared: many runs play one script, each with its own ids.
func TestScriptIsShared(t *testing.T) {
	script := aguitest.Script{aguitest.Say("hello"), aguitest.Emit(&agui.RunFinished{Result: []byte("1")})}
	var all sync.WaitGroup
	for range 8 {
		in := aguitest.Input()
		s := aguitest.Start(t, script, in)
		all.Go(func() {
			for ev := s.Next(); ev != nil; ev = s.Next() {
				if end, ok := ev.(*agui.RunFinished); ok && end.RunID != in.RunID {
					t.Errorf("run %s ended as %s", in.RunID, end.RunID)
				}
			}
		})
	}
	all.Wait()
}
