//go:build linux

package main

import (
	"os"
	"testing"
	"time"
)

func TestSaturated(t *testing.T) {
	tests := []struct {
		name              string
		load, server, may float64
		openLoop, want    bool
	}{
		{"both at ease", 0.5, 0.5, 1, false, false},
		{"server at its end", 0.95, 0.98, 1, false, false},
		{"server has a core left", 0.95, 0.98, 2, false, true},
		{"both at their end", 0.99, 0.99, 1, false, false},
		{"load at its end", 0.99, 0.9, 1, false, true},
		{"open loop at ease", 0.85, 0.5, 1, true, false},
		{"open loop late", 0.95, 0.99, 1, true, true},
	}
	for _, tt := range tests {
		if got := saturated(tt.load, tt.server, tt.may, tt.openLoop); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestUserPart(t *testing.T) {
	if got := userPart(2*time.Second, 30, 90); got != 500*time.Millisecond {
		t.Errorf("a quarter of 2 s is %v", got)
	}
	if got := userPart(time.Millisecond, 0, 0); got != 0 {
		t.Errorf("without ticks: %v", got)
	}
}

func TestOthersSkips(t *testing.T) {
	self := os.Getpid()
	without, _, err := others(self)
	if err != nil {
		t.Fatal(err)
	}
	user, sys, err := ticks(self)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := others()
	if err != nil {
		t.Fatal(err)
	}
	// Sums only grow, so what was read later has at least this process more.
	if all < without+user+sys {
		t.Errorf("all processes %d ticks, without this one %d, this one %d", all, without, user+sys)
	}
}

func TestStatNames(t *testing.T) {
	fields, name, err := stat(os.Getpid())
	if err != nil || string(name) != "load.test" || len(fields[0]) != 1 {
		t.Errorf("name %q, state %q, error %v", name, fields[0], err)
	}
	if rss, err := residentSet(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("resident set %d, error %v", rss, err)
	}
	if n := allowedCores(os.Getpid()); n < 1 {
		t.Errorf("%g cores", n)
	}
}
