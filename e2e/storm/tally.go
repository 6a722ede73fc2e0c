package main

import (
	"fmt"
	"os"
	"sync"
)

// tally is what a storm has come to.
type tally struct {
	mu         sync.Mutex
	runs       int
	events     int // that the agents have emitted
	reconnects int
	lost       int
	doubled    int
	ends       int      // that those have seen who started the runs
	besides    []string // further figures
	faults     int
}

// mostFaults is how many faults of a storm are printed.
const mostFaults = 20

// fault notes something that is wrong, and prints it.
func (t *tally) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults++; t.faults <= mostFaults {
		fmt.Fprintln(os.Stderr, "storm: "+fmt.Sprintf(format, args...))
	}
}

// heard adds what somebody has heard of a run. who is "" for who started it.
func (t *tally) heard(who string, j *judge) {
	if j.Fault != "" {
		if who != "" {
			who += ": "
		}
		t.fault("%s%s", who, j.Fault)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost += j.Lost
	t.doubled += j.Doubled
	if who == "" {
		t.ends += j.Ends
	}
}

// figure adds a further figure, which must be at least so much: else the storm was none.
func (t *tally) figure(name string, n, least int) {
	if n < least {
		t.fault("this was no storm: %s %d, want at least %d", name, n, least)
	}
	t.besides = append(t.besides, fmt.Sprintf("%s %d", name, n))
}

// wrong reports whether anything is.
func (t *tally) wrong() bool { return t.faults > 0 || t.lost > 0 || t.doubled > 0 || t.ends != t.runs }

// add adds what another storm has come to.
func (t *tally) add(other *tally) {
	t.runs += other.runs
	t.events += other.events
	t.reconnects += other.reconnects
	t.lost += other.lost
	t.doubled += other.doubled
	t.ends += other.ends
	t.faults += other.faults
}

func (t *tally) String() string {
	ends := fmt.Sprintf("%.2f", float64(t.ends)/float64(max(t.runs, 1)))
	if ends == "1.00" && t.ends != t.runs {
		ends = fmt.Sprintf("%d/%d", t.ends, t.runs)
	}
	return fmt.Sprintf("runs %d events %d reconnects %d lost %d doubled %d ends %s per run",
		t.runs, t.events, t.reconnects, t.lost, t.doubled, ends)
}
