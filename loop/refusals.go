package loop

import (
	"sync/atomic"

	"github.com/agloop/agloop/metrics"
)

// refusals counts what was turned away, see metrics.Refusals.
type refusals struct {
	slots, memory, quota, authorize, address, messages, bytes, control, runs, runQuota, guesses atomic.Uint64
}

// Refusals reads what was turned away, by reason. Any goroutine.
func (d *Door) Refusals() metrics.Refusals {
	r := &d.refused
	return metrics.Refusals{
		Slots: r.slots.Load(), Memory: r.memory.Load(), ConnQuota: r.quota.Load(), Authorize: r.authorize.Load(),
		AddressRate: r.address.Load(),
		MessageRate: r.messages.Load(), ByteRate: r.bytes.Load(), ControlRate: r.control.Load(), RunRate: r.runs.Load(),
		RunQuota: r.runQuota.Load(), Guesses: r.guesses.Load(),
	}
}

// RunRefused counts a run that its connection's rate did not allow. Any goroutine.
func (d *Door) RunRefused() { d.refused.runs.Add(1) }

// RunOverQuota counts a run that found no place, see Quotas. Any goroutine.
func (d *Door) RunOverQuota() { d.refused.runQuota.Add(1) }
