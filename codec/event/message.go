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
	role := a.kind(roles, string(m.Role), m.Content != nil, m.Name != nil, m.ToolCalls != nil,
		m.ToolCallID != nil, m.Error != nil, m.ActivityType != nil, m.EncryptedValue != nil)
	a.text(`,"id":"`, m.ID)
	a.text(`,"role":"`, string(m.Role))
	if m.Content != nil {
		a.content(m.Content, role.content)
	}
	a.optional(`,"name":"`, m.Name)
	if m.ToolCalls != nil {
		for i := range a.list(`,"toolCalls":"`, len(m.ToolCalls)) {
			a.toolCall(&m.ToolCalls[i])
		}
	}
	a.optional(`,"toolCallId":"`, m.ToolCallID)
	a.optional(`,"error":"`, m.Error)
	a.optional(`,"activityType":"`, m.ActivityType)
	a.optional(`,"encryptedValue":"`, m.EncryptedValue)
	a.optional(`,"subagentRunId":"`, m.SubagentRunID)
	a.maybe(`,"metadata":"`, m.Metadata, &openValue)
}

func (a *appender) toolCall(c *agui.ToolCall) {
	a.text(`,"id":"`, c.ID)
	a.oneOf(`,"type":"`, c.Type, "function")
	start := a.begin(`,"function":"`)
	a.text(`,"name":"`, c.Function.Name)
	a.text(`,"arguments":"`, c.Function.Arguments)
	a.end(`,"function":"`, start)
	a.optional(`,"encryptedValue":"`, c.EncryptedValue)
	a.maybe(`,"metadata":"`, c.Metadata, &openValue)
}

// content appends a content that must be as f says.
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
	a.kind(parts, string(p.Type), p.Text != nil, p.Source != nil)
	a.text(`,"type":"`, string(p.Type))
	a.optional(`,"text":"`, p.Text)
	if s := p.Source; s != nil {
		start := a.begin(`,"source":"`)
		a.kind(sources, string(s.Type), s.Provider != nil, s.MimeType != nil)
		a.text(`,"type":"`, string(s.Type))
		a.text(`,"value":"`, s.Value)
		a.optional(`,"provider":"`, s.Provider)
		a.optional(`,"mimeType":"`, s.MimeType)
		a.end(`,"source":"`, start)
	}
	a.optional(`,"id":"`, p.ID)
	a.maybe(`,"metadata":"`, p.Metadata, &dataValue)
}
