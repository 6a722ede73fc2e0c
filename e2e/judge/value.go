package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
)

// value is a JSON value to compare: numbers are doubles and the order of members does not count. In
// what both sides are free to choose it is made equal.
type value struct{ any }

func valueOf(text []byte) value {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return value{"not JSON: " + err.Error()}
	}
	return value{same(v)}
}

func (v *value) UnmarshalJSON(data []byte) error {
	*v = valueOf(data)
	return nil
}

func (v value) MarshalJSON() ([]byte, error) { return json.Marshal(v.any) }

func (v value) equal(w value) bool { return reflect.DeepEqual(v.any, w.any) }

func equalValues(a, b []value) bool { return slices.EqualFunc(a, b, value.equal) }

// minted are ids that a reader makes up for a retired event, which had none.
var minted = regexp.MustCompile(`^(thinking-[A-Z2-7]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// same replaces minted ids, and leaves out lists of an input that are empty, which read as absent.
func same(v any) any {
	switch v := v.(type) {
	case string:
		if minted.MatchString(v) {
			return "*"
		}
	case []any:
		for i := range v {
			v[i] = same(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = same(v[name])
		}
		if input, ok := v["input"].(map[string]any); ok && v["type"] == "RUN_STARTED" {
			for _, name := range []string{"tools", "context"} {
				if list, ok := input[name].([]any); ok && len(list) == 0 {
					delete(input, name)
				}
			}
		}
	}
	return v
}

// without is v without the members of a name in the operations of its patch.
func (v value) without(name string) value {
	ev, _ := v.any.(map[string]any)
	for _, list := range []string{"delta", "patch"} {
		ops, _ := ev[list].([]any)
		for _, op := range ops {
			if op, ok := op.(map[string]any); ok {
				delete(op, name)
			}
		}
	}
	return v
}
