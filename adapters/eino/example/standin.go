package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"
)

// standIn answers as a model does that books for whom the user says, and then tells what came of it.
type standIn struct{}

func (standIn) WithTools([]*schema.ToolInfo) (model.ToolCallingChatModel, error) {
	return standIn{}, nil
}

func (standIn) Generate(context.Context, []*schema.Message, ...model.Option) (*schema.Message, error) {
	return nil, errors.New("it streams alone")
}

func (standIn) Stream(_ context.Context, in []*schema.Message, _ ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	last := in[len(in)-1]
	if last.Role == schema.Tool {
		return schema.StreamReaderFromArray([]*schema.Message{
			schema.AssistantMessage("Your table is ", nil), schema.AssistantMessage(last.Content+".", nil),
		}), nil
	}
	arguments, err := json.Marshal(map[string]string{"for": last.Content})
	if err != nil {
		return nil, err
	}
	call := schema.ToolCall{ID: "call-1", Type: "function", Function: schema.FunctionCall{Name: "book", Arguments: string(arguments)}}
	return schema.StreamReaderFromArray([]*schema.Message{schema.AssistantMessage("", []schema.ToolCall{call})}), nil
}
