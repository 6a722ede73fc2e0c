package agui_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
)

// TestCapabilitiesRoundTrip: what is absent stays absent, and an empty list stays one. The file has
// documents that the schema of the reference accepts, the first of them with every member; e2e judges
// them by it.
func TestCapabilitiesRoundTrip(t *testing.T) {
	for i, line := range dataLines(t, "capabilities.ndjson") {
		var c agui.AgentCapabilities
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		sameMembers(t, &c, line)
		if i == 0 {
			everySet(t, reflect.ValueOf(c), "capabilities")
		}
	}
	if out, err := json.Marshal(agui.AgentCapabilities{}); err != nil || string(out) != "{}" {
		t.Errorf("nothing declared: %s, %v", out, err)
	}
}

// everySet fails for a field without a value: the document that v was made of lacks it.
func everySet(t *testing.T, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			t.Errorf("%s is not set", path)
			return
		}
		everySet(t, v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			everySet(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			t.Errorf("%s is empty", path)
		}
	}
}
