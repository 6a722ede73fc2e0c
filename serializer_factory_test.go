package agloop_test

import (
	"errors"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

func TestSerializerFactoryUnavailable(t *testing.T) {
	f := new(agloop.SerializerFactory)
	if err := f.SetType(agloop.JSON); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []agloop.SerializerType{agloop.Protobuf, 7} {
		made, err := agloop.NewSerializerFactory(typ)
		for _, err := range []error{err, f.SetType(typ)} {
			if !errors.Is(err, agloop.ErrSerializerUnavailable) || err.Error() != "agloop: serializer unavailable: "+typ.String() {
				t.Errorf("%v: %v", typ, err)
			}
		}
		if made != nil {
			t.Errorf("%v: got %v", typ, made)
		}
		if f.Type() != agloop.JSON {
			t.Errorf("a refused type left %v", f.Type())
		}
	}
}

func TestSerializerFactoryLendsItsType(t *testing.T) {
	var f agloop.SerializerFactory // the zero value is ready
	first := f.Get()
	if first.Type() != agloop.OptimizedJSON {
		t.Errorf("the zero factory lends %v", first.Type())
	}
	if err := f.SetType(agloop.JSON); err != nil {
		t.Fatal(err)
	}
	if got := f.Get().Type(); got != agloop.JSON || first.Type() != agloop.OptimizedJSON {
		t.Errorf("after SetType: the next is %v, the first %v", got, first.Type())
	}
	f.Put(first) // of the former type: must not come out as the present one
	if got := f.Get().Type(); got != agloop.JSON {
		t.Errorf("after a Put of the former type: %v", got)
	}
	if gets, news := f.Gets(), f.News(); gets != 3 || news != 3 {
		t.Errorf("%d gets, %d news, want 3 and 3", gets, news)
	}
}

// serializerAgain puts s and gets until s itself comes back, as the pool may hold others or, under
// the race detector, lose it.
func serializerAgain(t *testing.T, f *agloop.SerializerFactory, s event.Serializer, use func(event.Serializer)) event.Serializer {
	t.Helper()
	for range 1000 {
		use(s)
		f.Put(s)
		again := f.Get()
		if again == s {
			return s
		}
		s = again
	}
	t.Fatal("the pool never returned what was put")
	return nil
}

func TestSerializerFactoryResets(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, typ := range serializationTypes {
		f, err := agloop.NewSerializerFactory(typ)
		if err != nil {
			t.Fatal(err)
		}
		id := func(s event.Serializer, data string) string {
			ev, _, err := s.DecodeEvent([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			switch e := ev.(type) {
			case *agui.ReasoningMessageStart:
				return e.MessageID
			case *agui.ReasoningMessageContent:
				return e.MessageID
			}
			t.Fatalf("%s became %v", data, ev)
			return ""
		}
		const start, more = `{"type":"THINKING_TEXT_MESSAGE_START"}`, `{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"x"}`
		var opened string
		s := serializerAgain(t, f, f.Get(), func(s event.Serializer) {
			opened = id(s, start)
			if got := id(s, more); got != opened {
				t.Fatalf("%v: within a stream the id went from %s to %s", typ, opened, got)
			}
		})
		if got := id(s, more); got == opened {
			t.Errorf("%v: the next stream goes on with %s", typ, got)
		}
	}
}

func TestSerializerFactoryReuses(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, typ := range serializationTypes {
		f, err := agloop.NewSerializerFactory(typ)
		if err != nil {
			t.Fatal(err)
		}
		const n = 1000
		for range n {
			f.Put(f.Get())
		}
		if f.Gets() != n {
			t.Errorf("%v: %d gets, want %d", typ, f.Gets(), n)
		}
		// One for each processor the test ran on; the race detector loses some.
		if ceiling := uint64(runtime.GOMAXPROCS(0)); !testkit.Race && f.News() > ceiling {
			t.Errorf("%v: %d news, ceiling %d", typ, f.News(), ceiling)
		}
		if f.News() == 0 || f.News() > n {
			t.Errorf("%v: %d news of %d", typ, f.News(), n)
		}
	}
}

func TestSerializerFactoryDoesNotAllocate(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	ev := &agui.TextMessageContent{MessageID: "m", Delta: "a token"}
	buf := make([]byte, 0, 1024)
	for _, typ := range serializationTypes {
		f, err := agloop.NewSerializerFactory(typ)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() { f.Put(f.Get()) }); n != 0 {
			t.Errorf("%v: Get and Put: %v allocations", typ, n)
		}
		s := f.Get()
		// MarshalJSON takes a copy of the event, and makes a buffer and an encoder.
		n := testing.AllocsPerRun(1000, func() { _, _ = s.AppendEvent(buf, ev) })
		if ceiling := map[agloop.SerializerType]float64{agloop.OptimizedJSON: 0, agloop.JSON: 3}[typ]; n > ceiling {
			t.Errorf("%v: AppendEvent: %v allocations, ceiling %v", typ, n, ceiling)
		}
	}
}

// Many streams at once, each with a serializer of its own, while the type changes.
func TestSerializerFactoryConcurrency(t *testing.T) {
	const streams, rounds = 8, 60
	var f agloop.SerializerFactory
	lines, _ := serializationSamples(t)
	var lent sync.Map // who has what now
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			for round := range rounds {
				if err := f.SetType(serializationTypes[(i+round)%2]); err != nil {
					t.Error(err)
				}
				s := f.Get()
				if other, taken := lent.LoadOrStore(s, i); taken {
					t.Errorf("stream %d was lent what stream %v has", i, other)
				}
				id := "stream-" + strconv.Itoa(i)
				out, err := s.AppendEvent(nil, &agui.TextMessageEnd{MessageID: id})
				if err != nil {
					t.Error(err)
				}
				ev, _, err := s.DecodeEvent(out)
				if end, ok := ev.(*agui.TextMessageEnd); err != nil || !ok || end.MessageID != id {
					t.Errorf("%v: %s became %v, %v", s.Type(), out, ev, err)
				}
				if ev, _, err = s.DecodeEvent(lines[round%len(lines)].data); err != nil {
					t.Error(err)
				} else if _, err = s.AppendEvent(nil, ev); err != nil {
					t.Error(err)
				}
				lent.Delete(s)
				f.Put(s)
			}
		})
	}
	wg.Wait()
	if gets, news := f.Gets(), f.News(); gets != streams*rounds || news == 0 || news > gets {
		t.Errorf("%d gets, %d news, want %d gets", gets, news, streams*rounds)
	}
}

func BenchmarkSerializerFactory(b *testing.B) {
	for _, typ := range serializationTypes {
		f, err := agloop.NewSerializerFactory(typ)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(typ.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					f.Put(f.Get())
				}
			})
		})
	}
}
