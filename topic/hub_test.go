package topic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

func TestPublish(t *testing.T) {
	before := bufpool.InUse()
	h := NewHub(nil, 0)
	one, two := newWorker(), newWorker()
	a, b, c := &reader{group: one, principal: "ann"}, &reader{group: one, principal: "ann"}, &reader{group: two}
	publish(h, "t", "nobody hears it")
	subscribe(t, h, "t", a)
	publish(h, "t", "1")
	subscribe(t, h, "t", b, c, a) // a once more
	publish(h, "t", "2", "3")
	publish(h, "u", "another")
	a.wants(t, "1", "2", "3")
	b.wants(t, "2", "3")
	c.wants(t, "2", "3")
	if n := h.Count("t"); n != 3 {
		t.Errorf("%d subscribers", n)
	}
	if got := fmt.Sprint(h.Presence("t")); got != "map[:1 ann:2]" {
		t.Errorf("present: %s", got)
	}
	if !h.Unsubscribe("t", a) || h.Unsubscribe("t", a) || h.Unsubscribe("u", a) || h.Unsubscribe("t", &reader{group: one}) {
		t.Error("Unsubscribe")
	}
	publish(h, "t", "4")
	a.wants(t)
	b.wants(t, "4")
	h.Leave(b)
	h.Leave(c)
	if f := h.Figures(); f.Topics != 0 || f.Subscriptions != 0 || f.Published != 6 || f.Delivered != 9 {
		t.Errorf("%+v", f)
	}
	if n := bufpool.InUse() - before; n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// TestAgainstModel: any mix of what may be done, with two groups that work at their own pace, gives each
// subscriber all messages between its coming and its going, in order, and once.
func TestAgainstModel(t *testing.T) {
	before := bufpool.InUse()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		h := NewHub(nil, 0)
		groups := []*worker{newWorker(), newWorker()}
		type state struct {
			*reader
			topics map[string]bool
			want   []string
		}
		var all []*state
		for i := range 5 {
			all = append(all, &state{reader: &reader{group: groups[i%2]}, topics: map[string]bool{}})
		}
		for i := range 300 {
			s, name := all[rnd.IntN(len(all))], string(rune('a'+rnd.IntN(3)))
			switch rnd.IntN(8) {
			case 0:
				subscribe(t, h, name, s.reader)
				s.topics[name] = true
			case 1:
				groups[0].wait() // what is under way may come or not
				groups[1].wait()
				if h.Unsubscribe(name, s) || h.Unsubscribe(name, s.reader) != s.topics[name] {
					t.Fatalf("seed %d: Unsubscribe", seed)
				}
				delete(s.topics, name)
			case 2:
				groups[0].wait()
				groups[1].wait()
				h.Leave(s.reader)
				clear(s.topics)
			case 3:
				h.CatchUp(s.reader)
				for _, name := range []string{"a", "b", "c"} {
					if got := only(s.copyOf(), name); fmt.Sprint(got) != fmt.Sprint(only(s.want, name)) {
						t.Fatalf("seed %d: topic %s: got %q, want %q", seed, name, got, only(s.want, name))
					}
				}
			default:
				m := fmt.Sprint(name, i)
				publish(h, name, m)
				for _, s := range all {
					if s.topics[name] {
						s.want = append(s.want, m)
					}
				}
			}
		}
		groups[0].wait()
		groups[1].wait()
		for i, s := range all {
			for _, name := range []string{"a", "b", "c"} { // the order is that of a topic
				if got, want := only(s.got, name), only(s.want, name); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("seed %d: subscriber %d, topic %s: got %q, want %q", seed, i, name, got, want)
				}
			}
		}
		h.Close()
		if f := h.Figures(); f.Topics != 0 || f.Subscriptions != 0 {
			t.Fatalf("seed %d: %+v", seed, f)
		}
	}
	if n := bufpool.InUse() - before; n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

func (r *reader) copyOf() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func only(list []string, name string) (of []string) {
	for _, m := range list {
		if strings.HasPrefix(m, name) {
			of = append(of, m)
		}
	}
	return of
}

