package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/event"
)

func TestSerializerTypeNames(t *testing.T) {
	for typ, name := range map[event.SerializerType]string{
		event.OptimizedJSON: "OptimizedJSON", event.JSON: "JSON", event.Protobuf: "Protobuf", 7: "SerializerType(7)",
	} {
		if got := typ.String(); got != name {
			t.Errorf("%d is named %q, want %q", typ, got, name)
		}
	}
	for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON, event.Protobuf} {
		for _, name := range []string{typ.String(), strings.ToLower(typ.String())} {
			if got, err := event.ParseSerializerType(name); got != typ || err != nil {
				t.Errorf("%q is %v, %v", name, got, err)
			}
		}
	}
	for _, name := range []string{"", "json ", "SerializerType(7)", "xml"} {
		_, err := event.ParseSerializerType(name)
		if !errors.Is(err, event.ErrSerializerUnavailable) || !strings.Contains(err.Error(), "OptimizedJSON, JSON, Protobuf") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNewSerializerUnavailable(t *testing.T) {
	for _, typ := range []event.SerializerType{event.Protobuf, 7} {
		s, err := event.NewSerializer(typ)
		if !errors.Is(err, event.ErrSerializerUnavailable) || err.Error() != "agloop: serializer unavailable: "+typ.String() {
			t.Errorf("%v: %v", typ, err)
		}
		if s != nil {
			t.Errorf("%v: got %v", typ, s)
		}
	}
}
