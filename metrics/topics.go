package metrics

// Topics are figures of the topics of a server. Counters are totals since the start.
type Topics struct {
	Topics        int // with a subscriber or a history
	Subscriptions int // subscribers, once for each of their topics
	HistoryBytes  int // kept for those who come later

	Published uint64 // messages
	Delivered uint64 // messages given to subscribers, once for each
	Replaced  uint64 // messages that newer ones took the place of, for a connection that does not keep up
	Dropped   uint64 // messages left out for a run whose reader is slow
}
