//go:build aguidebug

package agloop_test

import (
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// serializerAlien is a serializer that no factory made.
type serializerAlien struct{ event.Serializer }

func TestSerializerMisusePanics(t *testing.T) {
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if recover() == nil {
				t.Errorf("%s: no panic", what)
			}
		}()
		f()
	}
	for _, typ := range serializationTypes {
		f, err := agloop.NewSerializerFactory(typ)
		if err != nil {
			t.Fatal(err)
		}
		s := f.Get()
		f.Put(s)
		panics("put twice", func() { f.Put(s) })
		panics("encode after Put", func() { _, _ = s.AppendEvent(nil, &agui.StepStarted{}) })
		panics("decode after Put", func() { _, _, _ = s.DecodeEvent([]byte(`{}`)) })

		var own event.Serializer = eventpb.NewSerializer(event.Limits{}) // by nobody's factory, but of ours
		if typ != event.Protobuf {
			if own, err = event.NewSerializer(typ); err != nil {
				t.Fatal(err)
			}
		}
		f.Put(own)
		panics("put own twice", func() { f.Put(own) })
		panics("put an alien", func() { f.Put(serializerAlien{s}) })
		panics("put nothing", func() { f.Put(nil) })
	}
}
