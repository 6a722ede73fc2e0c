package main

import "testing"

func TestPacer(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 7, 999, 20_000, 333_333, 4_000_000} {
		p := newPacer(rate)
		p.begin = 12345
		if n := p.count(p.begin - 1); n != 0 {
			t.Errorf("rate %g: %d messages due before the begin", rate, n)
		}
		last := p.begin - 1
		for i := range int64(10_000) {
			at := p.due(i * 997)
			if at <= last {
				t.Fatalf("rate %g: message %d is due at %d, after one at %d", rate, i*997, at, last)
			}
			last = at
			// A message counts from the very moment it is due.
			if before, then := p.count(at-1), p.count(at); before != i*997 || then != i*997+1 {
				t.Fatalf("rate %g: %d due just before message %d is, then %d", rate, before, i*997, then)
			}
		}
		if n := p.count(p.begin + 10e9 - 1); n != int64(rate*10) {
			t.Errorf("rate %g: %d messages in 10 s", rate, n)
		}
	}
}
