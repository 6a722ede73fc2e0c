package storetest_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/run/storetest"
)

func memory(t *testing.T) run.Store {
	t.Helper()
	s := run.NewMemoryStore(nil)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestMemoryStore(t *testing.T) { storetest.Test(t, memory) }

// broken are stores with one mistake each, and what finds it.
var broken = map[string]struct {
	store func(run.Store) run.Store
	found string
}{
	"off by one":        {func(s run.Store) run.Store { return offByOne{s} }, "Read_at_every_cursor"},
	"any epoch":         {func(s run.Store) run.Store { return anyEpoch{s} }, "Read_at_every_cursor"},
	"everybody wins":    {func(s run.Store) run.Store { return everybody{s} }, "Open_by_many_at_once"},
	"no tombstones":     {func(s run.Store) run.Store { return noTombs{s} }, "/Bury"},
	"no end":            {func(s run.Store) run.Store { return noEnd{s} }, "/Close"},
	"by name":           {func(s run.Store) run.Store { return byName{s} }, "/Names"},
	"whole folds":       {func(s run.Store) run.Store { return wholeFolds{s} }, "/Fold"},
	"order of the last": {func(s run.Store) run.Store { return reversed{s} }, "/List"},
}

const mistake = "AGLOOP_STORETEST_MISTAKE"

// TestBrokenStore is a process of its own that fails.
func TestBrokenStore(t *testing.T) {
	name, ok := os.LookupEnv(mistake)
	if !ok {
		t.Skip("TestMistakesAreFound runs it")
	}
	storetest.Test(t, func(t *testing.T) run.Store { return broken[name].store(memory(t)) })
}

// TestMistakesAreFound: a store with a mistake does not pass.
func TestMistakesAreFound(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBrokenStore$", "-test.timeout=1m")
			cmd.Env = append(os.Environ(), mistake+"="+name)
			out, err := cmd.CombinedOutput()
			if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), "--- FAIL: TestBrokenStore") ||
				!strings.Contains(string(out), b.found) {
				t.Errorf("error %v, want one of %s:\n%s", err, b.found, out)
			}
		})
	}
}

type offByOne struct{ run.Store }

func (s offByOne) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, after, most)
	if after.Offset > 0 && len(b.Entries) > 1 {
		b.Entries = b.Entries[1:]
	}
	return b, err
}

type anyEpoch struct{ run.Store }

func (s anyEpoch) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, run.Cursor{}, most)
	if err != nil {
		return b, err
	}
	after.Epoch = b.Record.Epoch
	return s.Store.Read(ctx, k, after, most)
}

// everybody looks first and opens afterwards.
type everybody struct{ run.Store }

func (s everybody) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	log, err := s.Store.Open(ctx, k, o)
	if exists, ok := errors.AsType[*run.ExistsError](err); ok && exists.Record.Epoch != o.Epoch {
		k.Run += "again"
		return s.Store.Open(ctx, k, o)
	}
	return log, err
}

type noTombs struct{ run.Store }

func (noTombs) Bury(context.Context, run.RunKey, bool, time.Duration) error { return nil }

type noEnd struct{ run.Store }

func (s noEnd) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, after, most)
	if len(b.Entries) == 0 {
		b.End = false
	}
	return b, err
}

// byName takes "a|b" and "c" for "a" and "b|c".
type byName struct{ run.Store }

func (s byName) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	return s.Store.Open(ctx, run.RunKey{Scope: k.Scope, Run: k.Thread + "|" + k.Run}, o)
}

func (s byName) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	return s.Store.Read(ctx, run.RunKey{Scope: k.Scope, Run: k.Thread + "|" + k.Run}, after, most)
}

// wholeFolds gives a viewer what it has already.
type wholeFolds struct{ run.Store }

func (s wholeFolds) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, after, most)
	if err == nil && after.Offset > 0 && len(b.Entries) > 0 && b.Entries[0].Pieces != nil {
		whole, _ := s.Store.Read(ctx, k, run.Cursor{}, 1<<30)
		for _, e := range whole.Entries {
			if e.Through == b.Entries[0].Through {
				b.Entries = append([]run.Entry{e}, b.Entries[1:]...)
			}
		}
	}
	return b, err
}

type reversed struct{ run.Store }

func (s reversed) List(ctx context.Context, scope string) iter.Seq2[run.Record, error] {
	return func(yield func(run.Record, error) bool) {
		var list []run.Record
		for r := range s.Store.List(ctx, scope) {
			list = append(list, r)
		}
		for i := range list {
			if !yield(list[len(list)-1-i], nil) {
				return
			}
		}
	}
}
