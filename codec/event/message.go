package event

import "github.com/agloop/agloop/agui"

var (
	roles = unionOf(schemaMessage.union, `,"role":"`, `,"content":"`, `,"name":"`, `,"toolCalls":"`,
		`,"toolCallId":"`, `,"error":"`, `,"activityType":"`, `,"encryptedValue":"`)
	parts   = unionOf(schemaParts(true), `,"type":"`, `,"text":"`, `,"source":"`)
	sources = unionOf(schemaSource, `,"type":"`, `,"provider":"`, `,"mimeType":"`)

	resultContent = contentField(schemaParts(false))
)

func (a *appender) messages(list []agui.Message) {
	for i := range a.list(`,"messages":"`, len(list)) {
		a.message(&list[i])
	}
}

func (a *appender) message(m *agui.Message) {
	role := a.checkKind(roles, string(m.Role), m.Content != nil, m.Name != nil, m.ToolCalls != nil,
		m.ToolCallID != nil, m.Error != nil, m.ActivityType != nil, m.EncryptedValue != nil)
	a.text(`,"id":"`, m.ID)
	a.text(`,"role":"`, string(m.Role))
	if m.Content != nil {
		a.content(m.Content, role.content)
	}
	a.optionalText(`,"name":"`, m.Name)
	if m.ToolCalls != nil {
		for i := range a.list(`,"toolCalls":"`, len(m.ToolCalls)) {
			a.toolCall(&m.ToolCalls[i])
		}
	}
	a.optionalText(`,"toolCallId":"`, m.ToolCallID)
	a.optionalText(`,"error":"`, m.Error)
	a.optionalText(`,"activityType":"`, m.ActivityType)
	a.optionalText(`,"encryptedValue":"`, m.EncryptedValue)
	a.optionalText(`,"subagentRunId":"`, m.SubagentRunID)
	a.optionalRaw(`,"metadata":"`, m.Metadata, &openValue)
}

func (a *appender) toolCall(c *agui.ToolCall) {
	a.text(`,"id":"`, c.ID)
	a.oneOf(`,"type":"`, c.Type, "function")
	start := a.beginObject(`,"function":"`)
	a.text(`,"name":"`, c.Function.Name)
	a.text(`,"arguments":"`, c.Function.Arguments)
	a.endObject(`,"function":"`, start)
	a.optionalText(`,"encryptedValue":"`, c.EncryptedValue)
	a.optionalRaw(`,"metadata":"`, c.Metadata, &openValue)
}

// content appends a content that must fit f.
func (a *appender) content(c *agui.Content, f *schemaField) {
	const member = `,"content":"`
	switch {
	case c.Parts != nil && f.kind == schemaContent:
		for i := range a.list(member, len(c.Parts)) {
			a.part(&c.Parts[i])
		}
	case c.Parts == nil && len(c.Object) > 0:
		a.raw(member, c.Object, f)
	case f.kind == schemaOpen:
		a.fail(member, "must be an object")
	case c.Parts != nil:
		a.fail(member, "must be a string")
	default:
		a.text(member, c.Text)
	}
}

func (a *appender) part(p *agui.ContentPart) {
	a.checkKind(parts, string(p.Type), p.Text != nil, p.Source != nil)
	a.text(`,"type":"`, string(p.Type))
	a.optionalText(`,"text":"`, p.Text)
	if s := p.Source; s != nil {
		start := a.beginObject(`,"source":"`)
		a.checkKind(sources, string(s.Type), s.Provider != nil, s.MimeType != nil)
		a.text(`,"type":"`, string(s.Type))
		a.text(`,"value":"`, s.Value)
		a.optionalText(`,"provider":"`, s.Provider)
		a.optionalText(`,"mimeType":"`, s.MimeType)
		a.endObject(`,"source":"`, start)
	}
	a.optionalText(`,"id":"`, p.ID)
	a.optionalRaw(`,"metadata":"`, p.Metadata, &dataValue)
}
