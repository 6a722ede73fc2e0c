// Package result holds what one run of the benchmarks found: bench/figures fills it in, bench/page
// draws it, and bench/report keeps it from one run to the next.
package result

import (
	"slices"
	"time"
)

// Run is everything one run found.
type Run struct {
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // the run took
	Machine Machine   `json:"machine"`
	Cases   []Case    `json:"cases"`
	Micro   []Micro   `json:"micro,omitempty"`
	Calls   []Calls   `json:"calls,omitempty"`
	Hot     []Hot     `json:"hot,omitempty"`
	Targets []Target  `json:"targets,omitempty"`
	Notes   []string  `json:"notes,omitempty"`  // what was not measured, and why
	Change  string    `json:"change,omitempty"` // since the run before, by benchstat
}

// Machine is where and on what it was measured.
type Machine struct {
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	Memory   float64   `json:"memory_gib"`
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Commit   string    `json:"commit"`
	Versions []Version `json:"versions"` // of the rivals, as linked
	Settings []string  `json:"settings"` // rounds, cores and what else the environment chose
	Load     [2]string `json:"load"`     // load average before and after
}

type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Case is one workload against several servers.
type Case struct {
	Name    string    `json:"name"`  // unique, such as echo/size=128/inflight=32
	Group   string    `json:"group"` // section of the report, such as echo
	Title   string    `json:"title"` // such as: server CPU per echo, 128 B, 32 in flight
	Measure Measure   `json:"measure"`
	Beside  []Measure `json:"beside"`
	Servers []Server  `json:"servers"` // the first is agloop
	Sweep   *Sweep    `json:"sweep,omitempty"`
}

// Measure names one figure of a round.
type Measure struct {
	Key  string `json:"key"` // in Round.Values
	Name string `json:"name"`
	Unit string `json:"unit"`           // µs, B, 1/s …
	More bool   `json:"more,omitempty"` // more is better; otherwise less is
}

// Sweep makes a case one point of a line in a plot.
type Sweep struct {
	Plot string  `json:"plot"` // cases of one plot share it: message size, 32 in flight
	Axis string  `json:"axis"` // payload, bytes
	X    float64 `json:"x"`
}

// Server is one program's rounds.
type Server struct {
	Name   string  `json:"name"`
	Rounds []Round `json:"rounds"`
}

// Round has values, or the reason why they are not reported.
type Round struct {
	Values  map[string]float64 `json:"values,omitempty"`
	Refused string             `json:"refused,omitempty"` // why it has no values, or ""
}

// Micro is one line of go test -bench, all its counts.
type Micro struct {
	Group string    `json:"group"` // encode, decode, pool, slots, batch, timer
	Name  string    `json:"name"`  // what is measured: TEXT_MESSAGE_CONTENT
	By    string    `json:"by"`    // agloop or encoding/json
	NsOp  []float64 `json:"ns_op"`
	BOp   float64   `json:"b_op"`
	Alloc float64   `json:"allocs_op"`
}

// Calls are the system calls of a server as strace -c counts them, per message of a workload.
type Calls struct {
	Case   string    `json:"case"`
	Server string    `json:"server"`
	Calls  []PerCall `json:"calls"` // most frequent first
}

type PerCall struct {
	Name string  `json:"name"`
	Per  float64 `json:"per"` // per message, event or connection
}

// Hot is where a server spends its time, as perf saw it.
type Hot struct {
	Case   string   `json:"case"`
	Server string   `json:"server"`
	Spots  []Symbol `json:"spots"` // hottest first
}

type Symbol struct {
	Name   string  `json:"name"`
	Kernel bool    `json:"kernel"`
	Share  float64 `json:"share"` // 0 to 1
}

// Target is one of the project's targets and its outcome.
type Target struct {
	Text    string  `json:"text"`    // what the target asks for
	Most    float64 `json:"most"`    // bound of Got
	Got     float64 `json:"got"`     // the ratio, or the figure
	Spread  string  `json:"spread"`  // of Got over the rounds: 1.02–1.09
	Outcome string  `json:"outcome"` // met, missed, not measured
	Why     string  `json:"why,omitempty"`
}

// Spread is the median of some values, with the least and the largest.
type Spread struct {
	N                int
	Median, Min, Max float64
}

// SpreadOf sorts a copy of v.
func SpreadOf(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	s := Spread{len(v), v[mid], v[0], v[len(v)-1]}
	if len(v)%2 == 0 {
		s.Median = (v[mid-1] + v[mid]) / 2
	}
	return s
}

// Spread is that of one figure over the rounds that have it.
func (s *Server) Spread(key string) Spread {
	var v []float64
	for _, r := range s.Rounds {
		if x, ok := r.Values[key]; ok {
			v = append(v, x)
		}
	}
	return SpreadOf(v)
}

// Ratio divides a figure of s by that of other, round by round: what disturbed a round disturbed
// both.
func (s *Server) Ratio(other *Server, key string) Spread {
	var v []float64
	for i, r := range s.Rounds {
		if i >= len(other.Rounds) {
			break
		}
		a, ok := r.Values[key]
		if b := other.Rounds[i].Values[key]; ok && b != 0 {
			v = append(v, a/b)
		}
	}
	return SpreadOf(v)
}

// Server finds a server of the case by name, or nil.
func (c *Case) Server(name string) *Server {
	for i := range c.Servers {
		if c.Servers[i].Name == name {
			return &c.Servers[i]
		}
	}
	return nil
}
