package metrics

// Runs are figures of the runs that have a log. Counters are totals since the start.
type Runs struct {
	Live     int // that have not ended, those included that wait for their thread
	Detached int // of those, without a viewer
	Retained int // that have ended, and whose log is kept
	Viewers  int // attached to live runs
	Streams  int // responses over HTTP that carry one

	LogBytes   int64 // of all logs, live and retained
	Tombstones int   // names of runs whose log is gone

	Started uint64 // agents called
	Ended   RunsEnded
	GivenUp uint64 // agents that ignored that their run was cancelled

	Folds     uint64 // times that what is older of a log was folded
	Shed      uint64 // logs dropped, wholly or in part, since all together or those of one scope were too many
	Conflicts uint64 // starts under the name of a run with another input
	Gone      RunsGone
	Unknown   uint64 // controls of clients that nobody knows
}

// RunsEnded are runs that ended, by outcome.
type RunsEnded struct{ Success, Interrupt, Cancelled, Error uint64 }

// RunsGone are the times that a client was told that a run is gone, by what it was told.
type RunsGone struct {
	Trimmed uint64 // what is behind its cursor was dropped
	Epoch   uint64 // its cursor is of another log
	Future  uint64 // its cursor is behind the end
	Ended   uint64 // the log is not kept any more
	Unknown uint64 // there is no such run, or not for this client
}

// RunTimes are how long the runs took that have a log, in nanoseconds.
type RunTimes struct {
	Duration   HistogramSnapshot // from the start to the terminal event
	FirstEvent HistogramSnapshot // from the start to the first event behind RUN_STARTED
	FirstToken HistogramSnapshot // from the start to the first piece of text, reasoning or arguments
}

// Reset empties t.
func (t *RunTimes) Reset() {
	t.Duration.Reset()
	t.FirstEvent.Reset()
	t.FirstToken.Reset()
}
