package event

import "github.com/agloop/agloop/agui"

var (
	outcomes         = unionOf(schemaOutcome, `,"type":"`, `,"pendingToolCallIds":"`, `,"interrupts":"`)
	subagentOutcomes = unionOf(schemaSubagentOutcome, `,"type":"`, `,"interruptIds":"`)
)

func (a *appender) outcome(o *agui.Outcome) {
	if o == nil {
		return
	}
	start := a.beginObject(`,"outcome":"`)
	a.checkKind(outcomes, string(o.Type), o.PendingToolCallIDs != nil, len(o.Interrupts) > 0)
	a.text(`,"type":"`, string(o.Type))
	a.texts(`,"pendingToolCallIds":"`, o.PendingToolCallIDs)
	if len(o.Interrupts) > 0 {
		for i := range a.list(`,"interrupts":"`, len(o.Interrupts)) {
			a.interrupt(&o.Interrupts[i])
		}
	}
	a.endObject(`,"outcome":"`, start)
}

func (a *appender) interrupt(i *agui.Interrupt) {
	a.text(`,"id":"`, i.ID)
	a.text(`,"reason":"`, i.Reason)
	a.optionalText(`,"message":"`, i.Message)
	a.optionalText(`,"toolCallId":"`, i.ToolCallID)
	a.optionalRaw(`,"responseSchema":"`, i.ResponseSchema, &openValue)
	a.optionalText(`,"expiresAt":"`, i.ExpiresAt)
	a.optionalRaw(`,"metadata":"`, i.Metadata, &openValue)
	a.optionalText(`,"subagentRunId":"`, i.SubagentRunID)
}

func (a *appender) subagentOutcome(o *agui.SubagentOutcome) {
	if o == nil {
		return
	}
	start := a.beginObject(`,"outcome":"`)
	a.checkKind(subagentOutcomes, string(o.Type), o.InterruptIDs != nil)
	a.text(`,"type":"`, string(o.Type))
	a.texts(`,"interruptIds":"`, o.InterruptIDs)
	a.endObject(`,"outcome":"`, start)
}

func (a *appender) usage(list []agui.TokenUsage) {
	if list == nil {
		return
	}
	for i := range a.list(`,"usage":"`, len(list)) {
		u := &list[i]
		a.optionalText(`,"provider":"`, u.Provider)
		a.optionalText(`,"model":"`, u.Model)
		a.integer(`,"inputTokens":"`, u.InputTokens, schemaCount)
		a.integer(`,"outputTokens":"`, u.OutputTokens, schemaCount)
		a.integer(`,"totalTokens":"`, u.TotalTokens, schemaCount)
		a.integer(`,"reasoningTokens":"`, u.ReasoningTokens, schemaCount)
		a.integer(`,"cachedInputTokens":"`, u.CachedInputTokens, schemaCount)
		a.integer(`,"cacheWriteInputTokens":"`, u.CacheWriteInputTokens, schemaCount)
	}
}
