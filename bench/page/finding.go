package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// finding is the result of a case: agloop's figure, and its ratio to that of the nearest rival.
func finding(c *result.Case) string {
	us := c.Server(ours)
	if us == nil || us.Spread(c.Measure.Key).N == 0 {
		return ours + " has no figure"
	}
	text := ours + " " + quantity(us.Spread(c.Measure.Key).Median, c.Measure.Unit)
	them := nearest(c)
	if them == nil {
		return text
	}
	return text + ", " + compare(us.Ratio(them, c.Measure.Key).Median) + " " + them.Name
}

// nearest is the rival with the best figure, among the Go libraries if there are any.
func nearest(c *result.Case) *result.Server {
	var best *result.Server
	for _, among := range []func(string) bool{
		func(name string) bool { return slices.Contains(libraries, name) },
		func(name string) bool { return roleOf(name) == rival },
	} {
		for i := range c.Servers {
			s := &c.Servers[i]
			if !among(s.Name) || s.Spread(c.Measure.Key).N == 0 {
				continue
			}
			if best == nil || better(s.Spread(c.Measure.Key).Median, best.Spread(c.Measure.Key).Median, c.Measure.More) {
				best = s
			}
		}
		if best != nil {
			break
		}
	}
	return best
}

func better(a, b float64, more bool) bool { return a < b != more && a != b }

// compare words a ratio of agloop's figure to another's.
func compare(ratio float64) string {
	word := "less than"
	if ratio > 1 {
		word = "more than"
	}
	by := ratio
	if by < 1 && by > 0 {
		by = 1 / by
	}
	switch {
	case ratio <= 0:
		return "beside"
	case by < 1.03:
		return "level with"
	case by >= 1.95:
		return times(by) + " times " + word
	case ratio < 1:
		return fmt.Sprintf("%.0f%% %s", 100*(1-ratio), word)
	default:
		return fmt.Sprintf("%.0f%% %s", 100*(ratio-1), word)
	}
}

// againstFloor says how far agloop is from the servers that do next to nothing.
func againstFloor(c *result.Case) string {
	us := c.Server(ours)
	if us == nil {
		return ""
	}
	var out []string
	for i := range c.Servers {
		s := &c.Servers[i]
		if ratio := us.Ratio(s, c.Measure.Key); roleOf(s.Name) == floor && ratio.N > 0 {
			out = append(out, fmt.Sprintf("%s times %s", times(ratio.Median), s.Name))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "agloop is at " + strings.Join(out, " and ") + "."
}

// refusals are the reasons why rounds of a server are missing, each with how many.
func refusals(s *result.Server) string {
	var reasons []string
	count := map[string]int{}
	for _, r := range s.Rounds {
		why, _, _ := strings.Cut(r.Refused, "\n") // what a failed server printed goes on
		if why == "" {
			continue
		}
		if count[why] == 0 {
			reasons = append(reasons, why)
		}
		count[why]++
	}
	for i, reason := range reasons {
		n := count[reason]
		if !strings.HasPrefix(reason, "failed") {
			reason = "refused: " + reason
		}
		if n < len(s.Rounds) {
			reason = fmt.Sprintf("%d of %d rounds %s", n, len(s.Rounds), reason)
		}
		reasons[i] = reason
	}
	return strings.Join(reasons, "; ")
}
