package run

import (
	"slices"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// maxTokens is the largest count that the protocol allows.
const maxTokens = 1<<53 - 1

// Usage adds to the tokens that the run has used, as the agent learns of them. The terminal event
// has the sums, one for each pair of provider and model, whoever sends it: also that of a run that
// fails or is cancelled. What that event names itself is added to them.
//
// A count that is nil is not known and adds nothing: a sum is nil where all are. Sums stop at 2^53-1.
// Errors: a *event.FieldError for a count that is negative or above that, ErrEventTooBig, ErrRunEnded;
// nothing is added then.
func (r *Run) Usage(u agui.TokenUsage) error {
	if _, err := event.Append(nil, &agui.RunFinished{Usage: []agui.TokenUsage{u}}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.usage
	r.usage = mergeUsage(before, []agui.TokenUsage{u})
	err := r.checkTotals()
	if err != nil {
		r.usage = before
	}
	return err
}

// totalUsage is the usage that a terminal event names with what was collected. Under mu.
func (c *core) totalUsage(own []agui.TokenUsage) []agui.TokenUsage {
	if len(c.usage) == 0 {
		return own
	}
	return mergeUsage(own, c.usage)
}

// mergeUsage returns the sums of two lists, one for each provider and model, and changes neither. The
// order is that of their first occurrence.
func mergeUsage(a, b []agui.TokenUsage) []agui.TokenUsage {
	sums := make([]agui.TokenUsage, 0, len(a)+len(b))
	for _, u := range slices.Concat(a, b) {
		i := slices.IndexFunc(sums, func(s agui.TokenUsage) bool {
			return equalName(s.Provider, u.Provider) && equalName(s.Model, u.Model)
		})
		if i < 0 {
			i = len(sums)
			sums = append(sums, agui.TokenUsage{Provider: clone(u.Provider), Model: clone(u.Model)})
		}
		s := &sums[i]
		s.InputTokens = addTokens(s.InputTokens, u.InputTokens)
		s.OutputTokens = addTokens(s.OutputTokens, u.OutputTokens)
		s.TotalTokens = addTokens(s.TotalTokens, u.TotalTokens)
		s.ReasoningTokens = addTokens(s.ReasoningTokens, u.ReasoningTokens)
		s.CachedInputTokens = addTokens(s.CachedInputTokens, u.CachedInputTokens)
		s.CacheWriteInputTokens = addTokens(s.CacheWriteInputTokens, u.CacheWriteInputTokens)
	}
	return sums
}

// equalName reports whether two names are the same, or both absent.
func equalName(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// addTokens returns a sum of its own; nil adds nothing.
func addTokens(a, b *int64) *int64 {
	switch {
	case a == nil:
		return clone(b)
	case b == nil:
		return a
	}
	return new(min(*a+*b, maxTokens))
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}
