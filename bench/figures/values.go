package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// parseValues takes the numbers out of load's JSON; true is 1.
func parseValues(line []byte) (map[string]float64, error) {
	var all map[string]any
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, fmt.Errorf("report of load: %w: %q", err, line)
	}
	values := map[string]float64{}
	for k, v := range all {
		switch v := v.(type) {
		case float64:
			values[k] = v
		case bool:
			values[k] = 0
			if v {
				values[k] = 1
			}
		}
	}
	return values, nil
}

// merge is the report of several loads that ran at once. Figures of a process, such as memory and
// rates, are added up; figures of a connection are averaged. The figure for other processes is
// dropped, because each load counts the other pairs in it.
func merge(all []map[string]float64) map[string]float64 {
	if len(all) == 1 {
		return all[0]
	}
	out := map[string]float64{}
	for _, values := range all {
		for k, v := range values {
			if strings.HasPrefix(k, "rss") || strings.HasSuffix(k, "_cores") || strings.HasSuffix(k, "_per_s") || k == "conns" {
				out[k] += v
			} else {
				out[k] += v / float64(len(all))
			}
		}
	}
	delete(out, "other_cores")
	return out
}
