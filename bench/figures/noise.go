package main

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// Limits beyond which a measurement is refused.
const (
	mostOther   = 0.15    // cores that neither server nor load used during a window
	mostSteal   = 0.05    // share of the time that the hypervisor gave to others
	mostBusy    = 0.3     // cores in use before a run
	mostSpread  = 0.5     // of agloop's rounds of one case, (max − min) / min
	mostRefused = 1.0 / 3 // rounds of a run
	mostRepeats = 3       // of one noisy round
)

// How the reasons begin.
const (
	failedRound = "failed: "
	tooNoisy    = "machine too noisy: "
)

// judge returns why a round must not be reported, or "", and reports whether it should be repeated.
func judge(v map[string]float64) (refused string, again bool) {
	switch {
	case v["other_cores"] > mostOther:
		return fmt.Sprintf(tooNoisy+"others used %.2f cores", v["other_cores"]), true
	case v["steal_share"] > mostSteal:
		return fmt.Sprintf(tooNoisy+"the hypervisor took %.0f %% of the time", 100*v["steal_share"]), true
	case v["load_saturated"] != 0:
		return fmt.Sprintf("load saturated: it used %.2f cores", v["load_cores"]), false
	}
	return "", false
}

// unsteady returns why a whole case must not be reported, or "".
func unsteady(c *result.Case, key string) string {
	s := c.Servers[0].Spread(key)
	if s.N < 2 || s.Min <= 0 || s.Max/s.Min-1 <= mostSpread {
		return ""
	}
	return fmt.Sprintf(tooNoisy+"%s's rounds lie %.0f %% apart", c.Servers[0].Name, 100*(s.Max/s.Min-1))
}

// refuse removes the values of all rounds of a case.
func refuse(c *result.Case, why string) {
	for i := range c.Servers {
		for j := range c.Servers[i].Rounds {
			if r := &c.Servers[i].Rounds[j]; r.Refused == "" {
				*r = result.Round{Refused: why}
			}
		}
	}
}

// tally counts the rounds of a run, those that are not reported, and among these those that failed.
func tally(run *result.Run) (rounds, refused, failed int) {
	for _, c := range run.Cases {
		for _, s := range c.Servers {
			for _, r := range s.Rounds {
				rounds++
				if r.Refused != "" {
					refused++
				}
				if strings.HasPrefix(r.Refused, failedRound) {
					failed++
				}
			}
		}
	}
	return rounds, refused, failed
}
