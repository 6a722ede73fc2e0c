package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// difference is a case that a side of ours and the reference judge otherwise.
type difference struct {
	side         string   // "reader"; "emit" of what an agent may emit; "sender" of what is sent
	texts        []string // the frames of a stream, or the one of an event
	event        bool
	ours, theirs verdict
	notes        []event.Note
	ev           agui.Event // of an event that ours keeps
	truncated    bool       // ours came to no terminal event
}

// judge makes the cases, judges them, and counts differences by their class.
type judge struct {
	corpus *corpus
	seed   uint64
	cases  map[string]int
	counts map[string]int
	odd    []string // differences of no class
	oddest int      // how many there were
}

func newJudge(c *corpus, seed uint64) *judge {
	return &judge{corpus: c, seed: seed, cases: make(map[string]int), counts: make(map[string]int)}
}

// maxOdd is how many differences of no class are printed.
const maxOdd = 20

// run judges so many events, what a sender makes of those that are kept and of values that were changed
// in Go, and so many streams, with what a sender makes of them.
func (j *judge) run(dir string, events, streams int) error {
	r := rand.New(rand.NewPCG(j.seed, 1))
	var decoder event.Decoder
	var kept []agui.Event
	var eventExamples []string
	var streamExamples [][]string
	for _, c := range classes {
		if c.event != "" {
			eventExamples = append(eventExamples, c.event)
		} else {
			streamExamples = append(streamExamples, c.stream)
		}
	}
	err := j.each(dir, func(i int) (asked, bool) {
		if i < len(eventExamples) {
			return asked{Event: &eventExamples[i]}, true
		}
		text := j.corpus.event(r)
		return asked{Event: &text}, i < events
	}, func(a asked, theirs verdict) {
		ours, ev, notes := readEvent(&decoder, *a.Event)
		j.compare(difference{side: "reader", texts: []string{*a.Event}, event: true, ours: ours, theirs: theirs, notes: notes, ev: ev})
		if ev != nil {
			kept = append(kept, ev)
		}
		if ours.agrees(theirs) && !strings.Contains(*a.Event, "proto__") {
			j.corpus.agreed = append(j.corpus.agreed, *a.Event)
		}
	})
	if err != nil {
		return err
	}
	tries := 0
	err = j.each(dir, func(int) (asked, bool) {
		for ; tries < 4*len(kept); tries++ { // as it came, and changed three times
			ev := kept[tries/4]
			if tries%4 > 0 {
				ev = changedValue(r, ev)
			}
			if b, err := event.Append(nil, ev); err == nil {
				tries++
				text := string(b)
				return asked{Event: &text}, true
			}
		}
		return asked{}, false
	}, func(a asked, theirs verdict) {
		ours := verdict{Kept: valueOf([]byte(*a.Event))}
		j.compare(difference{side: "sender", texts: []string{*a.Event}, event: true, ours: ours, theirs: theirs})
	})
	if err != nil {
		return err
	}
	// Each stream is judged as it is, and then as a sender sends it.
	var stream []string
	return j.each(dir, func(i int) (asked, bool) {
		if i%2 == 0 {
			if stream = j.corpus.stream(r); i/2 < len(streamExamples) {
				stream = streamExamples[i/2]
			}
			return asked{Stream: stream}, i < 2*streams
		}
		_, sent := sendStream(stream)
		return asked{Sent: true, Stream: sent}, true
	}, func(a asked, theirs verdict) {
		ours, done := readStream(a.Stream)
		side := "reader"
		if a.Sent {
			side = "sender"
		}
		j.compare(difference{side: side, texts: a.Stream, ours: ours, theirs: theirs, truncated: ours.Fatal == "" && !done})
		if !a.Sent {
			ours, _ := sendStream(a.Stream)
			j.compare(difference{side: "emit", texts: a.Stream, ours: ours, theirs: verdict{Fatal: theirs.Fatal}})
		}
	})
}

// each has the reference judge what next makes, and gives told each case with its answer.
func (j *judge) each(dir string, next func(i int) (asked, bool), told func(asked, verdict)) error {
	var mu sync.Mutex
	var waiting []asked
	i := 0
	return reference(dir, func() (asked, bool) {
		a, ok := next(i)
		i++
		mu.Lock()
		defer mu.Unlock()
		if ok {
			waiting = append(waiting, a)
		}
		return a, ok
	}, func(v verdict) {
		mu.Lock()
		a := waiting[0]
		waiting = waiting[1:]
		mu.Unlock()
		told(a, v)
	})
}

// compare counts a case and, where its verdicts differ, the class of that.
func (j *judge) compare(d difference) {
	kind := "streams"
	if d.event {
		kind = "events"
	}
	j.cases[d.side+" "+kind]++
	if d.ours.agrees(d.theirs) && !d.truncated {
		return
	}
	if d.known(j.counts) {
		return
	}
	if j.oddest++; len(j.odd) < maxOdd {
		j.odd = append(j.odd, d.String())
	}
}

// agrees reports whether two verdicts are the same: of a refusal that it is one, and what was delivered
// before.
func (v verdict) agrees(w verdict) bool {
	return (v.Fatal == "") == (w.Fatal == "") && v.Dropped == w.Dropped && v.Kept.equal(w.Kept) && equalValues(v.Delivered, w.Delivered)
}

func (d *difference) String() string {
	text := func(v any) string {
		b, _ := json.Marshal(v)
		if len(b) > 3000 {
			b = append(b[:3000:3000], " …"...)
		}
		return string(b)
	}
	s := fmt.Sprintf("%s\n", d.side)
	for _, t := range d.texts {
		if len(t) > 3000 {
			t = t[:3000] + " …"
		}
		s += "  " + t + "\n"
	}
	return s + fmt.Sprintf("  ours   %s %v\n  theirs %s\n", text(d.ours), d.notes, text(d.theirs))
}

// report prints what was judged, and reports whether every difference has a class and every class
// occurred, as its example does.
func (j *judge) report(w io.Writer) bool {
	for _, s := range j.odd {
		fmt.Fprintf(w, "a difference of no class: %s\n", s)
	}
	fmt.Fprintf(w, "seed %d", j.seed)
	for _, kind := range []string{"reader events", "sender events", "reader streams", "emit streams", "sender streams"} {
		fmt.Fprintf(w, ", %s %d", kind, j.cases[kind])
	}
	fmt.Fprintln(w)
	ok := j.oddest == 0
	for _, c := range classes {
		fmt.Fprintf(w, "%7d %s\n", j.counts[c.name], c.name)
		if j.counts[c.name] == 0 {
			fmt.Fprintf(w, "the class %q did not occur: the list says more than is true\n", c.name)
			ok = false
		}
	}
	fmt.Fprintf(w, "%7d of no class\n", j.oddest)
	return ok
}

// known counts a difference for its class, and reports whether it has one.
func (d *difference) known(counts map[string]int) bool {
	i := slices.IndexFunc(classes, func(c class) bool { return c.is(d) })
	if i < 0 {
		return false
	}
	counts[classes[i].name]++
	return true
}