// TestTogether: what is published before a group comes to it is delivered in one turn.
func TestTogether(t *testing.T) {
	h := NewHub(nil, 0)
	w := newWorker()
	var all []*reader
	for range stepSize + 1 {
		all = append(all, &reader{group: w})
	}
	subscribe(t, h, "t", all...)
	w.hold()
	publish(h, "t", "1", "2", "3")
	done := w.done
	w.let()
	for _, r := range all {
		r.wants(t, "1", "2", "3")
	}
	if n := w.done - done; n != 2 {
		t.Errorf("%d steps", n)
	}
}

// TestCatchUp: a subscriber can be given at once what is on its way to it, and is given it once.
func TestCatchUp(t *testing.T) {
	h := NewHub(func(name string) Config {
		if name == "gathered" {
			return Config{Interval: time.Hour}
		}
		return Config{}
	}, 0)
	w := newWorker()
	a, b := &reader{group: w}, &reader{group: w}
	subscribe(t, h, "one", a)
	subscribe(t, h, "two", a, b)
	subscribe(t, h, "gathered", a)
	w.hold()
	publish(h, "one", "1", "2")
	publish(h, "two", "3")
	publish(h, "gathered", "4")
	h.CatchUp(a)
	if got := a.take(); len(got) != 4 {
		t.Errorf("got %q", got)
	}
	if got := b.take(); len(got) != 0 {
		t.Errorf("the other got %q", got)
	}
	w.let()
	a.wants(t)
	b.wants(t, "3")
	h.Close()
}

func TestSlow(t *testing.T) {
	before := bufpool.InUse()
	h := NewHub(func(name string) Config {
		switch name {
		case "latest":
			return Config{Slow: SlowLatest}
		case "keyed":
			return Config{Slow: SlowCoalesce, Key: func(p []byte) string { return string(p[:1]) }}
		case "cut":
			return Config{Slow: SlowCut}
		}
		return Config{}
	}, 0)
	r := &reader{group: newWorker(), full: true}
	for _, name := range []string{"latest", "keyed", "cut", "plain"} {
		subscribe(t, h, name, r)
	}
	publish(h, "plain", "p")
	publish(h, "cut", "c")
	r.wants(t, "p", "c")
	publish(h, "latest", "1", "2", "3")
	publish(h, "keyed", "a1", "b1", "c1", "b2", "a2")
	r.wants(t)
	r.setFull(false)
	publish(h, "keyed", "d1") // behind what is kept
	r.group.wait()
	h.Room(r)
	got := r.take()
	slices.SortStableFunc(got, func(a, b string) int { return len(a) - len(b) })
	if fmt.Sprint(got) != "[3 c1 b2 a2 d1]" {
		t.Errorf("got %q", got)
	}
	publish(h, "latest", "4")
	publish(h, "keyed", "a3")
	r.wants(t, "4", "a3")
	if f := h.Figures(); f.Replaced != 4 {
		t.Errorf("%d were replaced", f.Replaced)
	}
	r.setFull(true)
	for i := range maxKeys + 3 { // who lets that many keys wait is dealt with by its limits
		publish(h, "keyed", string(rune(0x100+i)))
		publish(h, "latest", "5")
	}
	r.group.wait()
	h.Unsubscribe("keyed", r)
	h.Leave(r)
	if n := bufpool.InUse() - before; n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// TestKeysAreBounded: a subscriber for whom too many keys wait is given them under its own limits.
func TestKeysAreBounded(t *testing.T) {
	h := NewHub(func(string) Config {
		return Config{Slow: SlowCoalesce, Key: func(p []byte) string { return string(p) }}
	}, 0)
	r := &reader{group: newWorker(), full: true}
	subscribe(t, h, "t", r)
	for i := range maxKeys {
		publish(h, "t", fmt.Sprint(i))
	}
	r.group.wait()
	if got := r.take(); len(got) != maxKeys {
		t.Errorf("got %d", len(got))
	}
	h.Close()
}

func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(func(string) Config { return Config{Interval: time.Second} }, 0)
		w := newWorker()
		r := &reader{group: w}
		subscribe(t, h, "t", r)
		publish(h, "t", "1", "2")
		synctest.Wait()
		r.wants(t)
		time.Sleep(time.Second)
		synctest.Wait()
		r.wants(t, "1", "2")
		if w.done != 1 {
			t.Errorf("%d steps", w.done)
		}
		publish(h, "t", "3")
		h.Leave(r) // what is gathered goes with the topic
		time.Sleep(time.Hour)
		r.wants(t)
	})
}

