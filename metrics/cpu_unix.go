//go:build unix

package metrics

import (
	"syscall"
	"time"
)

// CPUTime is the CPU time that this process has used, in user and in system mode. It is 0 when that
// is not known.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
