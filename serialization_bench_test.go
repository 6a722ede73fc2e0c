package agloop_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// serializationTypes is what BenchmarkSerializationPerformance sets side by side.
var serializationTypes = []event.SerializerType{event.OptimizedJSON, event.JSON, event.Protobuf}

// serializationSample is an event as it stands in the sample data, and decoded.
type serializationSample struct {
	ev    agui.Event
	data  []byte
	proto []byte // data in protobuf
}

// in is the sample as a serializer has it.
func (s *serializationSample) in(t event.SerializerType) []byte {
	if t == event.Protobuf {
		return s.proto
	}
	return s.data
}

// serializationSamples returns all events of the sample data, and of each type the longest one that
// is free of unknown members.
func serializationSamples(tb testing.TB) (all []serializationSample, longest map[agui.EventType]serializationSample) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("agui", "testdata", "events.ndjson"))
	if err != nil {
		tb.Fatal(err)
	}
	longest = make(map[agui.EventType]serializationSample)
	var decoder event.Decoder
	// Lines end at LF only: strings hold U+2028.
	for line := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		ev, notes, err := decoder.DecodeEvent(line)
		if err != nil {
			tb.Fatal(err)
		}
		proto, err := eventpb.AppendJSON(nil, line)
		if err != nil {
			tb.Fatal(err)
		}
		s := serializationSample{ev, line, proto}
		all = append(all, s)
		if notes == nil && len(line) > len(longest[ev.Type()].data) {
			longest[ev.Type()] = s
		}
	}
	for _, t := range agui.EventTypes() {
		if _, ok := longest[t]; !ok {
			tb.Fatalf("no %s in the sample data", t)
		}
	}
	return all, longest
}

// BenchmarkSerializationPerformance measures every event type on real events: encode and decode,
// the serializers side by side, judgement by the schema included. Under "all" an operation is all
// events of the sample data, of all 31 types. "transcode" makes protobuf of the JSON that a log has.
func BenchmarkSerializationPerformance(b *testing.B) {
	all, longest := serializationSamples(b)
	for _, way := range []struct {
		name string
		pass func(event.Serializer, []serializationSample) func() error
	}{{"encode", encodePass}, {"decode", decodePass}} {
		b.Run(way.name, func(b *testing.B) {
			for _, t := range agui.EventTypes() {
				b.Run(string(t), func(b *testing.B) { benchmarkSerializers(b, []serializationSample{longest[t]}, way.pass) })
			}
			b.Run("all", func(b *testing.B) { benchmarkSerializers(b, all, way.pass) })
		})
	}
	b.Run("transcode", func(b *testing.B) {
		for _, t := range agui.EventTypes() {
			b.Run(string(t), func(b *testing.B) { benchmarkTranscoding(b, []serializationSample{longest[t]}) })
		}
		b.Run("all", func(b *testing.B) { benchmarkTranscoding(b, all) })
	})
}

func benchmarkTranscoding(b *testing.B, samples []serializationSample) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		for i := range samples {
			var err error
			if buf, err = eventpb.AppendJSON(buf[:0], samples[i].data); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/event")
}

// benchmarkSerializers measures a pass over the samples by each serializer.
func benchmarkSerializers(b *testing.B, samples []serializationSample, pass func(event.Serializer, []serializationSample) func() error) {
	for _, t := range serializationTypes {
		size := 0
		for i := range samples {
			size += len(samples[i].in(t))
		}
		b.Run(t.String(), func(b *testing.B) {
			f, err := agloop.NewSerializerFactory(t)
			if err != nil {
				b.Fatal(err)
			}
			s := f.Get()
			once := pass(s, samples)
			if err := once(); err != nil { // warm: the first use of a type compiles what it needs
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)/float64(len(samples)), "bytes/event")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/event")
		})
	}
}

func encodePass(s event.Serializer, samples []serializationSample) func() error {
	var buf []byte
	return func() (err error) {
		for i := range samples {
			if buf, err = s.AppendEvent(buf[:0], samples[i].ev); err != nil {
				return err
			}
		}
		return nil
	}
}

func decodePass(s event.Serializer, samples []serializationSample) func() error {
	return func() error {
		for i := range samples {
			if _, _, err := s.DecodeEvent(samples[i].in(s.Type())); err != nil {
				return err
			}
		}
		return nil
	}
}