func TestBounds(t *testing.T) {
	h := NewHub(nil, 2)
	r := &reader{group: newWorker()}
	subscribe(t, h, "a", r)
	subscribe(t, h, "b", r)
	if _, err := h.Subscribe("c", r, nil); err != ErrTooMany {
		t.Errorf("%v", err)
	}
	if _, err := h.Subscribe("b", r, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
	h.Unsubscribe("a", r)
	if _, err := h.Subscribe("c", r, nil); err != nil {
		t.Error(err)
	}
	if got := h.TopicsOf(r); len(got) != 2 {
		t.Errorf("%q", got)
	}
	h.Close()
	if _, err := h.Subscribe("d", r, nil); err != ErrClosed {
		t.Errorf("%v", err)
	}
	publish(h, "b", "after Close")
	r.wants(t)
}

// TestAtOnce: publishing, coming and going at once, for the race detector.
func TestAtOnce(t *testing.T) {
	h := NewHub(func(string) Config { return Config{History: 10, Slow: SlowLatest} }, 0)
	groups := []*worker{newWorker(), newWorker()}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := &reader{group: groups[i%2]}
			for j := range 300 {
				name := fmt.Sprint(j % 7)
				_, _ = h.Subscribe(name, r, &Cursor{})
				publish(h, name, "m")
				r.setFull(j%3 == 0)
				h.CatchUp(r)
				h.Room(r)
				if j%5 == 0 {
					h.Unsubscribe(name, r)
				}
			}
			h.Leave(r)
		})
	}
	all.Wait()
	groups[0].wait()
	groups[1].wait()
	if f := h.Figures(); f.Subscriptions != 0 {
		t.Errorf("%+v", f)
	}
	h.Close()
}

// TestTopicIsSmall: a topic of one subscriber takes 200 bytes, its name and subscription included.
func TestTopicIsSmall(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector makes everything larger")
	}
	const topics, subscribers = 100_000, 1000
	var readers []*reader
	w := newWorker()
	for range subscribers {
		readers = append(readers, &reader{group: w})
	}
	h := NewHub(nil, 0)
	before := heap()
	for i := range topics {
		if _, err := h.Subscribe(fmt.Sprint("topic ", i), readers[i%subscribers], nil); err != nil {
			t.Fatal(err)
		}
	}
	if each := float64(heap()-before) / topics; each > 200 {
		t.Errorf("%.1f bytes", each)
	} else {
		t.Logf("%.1f bytes", each)
	}
	runtime.KeepAlive(h)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// taker takes messages and notes nothing.
type taker struct{ group *inline }

func (t *taker) Group() Group      { return t.group }
func (t *taker) Principal() string { return "" }
func (t *taker) Deliver(messages []frame.Prepared, first uint64, next *uint64, _ Slow) Result {
	*next = first + uint64(len(messages))
	return Took
}

// inline is a group whose steps the test calls.
type inline struct{ step func() bool }

func (g *inline) Serve(step func() bool) { g.step = step }

// TestAllocations: a delivery allocates nothing, nor does a publish.
func TestAllocations(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	g := new(inline)
	h := NewHub(nil, 0)
	for range 1000 {
		if _, err := h.Subscribe("t", &taker{g}, nil); err != nil {
			t.Fatal(err)
		}
	}
	payload := make([]byte, 100)
	n := testing.AllocsPerRun(200, func() {
		h.Publish("t", frame.Text, payload)
		for g.step() {
		}
	})
	if n > 1 { // the closure of Publish
		t.Errorf("%v allocations for a publish to 1,000", n)
	}
}
