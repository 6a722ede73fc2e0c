package page

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agloop/agloop/bench/result"
)

const ours = "agloop"

// libraries are what a Go program would otherwise use.
var libraries = []string{"gorilla", "gws", "nbio", "coder", "gobwas"}

// floors are servers that do as little as possible. They show how much can be gained at most.
var floors = []string{"epollc", "gnet"}

// role decides how a server is drawn.
type role int

const (
	rival role = iota
	own
	floor
)

func roleOf(name string) role {
	switch {
	case name == ours, strings.HasPrefix(name, ours+","): // or ours in another way of use
		return own
	case slices.Contains(floors, name):
		return floor
	}
	return rival
}

func (r role) String() string { return [...]string{"", "own", "floor"}[r] }

// part is one k=v of a case's name.
func part(name, key string) string {
	for p := range strings.SplitSeq(name, "/") {
		if k, v, ok := strings.Cut(p, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// spoken is a k=v of a case's name in words.
func spoken(p string) string {
	k, v, ok := strings.Cut(p, "=")
	if !ok {
		switch p {
		case "tls-idle":
			return "before any message"
		case "tls-idle-after":
			return "at rest again"
		}
		return p
	}
	switch k {
	case "message":
		if n, err := strconv.Atoi(v); err == nil && n%1024 == 0 {
			return "message of " + thousands(strconv.Itoa(n/1024)) + noBreak + "KiB"
		}
		return "message of " + thousands(v) + noBreak + "B"
	case "size":
		return thousands(v) + noBreak + "B"
	case "inflight":
		return v + " in flight"
	case "burst":
		return "bursts of " + v
	case "conns":
		return thousands(v) + " connections"
	case "runs", "processes", "events", "clients", "viewers":
		return thousands(v) + " " + k
	case "rate":
		return thousands(v) + "/s"
	}
	return k + " " + v
}

// workload is a case's name in words: echo, 128 B, 32 in flight.
func workload(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = spoken(p)
	}
	return strings.Join(parts, ", ")
}

// short is the part of the name in which the case differs from others of its sweep: 32 in flight.
func short(c *result.Case, among []*result.Case) string {
	var out []string
	for p := range strings.SplitSeq(c.Name, "/") {
		everywhere := true
		for _, other := range among {
			everywhere = everywhere && slices.Contains(strings.Split(other.Name, "/"), p)
		}
		if !everywhere {
			out = append(out, spoken(p))
		}
	}
	return strings.Join(out, ", ")
}

// upper begins a sentence; the library's name and p99 stay as they are.
func upper(s string) string {
	if strings.HasPrefix(s, ours) || len(s) > 1 && unicode.IsDigit(rune(s[1])) {
		return s
	}
	return capital(s)
}

func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
