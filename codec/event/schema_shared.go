package event

var (
	schemaUsage = objectField("", schemaOf(
		plainField("provider", schemaString),
		plainField("model", schemaString),
		plainField("inputTokens", schemaCount),
		plainField("outputTokens", schemaCount),
		plainField("totalTokens", schemaCount),
		plainField("reasoningTokens", schemaCount),
		plainField("cachedInputTokens", schemaCount),
		plainField("cacheWriteInputTokens", schemaCount),
	))

	schemaInterrupt = objectField("", schemaOf(
		mustField(plainField("id", schemaString)),
		mustField(plainField("reason", schemaString)),
		plainField("message", schemaString),
		plainField("toolCallId", schemaString),
		plainField("responseSchema", schemaOpen),
		plainField("expiresAt", schemaString),
		plainField("metadata", schemaOpen),
		plainField("subagentRunId", schemaString),
	))

	schemaOutcome = &schemaUnion{tag: "type", variants: map[string]*schemaObject{
		"success": schemaOf(
			mustField(plainField("type", schemaString)),
			listField("pendingToolCallIds", plainField("", schemaString)),
		),
		"interrupt": schemaOf(
			mustField(plainField("type", schemaString)),
			mustField(schemaField{name: "interrupts", kind: schemaList, item: &schemaInterrupt, min: 1}),
		),
		"cancelled": schemaOf(mustField(plainField("type", schemaString))),
	}}

	schemaSubagentOutcome = &schemaUnion{tag: "type", variants: map[string]*schemaObject{
		"success": schemaOf(mustField(plainField("type", schemaString))),
		"suspended": schemaOf(
			mustField(plainField("type", schemaString)),
			listField("interruptIds", plainField("", schemaString)),
		),
	}}
)

// schemaPatch is a list of patch operations, whose objects are open.
func schemaPatch(name string) schemaField {
	op := func(fields ...schemaField) *schemaObject {
		o := schemaOf(append([]schemaField{
			mustField(plainField("op", schemaString)),
			mustField(plainField("path", schemaPointer)),
		}, fields...)...)
		o.open = true
		return o
	}
	value, from := op(mustField(plainField("value", schemaAny))), op(mustField(plainField("from", schemaPointer)))
	item := unionField("", &schemaUnion{tag: "op", variants: map[string]*schemaObject{
		"add": value, "replace": value, "test": value,
		"remove": op(),
		"move":   from, "copy": from,
	}})
	return schemaField{name: name, kind: schemaList, item: &item, patch: true}
}

var schemaSource = &schemaUnion{tag: "type", variants: map[string]*schemaObject{
	"data": schemaOf(
		mustField(plainField("type", schemaString)),
		mustField(plainField("value", schemaString)),
		mustField(plainField("mimeType", schemaString)),
	),
	"url": schemaOf(
		mustField(plainField("type", schemaString)),
		mustField(plainField("value", schemaString)),
		plainField("mimeType", schemaString),
	),
	"file": schemaOf(
		mustField(plainField("type", schemaString)),
		mustField(plainField("value", schemaString)),
		plainField("provider", schemaString),
		plainField("mimeType", schemaString),
	),
}}

// schemaParts is the union of content parts. Only those of messages have retired forms.
func schemaParts(ofMessage bool) *schemaUnion {
	metadata := plainField("metadata", schemaData)
	media := metadata
	media.retiredNull = ofMessage
	source := schemaOf(
		mustField(plainField("type", schemaString)),
		mustField(unionField("source", schemaSource)),
		plainField("id", schemaString),
		media,
	)
	text := schemaOf(
		mustField(plainField("type", schemaString)),
		mustField(plainField("text", schemaString)),
		plainField("id", schemaString),
		metadata,
	)
	return &schemaUnion{tag: "type", binary: ofMessage, variants: map[string]*schemaObject{
		"text": text, "image": source, "audio": source, "video": source, "document": source,
	}}
}

var schemaMessage = func() schemaField {
	parts := schemaParts(true)
	role := func(fields ...schemaField) *schemaObject {
		return schemaOf(append([]schemaField{
			mustField(plainField("role", schemaString)),
			mustField(plainField("id", schemaString)),
			plainField("subagentRunId", schemaString),
			plainField("metadata", schemaOpen),
		}, fields...)...)
	}
	name, encrypted := plainField("name", schemaString), plainField("encryptedValue", schemaString)
	text := mustField(plainField("content", schemaString))
	call := objectField("", schemaOf(
		mustField(plainField("id", schemaString)),
		mustField(fixedField("type", "function")),
		mustField(objectField("function", schemaOf(
			mustField(plainField("name", schemaString)),
			mustField(plainField("arguments", schemaString)),
		))),
		encrypted,
		plainField("metadata", schemaOpen),
	))
	instruction := role(text, name, encrypted)
	return unionField("", &schemaUnion{tag: "role", variants: map[string]*schemaObject{
		"developer": instruction,
		"system":    instruction,
		"assistant": role(plainField("content", schemaString), listField("toolCalls", call), name, encrypted),
		"user":      role(mustField(contentField(parts)), name, encrypted),
		"tool": role(mustField(contentField(parts)), mustField(plainField("toolCallId", schemaString)),
			plainField("error", schemaString), encrypted),
		"activity":  role(mustField(plainField("content", schemaOpen)), mustField(plainField("activityType", schemaString))),
		"reasoning": role(text, encrypted),
	}})
}()

var schemaInput = func() *schemaObject {
	state := plainField("state", schemaData)
	state.stateNull = true
	return schemaOf(
		mustField(plainField("threadId", schemaString)),
		mustField(plainField("runId", schemaString)),
		mustField(listField("messages", schemaMessage)),
		plainField("protocolVersion", schemaString),
		plainField("parentRunId", schemaString),
		state,
		listField("tools", objectField("", schemaOf(
			mustField(plainField("name", schemaString)),
			mustField(plainField("description", schemaString)),
			retiredField(plainField("parameters", schemaData)),
			plainField("metadata", schemaOpen),
		))),
		listField("context", objectField("", schemaOf(
			mustField(plainField("description", schemaString)),
			mustField(plainField("value", schemaString)),
		))),
		retiredField(plainField("forwardedProps", schemaData)),
		listField("resume", objectField("", schemaOf(
			mustField(plainField("interruptId", schemaString)),
			mustField(setField("status", "resolved", "cancelled")),
			retiredField(plainField("payload", schemaData)),
			plainField("metadata", schemaOpen),
		))),
	)
}()
