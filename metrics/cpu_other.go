//go:build !unix

package metrics

import "time"

// cpuTime is 0 where the system has no getrusage: CPUUsage is not known there.
func cpuTime() time.Duration { return 0 }
