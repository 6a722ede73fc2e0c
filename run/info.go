package run

import (
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
)

// RunInfo says what a run is.
type RunInfo struct {
	RunKey
	Principal auth.Principal
	Started   time.Time
}

// RunEnd says how a run ended.
type RunEnd struct {
	RunInfo
	// Err is nil when it ended well. Otherwise it is the agent's error, also where that has sent
	// its own terminal event; a *PanicError; what was wrong with the order of events; or the cause
	// when the run was cancelled.
	Err error
	// Thread is the conversation that the run's input and its events came to: what a host saves. It
	// is the hook's.
	Thread *agui.Thread
}
