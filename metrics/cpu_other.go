//go:build !unix

package metrics

import "time"

// CPUTime is 0, not known, where the system has no getrusage.
func CPUTime() time.Duration { return 0 }
